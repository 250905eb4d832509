"""Sets that keep and flip a decision, on games small enough to try every subset."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings, strategies as st

from musiclime_torch.basics.errors import InputError
from musiclime_torch.explanation.evidence import Evidence, find_minimal, measure_margin
from musiclime_torch.explanation.explainer import explain, explain_with
from musiclime_torch.explanation.explanation import Explanation
from musiclime_torch.explanation.settings import Settings
from musiclime_torch.song.track import Track
from musiclime_torch.variants.scale import Scale


@settings(deadline=None, max_examples=60)
@given(d=st.integers(1, 9), seed=st.integers(0, 10_000))
def test_no_single_component_of_a_found_set_can_be_spared(d: int, seed: int):
    generator = torch.Generator().manual_seed(seed)
    weights = torch.randn(d, generator=generator)
    products = torch.randn(d, d, generator=generator)

    def margin(sets: torch.Tensor) -> torch.Tensor:
        z = sets.float()
        return z @ weights + ((z @ products) * z).sum(1) / 2 - 0.5

    order = weights.argsort(descending=True)
    found = find_minimal(margin, order)
    if found is None:
        prefixes = torch.zeros(d + 1, d, dtype=torch.bool)
        for size in range(d + 1):
            prefixes[size, order[:size]] = True
        assert (margin(prefixes) <= 0).all()
        assert (margin(torch.eye(d, dtype=torch.bool)) <= 0).all()
        return
    assert margin(found[None]) > 0
    for column in found.nonzero().flatten().tolist():
        smaller = found.clone()
        smaller[column] = False
        assert margin(smaller[None]) <= 0


@pytest.mark.parametrize("pair", [(1, 4), (5, 2)])
def test_two_that_no_prefix_holds_alone_are_found(pair):
    """Whatever else goes with them brings the decision back."""

    def margin(sets: torch.Tensor) -> torch.Tensor:
        wanted = sets[:, list(pair)].sum(1)
        return wanted - 1.5 - (sets.sum(1) - wanted)

    found = find_minimal(margin, torch.arange(6))
    assert found is not None
    assert set(found.nonzero().flatten().tolist()) == set(pair)
    assert find_minimal(lambda sets: margin(sets) - 1, torch.arange(6)) is None


def test_what_is_asked_for_decides_the_margin():
    outputs = torch.tensor([[2.0, 0.5, 1.0], [0.0, 3.0, -1.0]])

    def scale(kind: str, target: int, foil: int | None, classes: int = 3) -> Scale:
        return Scale(kind, "logit", outputs[0, :classes], tuple("abcd"[:classes]), target, foil)

    assert measure_margin(outputs, scale("logits", 0, None)).tolist() == [1.0, -3.0]
    assert measure_margin(outputs, scale("logits", 2, 1)).tolist() == [0.5, -4.0]
    assert measure_margin(outputs, scale("multilabel", 1, None)).tolist() == [0.5, 3.0]
    assert measure_margin(outputs[:, :1], scale("probabilities", 0, None, 1)).tolist() == [1.5, -0.5]
    with pytest.raises(InputError, match="evidence needs a classifier"):
        measure_margin(outputs, scale("regression", 0, None))


def explain_words(track: Track, rule, **options) -> Explanation:
    """A model that reads strings and looks for words."""
    return explain(
        lambda text: torch.tensor([[rule(line.split())] for line in text]).float() - 0.5,
        track, modalities=("lyrics",), output_kind="multilabel", evidence=True, **options,
    )  # fmt: skip


def names(explanation: Explanation, columns: tuple[int, ...] | None) -> list[str] | None:
    return None if columns is None else sorted(explanation.components.items[column].word for column in columns)


def test_a_decision_that_takes_two_words_is_kept_by_both_and_flipped_by_either(track: Track):
    found = explain_words(track, lambda words: "hold" in words and "is" in words)
    assert names(found, found.evidence.keeping) == ["hold", "is"]
    assert names(found, found.evidence.flipping) in (["hold"], ["is"])
    assert found.evidence.output_keeping == 0.5
    assert found.evidence.output_flipping == -0.5
    assert found.evidence.decision == "output: yes"


def test_a_decision_that_takes_either_of_two_words_is_kept_by_one_and_flipped_by_both(track: Track):
    found = explain_words(track, lambda words: "hold" in words or "is" in words)
    assert names(found, found.evidence.keeping) in (["hold"], ["is"])
    assert names(found, found.evidence.flipping) == ["hold", "is"]


def test_none_found_is_an_answer(track: Track):
    found = explain_words(track, lambda words: True)
    assert found.evidence.keeping == ()
    assert found.evidence.flipping is None
    assert found.evidence.output_flipping is None


def test_a_decision_against_is_kept_and_flipped_too(track: Track):
    found = explain_words(track, lambda words: "now" not in words)
    assert found.evidence.decision == "output: no"
    assert names(found, found.evidence.keeping) == ["now"]
    assert names(found, found.evidence.flipping) == ["now"]


def test_a_foil_asks_why_the_one_and_not_the_other(track: Track):
    def look(text: list[str]) -> torch.Tensor:
        return torch.tensor([[1.0 * ("hold" in line), 0.5, 9.0 * ("me" in line)] for line in text])

    found = explain(look, track, modalities=("lyrics",), target=0, foil=1, evidence=True)
    assert found.evidence.decision == "output 0 above output 1"
    assert names(found, found.evidence.keeping) == ["hold"]
    assert found.classes[-1] == "output 0 rather than output 1"
    assert found.target == 3
    assert torch.allclose(found.attributions[3], found.attributions[0] - found.attributions[1], atol=1e-9)


def test_evidence_is_what_the_model_says_of_it(track: Track):
    found = explain_words(track, lambda words: len(words) >= 3)
    assert len(found.evidence.keeping) == 3
    assert len(found.evidence.flipping) == 5
    assert found.evidence.variants > 0


def test_an_output_that_is_no_number_is_no_evidence(track: Track):
    """Here outputs are NaN once all variants of the explanation itself have been answered."""
    options = {"modalities": ("lyrics",), "output_kind": "multilabel", "n_samples": 40}
    answered, limit = 0, float("inf")

    def model(text: list[str]) -> torch.Tensor:
        nonlocal answered
        answered += len(text)
        found = torch.tensor([[len(line.split())] for line in text]).float() - 2.5
        return found if answered <= limit else found * torch.nan

    explain(model, track, **options)
    answered, limit = 0, answered
    explanation = explain(model, track, evidence=True, **options)
    assert explanation.evidence is None
    # What was estimated before isn't lost, and it is said what failed.
    failed = [warning for warning in explanation.warnings if warning.startswith("the search for evidence failed: ")]
    assert "must return finite numbers" in failed[0]
    assert explanation.attributions.isfinite().all()


def explain_in_passing(track: Track, rule: Callable[[list[str]], float], **options: Any) -> tuple[Explanation, list[int]]:
    """The explanation, and how many texts the model was given in each call."""
    asked: list[int] = []

    def model(text: list[str]) -> torch.Tensor:
        asked.append(len(text))
        return torch.tensor([[float(rule(line.split()))] for line in text]) - 0.5

    chosen = Settings(modalities=("lyrics",), **{"output_kind": "multilabel", **options})
    return explain_with(model, track, chosen, evidence_in_passing=True), asked


@pytest.mark.parametrize("n_samples", [16, 32, 64, 100])
@pytest.mark.parametrize("rule", [lambda words: len(words) >= 3, lambda words: "hold" in words and "is" in words])
def test_evidence_in_passing_takes_no_more_passes_than_the_sampling(
    track: Track, rule: Callable[[list[str]], float], n_samples: int
):
    plain, before = explain_in_passing(track, rule, n_samples=n_samples, output_kind="regression")
    assert plain.evidence is None
    found, asked = explain_in_passing(track, rule, n_samples=n_samples)
    sampling = sum(before)
    assert sum(asked) <= 2 * sampling
    stopped = [warning for warning in found.warnings if "search for evidence was stopped after" in warning]
    assert (found.evidence is None) == bool(stopped)
    if found.evidence is not None:
        assert found.evidence == explain_words(track, rule, n_samples=n_samples).evidence


def test_evidence_in_passing_is_complete_where_every_mask_is_known(track: Track):
    def rule(words: list[str]) -> bool:
        return "hold" in words and "is" in words

    found, asked = explain_in_passing(track, rule)
    assert sum(asked) == 2**7
    assert names(found, found.evidence.keeping) == ["hold", "is"]


def test_nothing_is_searched_where_the_decision_stays_with_everything_removed(track: Track):
    found, asked = explain_in_passing(track, lambda words: len(words) != 6, n_samples=100)
    _, before = explain_in_passing(track, lambda words: len(words) != 6, n_samples=100, output_kind="regression")
    assert asked == before
    chance = float(torch.tensor(0.5, dtype=torch.float64).sigmoid())
    assert found.evidence == Evidence("output: yes", (), None, 0.5, None, 0, chance)
    # Who asks for it gets what there is: one word less, and the model decides otherwise.
    asked_for = explain_words(track, lambda words: len(words) != 6)
    assert asked_for.evidence.keeping == ()
    assert len(asked_for.evidence.flipping) == 1
