"""What a model may offer besides being callable (`contract`), models that come with adapters, and their weights."""

from typing import TYPE_CHECKING

from musiclime_torch.basics.faces import lazy

if TYPE_CHECKING:
    from musiclime_torch.basics.choices import OutputKind as OutputKind, Precision as Precision
    from musiclime_torch.models.answering.answering import Answering as Answering, load_answering as load_answering
    from musiclime_torch.models.answering.asked import Reading as Reading, load_reading as load_reading
    from musiclime_torch.models.answering.transcribing import (
        Transcribing as Transcribing,
        load_transcribing as load_transcribing,
    )
    from musiclime_torch.models.ast_roberta import (
        PAPER_PREPARATION as PAPER_PREPARATION,
        AstRoberta as AstRoberta,
        build_ast_roberta as build_ast_roberta,
        fuse_layer_norm_pairs as fuse_layer_norm_pairs,
    )
    from musiclime_torch.models.batches import Room as Room, count_flops as count_flops
    from musiclime_torch.models.care import (
        encoding as encoding,
        evaluating as evaluating,
        hash_weights as hash_weights,
        keeping_random_states as keeping_random_states,
    )
    from musiclime_torch.models.classifiers import (
        AudioClassifier as AudioClassifier,
        ClapTowers as ClapTowers,
        ClapZeroShot as ClapZeroShot,
        LateEnsemble as LateEnsemble,
    )
    from musiclime_torch.models.contract import (
        LATE_FUSION as LATE_FUSION,
        EmbedsText as EmbedsText,
        TokenBatch as TokenBatch,
        Tokens as Tokens,
    )
    from musiclime_torch.models.musicnn import TAGS as TAGS, Musicnn as Musicnn, load_musicnn as load_musicnn
    from musiclime_torch.models.musicnn_minilm import (
        MusicnnMiniLM as MusicnnMiniLM,
        SentenceEncoder as SentenceEncoder,
        load_minilm as load_minilm,
        load_musicnn_minilm as load_musicnn_minilm,
    )
    from musiclime_torch.models.onnx_files import OnnxModel as OnnxModel
    from musiclime_torch.models.remote import HttpModel as HttpModel
    from musiclime_torch.models.similarity import Reference as Reference, Similarity as Similarity
    from musiclime_torch.models.students import Student as Student, load_student as load_student
    from musiclime_torch.models.subject import Subject as Subject, describe_model as describe_model
    from musiclime_torch.models.tagger import Tagger as Tagger
    from musiclime_torch.models.text_classifiers import TextClassifier as TextClassifier
    from musiclime_torch.models.tokens import MASK as MASK, Preparation as Preparation, cut_words as cut_words
    from musiclime_torch.models.vibenet import VibeNet as VibeNet, load_vibenet as load_vibenet

__getattr__, __dir__, __all__ = lazy(__name__)
