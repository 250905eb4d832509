"""Splits, labels and the weights of classes."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from musiclime_torch.basics.errors import InputError
from musiclime_torch.song.manifest import Entry
from musiclime_torch.training.starting import Labels, balance, read_labels, split


def test_songs_without_a_split_get_one_by_their_ids():
    entries = [Entry(str(number), labels=("a",)) for number in range(4000)]
    found = split(entries)
    assert {name: round(len(part) / 4000, 1) for name, part in found.items()} == {"train": 0.8, "valid": 0.1, "test": 0.1}
    assert {name: set(part) for name, part in split(entries[::-1]).items()} == {n: set(p) for n, p in found.items()}
    with pytest.raises(InputError, match="has no split, but other songs have one"):
        split([Entry("a", split="train"), Entry("b", place="row 2")])
    with pytest.raises(InputError, match="no song has the split train"):
        split([Entry("a", split="test")])


def test_labels_are_read_from_the_songs_that_train():
    entries = [Entry("a", labels=("x",)), Entry("b", labels=("y",))]
    assert read_labels(entries) == Labels(("x", "y"), "logits")
    assert read_labels([*entries, Entry("c", labels=("x", "y"))]).kind == "multilabel"
    with pytest.raises(InputError, match=r"at least 2 labels, got 1 \(x\)"):
        read_labels(entries[:1])
    with pytest.raises(InputError, match=r"row 9 \(c\) is labelled 'z', which isn't among"):
        read_labels(entries).encode([Entry("c", labels=("z",), place="row 9")])


@given(st.integers(2, 30), st.integers(2, 5), st.integers(0, 10_000))
def test_balanced_classes_weigh_alike(songs: int, classes: int, seed: int):
    truth = torch.eye(classes)[torch.from_numpy(np.random.default_rng(seed).integers(classes, size=songs))]
    totals = (truth * balance(truth, "logits")).sum(0)
    assert torch.allclose(totals[totals > 0], torch.tensor(songs / classes))
    pairs = balance(truth, "multilabel") * truth.sum(0)
    there = truth.sum(0) > 0
    assert torch.allclose(pairs[there], (songs - truth.sum(0))[there])


@given(st.integers(0, 2**31))
@settings(max_examples=20)
def test_balanced_weights_are_finite(seed):
    truth = (torch.rand(7, 4, generator=torch.Generator().manual_seed(seed)) < 0.3).float()
    assert all(torch.isfinite(balance(truth, kind)).all() for kind in ("logits", "multilabel"))
