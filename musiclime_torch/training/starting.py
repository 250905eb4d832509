"""Where training starts: the labels of a manifest as numbers, and pretrained encoders under new heads or a small tagger.

Labels say which classes there are, whether they exclude each other, and which songs train, validate and test.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from musiclime_torch.basics.errors import InputError
from musiclime_torch.models.ast_roberta import PAPER_PREPARATION, AstRoberta
from musiclime_torch.models.checkpoints import load_part, load_with_new_head
from musiclime_torch.models.classifiers import AudioClassifier
from musiclime_torch.models.tagger import Tagger
from musiclime_torch.models.text_classifiers import TextClassifier, count_positions
from musiclime_torch.models.tokens import SPECIALS, WORD
from musiclime_torch.song.manifest import Entry

#: Percentages of songs that train and that validate, where no split is given; the others test.
TRAIN, VALID = 80, 10


@dataclass(frozen=True)
class Labels:
    """`kind` is "logits" for one label per song, "multilabel" for any number."""

    classes: tuple[str, ...]
    kind: str

    def encode(self, entries: Sequence[Entry]) -> Float[Tensor, "song class"]:
        """Ones where a song has a class. InputError for an unknown label."""
        table = torch.zeros(len(entries), len(self.classes))
        places = {name: column for column, name in enumerate(self.classes)}
        for row, entry in enumerate(entries):
            for label in entry.labels:
                if label not in places:
                    raise InputError(
                        f"{entry.place} ({entry.id}) is labelled {label!r}, which isn't among the model's classes "
                        f"({', '.join(self.classes[:6])}{', ...' if len(self.classes) > 6 else ''})."
                    )
                table[row, places[label]] = 1
        return table


def read_labels(entries: Sequence[Entry]) -> Labels:
    """All labels of the songs that train, sorted. InputError for fewer than two."""
    classes = tuple(sorted({label for entry in entries for label in entry.labels}))
    if len(classes) < 2:
        raise InputError(f"training needs at least 2 labels, got {len(classes)} ({', '.join(classes)}).")
    return Labels(classes, "multilabel" if any(len(entry.labels) != 1 for entry in entries) else "logits")


def split(entries: Sequence[Entry]) -> dict[str, tuple[Entry, ...]]:
    """Songs by "train", "valid" and "test". Without a split column, 80, 10 and 10 of a hundred, by the hash of their ids.

    InputError where some songs have a split and others don't, or no song trains.
    """
    with_split = [entry for entry in entries if entry.split]
    if with_split and len(with_split) < len(entries):
        without = next(entry for entry in entries if not entry.split)
        raise InputError(
            f"{without.place} ({without.id}) has no split, but other songs have one: give all songs one, or none."
        )
    splits: dict[str, list[Entry]] = {"train": [], "valid": [], "test": []}
    for entry in entries:
        splits[entry.split or _draw_split(entry.id)].append(entry)
    if not splits["train"]:
        raise InputError("no song has the split train: there is nothing to train on.")
    return {name: tuple(songs) for name, songs in splits.items()}


def _draw_split(number: str) -> str:
    # A hash, not a draw: a song keeps its split when others are added to the manifest or it is reordered.
    place = int.from_bytes(hashlib.sha256(number.encode()).digest()[:4], "big") % 100
    return "train" if place < TRAIN else "valid" if place < TRAIN + VALID else "test"


def balance(labels: Float[Tensor, "song class"], kind: str) -> Float[Tensor, " class"]:
    """Weights that balance the classes: songs / (classes × songs of the class); for independent classes, songs without it /
    songs with it. A class without songs gets 1.

    >>> balance(torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), "logits")
    tensor([0.6667, 2.0000])
    """
    songs, counts = len(labels), labels.sum(0)
    weights = (songs - counts) / counts if kind == "multilabel" else songs / (labels.shape[1] * counts)
    # Clamped: a class with a single song among thousands would otherwise dominate every batch it is in.
    return torch.where(counts > 0, weights.clamp(max=100), torch.ones_like(counts))


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
