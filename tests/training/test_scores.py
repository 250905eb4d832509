"""Scores are scikit-learn's."""

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st
from sklearn.metrics import accuracy_score, f1_score

from musiclime_torch.training.scores import score


@given(st.integers(1, 40), st.integers(2, 5), st.integers(0, 10_000))
def test_scores_are_those_of_scikit_learn(songs: int, classes: int, seed: int):
    rng = np.random.default_rng(seed)
    outputs, truth = rng.normal(size=(songs, classes)), rng.integers(classes, size=songs)
    found = score(torch.tensor(outputs), torch.eye(classes)[torch.tensor(truth)], "logits")
    present = sorted(set(truth))
    assert found.accuracy == pytest.approx(accuracy_score(truth, outputs.argmax(1)))
    expected = f1_score(truth, outputs.argmax(1), labels=present, average="macro", zero_division=0)
    assert found.macro_f1 == pytest.approx(expected)
    many = rng.integers(2, size=(songs, classes))
    found = score(torch.tensor(outputs), torch.tensor(many).double(), "multilabel")
    assert found.f1.tolist() == pytest.approx(f1_score(many, outputs > 0, average=None, zero_division=0).tolist())
    assert found.accuracy == pytest.approx(accuracy_score(many, outputs > 0))
    assert found.class_accuracy.tolist() == pytest.approx(((outputs > 0) == many).mean(0).tolist())
