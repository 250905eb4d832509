"""Labels of a manifest as numbers: which classes there are, whether they exclude each other, and which songs train,
validate and test.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from musiclime_torch.basics.errors import InputError
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
