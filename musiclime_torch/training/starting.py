"""Where training starts: pretrained encoders under new heads, or a small untrained tagger."""

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from musiclime_torch.basics.errors import InputError
from musiclime_torch.models.ast_roberta import PAPER_PREPARATION, AstRoberta
from musiclime_torch.models.checkpoints import load_part, load_with_new_head
from musiclime_torch.models.classifiers import AudioClassifier
from musiclime_torch.models.tagger import Tagger
from musiclime_torch.models.text_classifiers import TextClassifier, count_positions
from musiclime_torch.models.tokens import SPECIALS, WORD
from musiclime_torch.training.labels import Labels

#: The most words that a new tagger knows, and the least number of songs with a word.
MOST_WORDS, SONGS_A_WORD = 10_000, 2


def start_audio(name: str, labels: Labels) -> tuple[AudioClassifier, Any]:
    """A classifier of sound, and the feature extractor it is saved with."""
    from transformers import AutoFeatureExtractor, AutoModelForAudioClassification

    extractor = load_part(AutoFeatureExtractor, name)
    return AudioClassifier(
        load_with_new_head(AutoModelForAudioClassification, name, _configure(labels)), extractor
    ), extractor


def start_lyrics(name: str, labels: Labels) -> tuple[TextClassifier, Any]:
    """A classifier of lyrics, which are prepared as in the paper, and its tokenizer."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = load_part(AutoTokenizer, name)
    module = load_with_new_head(AutoModelForSequenceClassification, name, _configure(labels))
    module.config.text_preparation = asdict(PAPER_PREPARATION)
    return TextClassifier(module, tokenizer), tokenizer


def join_towers(audio: AudioClassifier, lyrics: TextClassifier, labels: Labels) -> AstRoberta:
    """The paper's model with the encoders of two classifiers, which it shares with them; its head is new."""
    hearing: Any = getattr(audio.module, "audio_spectrogram_transformer", None)
    reading: Any = getattr(lyrics.module, "roberta", None)
    if hearing is None or reading is None:
        wrong = audio.name if hearing is None else lyrics.name
        raise InputError(f"{wrong!r} can't be joined: the paper's model needs an AST and a RoBERTa; train one side alone.")
    limit = count_positions(lyrics.module.config, lyrics.tokenizer, asdict(PAPER_PREPARATION))
    prepared = replace(PAPER_PREPARATION, limit=limit)
    model = AstRoberta(
        audio.module.config, lyrics.module.config, lyrics.tokenizer, labels.classes, prepared, output_kind=labels.kind
    )
    model.audio_model = hearing
    # The classifier has no pooler, whose output the head doesn't use.
    model.text_model.load_state_dict(reading.state_dict(), strict=False)
    return model


def start_tagger(texts: Iterable[str], labels: Labels) -> Tagger:
    """A small untrained model of sound and words, whose vocabulary is that of its training songs."""
    songs: Counter[str] = Counter()
    for text in texts:
        songs.update({match[0].lower().replace("’", "'") for match in WORD.finditer(text)})
    common = [word for word, count in songs.most_common(MOST_WORDS) if count >= SONGS_A_WORD]
    return Tagger(labels.classes, (*SPECIALS, *sorted(common)), labels.kind)


def save_classifier(model: AudioClassifier | TextClassifier, part: Any, folder: Path) -> None:
    """Save in the format of `transformers`, which other tools read; `part` is the extractor or tokenizer."""
    part.save_pretrained(folder)
    module: Any = model.module
    module.save_pretrained(folder)


def _configure(labels: Labels) -> dict[str, Any]:
    kinds = {"logits": "single_label_classification", "multilabel": "multi_label_classification"}
    return {
        "num_labels": len(labels.classes),
        "id2label": dict(enumerate(labels.classes)),
        "label2id": {name: number for number, name in enumerate(labels.classes)},
        "problem_type": kinds[labels.kind],
    }


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Inside, new weights are drawn from the seed; the global random state is restored afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
