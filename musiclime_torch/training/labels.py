"""Labels of a manifest as numbers: which classes there are, whether they exclude each other, who trains and who tests."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from musiclime_torch.basics.errors import InputError
from musiclime_torch.song.manifest import Entry

#: Of a hundred songs without a split, how many train and how many validate; the others test.
TRAIN, VALID = 80, 10


@dataclass(frozen=True)
class Labels:
    """`kind` is "logits" for one label a song, "multilabel" for any number."""

    classes: tuple[str, ...]
    kind: str

    def encode(self, entries: Sequence[Entry]) -> Float[Tensor, "song class"]:
        """Ones where a song has a class. InputError for a label that no class has."""
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
        raise InputError(f"the songs to train on have {len(classes)} labels ({', '.join(classes)}): two or more are needed.")
    return Labels(classes, "multilabel" if any(len(entry.labels) != 1 for entry in entries) else "logits")


def split(entries: Sequence[Entry]) -> dict[str, tuple[Entry, ...]]:
    """Songs by "train", "valid" and "test". Without a split column, 80, 10 and 10 of a hundred, by the hash of their ids.

    InputError where some songs have a split and others don't, or nobody trains.
    """
    told = [entry for entry in entries if entry.split]
    if told and len(told) < len(entries):
        lost = next(entry for entry in entries if not entry.split)
        raise InputError(f"{lost.place} ({lost.id}) has no split, and others have one: give all of them one, or none.")
    found: dict[str, list[Entry]] = {"train": [], "valid": [], "test": []}
    for entry in entries:
        found[entry.split or _draw_split(entry.id)].append(entry)
    if not found["train"]:
        raise InputError("no song's split is train: there is nothing to learn from.")
    return {name: tuple(songs) for name, songs in found.items()}


def _draw_split(number: str) -> str:
    place = int.from_bytes(hashlib.sha256(number.encode()).digest()[:4], "big") % 100
    return "train" if place < TRAIN else "valid" if place < TRAIN + VALID else "test"


def balance(labels: Float[Tensor, "song class"], kind: str) -> Float[Tensor, " class"]:
    """Weights under which every class counts alike: songs over classes times the class's songs; of independent classes,
    songs without over songs with. A class that no song has gets 1.

    >>> balance(torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), "logits")
    tensor([0.6667, 2.0000])
    """
    songs, counts = len(labels), labels.sum(0)
    weights = (songs - counts) / counts if kind == "multilabel" else songs / (labels.shape[1] * counts)
    return torch.where(counts > 0, weights.clamp(max=100), torch.ones_like(counts))
