"""Sentences say what the numbers say, and nothing that they don't."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from models import Late

from musiclime_torch.explanation.evidence import Evidence, SmallestEdit
from musiclime_torch.explanation.explainer import explain
from musiclime_torch.explanation.explanation import Explanation
from musiclime_torch.explanation.sentences import (
    find_instead,
    find_probabilities,
    say_changed,
    say_end,
    to_sentences,
)
from musiclime_torch.song.track import Track


@pytest.fixture
def known(track: Track) -> Explanation:
    return explain(Late(), track, segments=2, n_samples=200)


def turn(explanation: Explanation, kind: str, space: str, outputs: list[float], target: int = 0, **more: Any) -> Explanation:
    """The explanation with other outputs, of another kind of model."""
    values = torch.full_like(explanation.output_song, -5.0)
    values[: len(outputs)] = torch.tensor(outputs, dtype=values.dtype)
    provenance = explanation.provenance | {"output_kind": kind}
    return replace(explanation, output_song=values, space=space, target=target, provenance=provenance, **more)


@pytest.mark.parametrize(
    ("kind", "space", "outputs", "target", "sentence"),
    [
        ("logits", "logit", [2.0, 0.0, 0.0], 0, "The model is 79% sure that this is {0}."),
        ("logits", "logit", [2.0, 0.0, 0.0], 1, "The model takes this for {0} (79%); {1} gets 11%."),
        ("logits", "probability", [0.999, 0.0005, 0.0005], 0, "The model is over 99% sure that this is {0}."),
        ("logits", "log-odds", [1.0, -2.0, -2.0], 0, "The model is 73% sure that this is {0}."),
        ("probabilities", "probability", [0.2, 0.7, 0.1], 1, "The model is 70% sure that this is {1}."),
        ("multilabel", "logit", [1.0, 3.0, -1.0], 1, "The model says yes to {1} (95%)."),
        ("multilabel", "logit", [-1.0, 3.0, -1.0], 0, "The model says no to {0} (27%)."),
        ("multilabel", "logit", [-3.0, -1.3, -4.0], 1, "None of the 3 tags reaches 50%; the nearest is {1}, 21%."),
        ("logits", "logit", [1.0, 1.0, 1.0], 0, "The model can't decide: {0} and other classes get 33% each."),
        ("regression", "raw", [3.25, 0.0, 0.0], 0, "{0}: the output is 3.25 on the song, and "),
    ],
)
def test_the_decision(known: Explanation, kind: str, space: str, outputs: list[float], target: int, sentence: str):
    said = to_sentences(turn(known, kind, space, outputs, target))
    assert said[0].startswith(sentence.format(*known.classes))


def test_the_largest_component_is_named_if_it_is_significant(known: Explanation):
    component, value, _ = known.top(1)[0]
    said = to_sentences(known)[1]
    assert component.name.lower() in said.lower()
    assert ("speaks for" in said) == (value > 0)
    noise = replace(known, standard_errors=torch.full_like(known.standard_errors, 1e3))
    assert to_sentences(noise)[1] == "No single component is significant."


def test_evidence_is_told_as_it_was_found(known: Explanation):
    names = [item.name for item in known.components.items]

    def tell(keeping: tuple[int, ...] | None, flipping: tuple[int, ...] | None) -> list[str]:
        return list(to_sentences(replace(known, evidence=Evidence("", keeping, flipping, 0.0, 0.0, 9))))[2:]

    assert tell((0,), (1, 2)) == [
        f"{names[0][:1].upper()}{names[0][1:]} alone keeps the decision.",
        f"Without {names[1]} and {names[2]} the model decides otherwise.",
    ]
    # A part may hold back what all parts together don't need: both are said, and neither sounds like the other's denial.
    assert tell((), (1,)) == [
        "With everything removed the decision stays the same.",
        f"With just {names[1]} removed and the rest kept, it changes.",
    ]
    assert tell((), None) == ["The decision stays the same with everything removed."]
    assert tell(None, None) == ["No set of components was found whose removal changes the decision."]
    assert tell((0, 1, 2, 3), None)[0].endswith(f"{names[1]} and 2 more alone keep the decision.")
    # Another class was not put to the test.
    other = (known.target + 1) % len(known.classes)
    assert len(to_sentences(replace(known, evidence=Evidence("", (0,), (1,), 0.0, 0.0, 9)), target=other)) == 2


def test_a_contrast_names_both_classes(track: Track):
    explanation = explain(Late(), track, segments=2, n_samples=200, target=0, foil=1)
    chances = find_probabilities(explanation)
    assert len(chances) == len(explanation.classes) - 1
    first, second = (0, 1) if chances[0] >= chances[1] else (1, 0)
    said = to_sentences(explanation)[0]
    assert said.startswith(f"The model prefers {explanation.classes[first]} (")
    assert f"to {explanation.classes[second]} (" in said


def unsettle(explanation: Explanation) -> Explanation:
    """The explanation with errors so large that nothing is significant."""
    return replace(explanation, standard_errors=torch.full_like(explanation.standard_errors, 1e3))


@pytest.mark.parametrize("evidence", [None, Evidence("", (), None, 0.0, None, 0), Evidence("", None, None, None, None, 9)])
def test_where_nothing_is_significant_no_component_is_named(known: Explanation, evidence: Evidence | None):
    said = " ".join(to_sentences(replace(unsettle(known), evidence=evidence)))
    assert "No single component is significant." in said
    assert "did most" not in said
    assert not any(item.name.casefold() in said.casefold() for item in known.components)


def test_no_class_above_one_half_names_the_nearest_and_its_percentage(known: Explanation):
    """Of fifty tags none reaches 50%, and the nearest gets 22%."""
    classes = ("indie", *(f"tag {number}" for number in range(49)))
    rows = {
        name: getattr(known, name)[:1].expand(50, -1) for name in ("attributions", "standard_errors", "degrees_of_freedom")
    }
    rows |= {name: getattr(known, name)[:1].expand(50) for name in ("intercept", "fidelity")}
    outputs = torch.full((50,), -4.0, dtype=torch.float64)
    outputs[0] = torch.logit(torch.tensor(0.22, dtype=torch.float64))
    many = replace(
        known, classes=classes, output_song=outputs, output_empty=outputs, target=0, space="logit", interactions=None,
        provenance=known.provenance | {"output_kind": "multilabel"}, **rows,
    )  # fmt: skip
    assert to_sentences(many)[0] == "None of the 50 tags reaches 50%; the nearest is indie, 22%."
    assert to_sentences(many, "tag 3")[0] == "The model says no to tag 3 (2%)."


@pytest.mark.parametrize("outputs", [[0.0], [3.25], [-1e-3]])
def test_a_regression_has_neither_percentages_nor_raw_scales(known: Explanation, outputs: list[float]):
    said = " ".join(to_sentences(turn(known, "regression", "raw", outputs)))
    assert f"the output is {outputs[0]:.3g} on the song" in said
    assert "raw" not in said
    assert "%" not in said
    assert "sure" not in said


@pytest.mark.parametrize("keeping", [None, (), (0,)])
@pytest.mark.parametrize("flipping", [None, (1,)])
def test_what_stays_with_everything_removed_is_never_denied(known: Explanation, keeping: Any, flipping: Any):
    said = to_sentences(replace(known, evidence=Evidence("", keeping, flipping, 0.0, 0.0, 9)))[2:]
    stays = any("the decision stays the same" in sentence.lower() for sentence in said)
    assert stays == (keeping == ())
    assert not (stays and any(sentence.startswith("Without") for sentence in said))
    assert said


def tell_with(track: Track, **options: Any) -> Explanation:
    return explain(Late(), track, segments=2, n_samples=200, **options)


@pytest.mark.parametrize(
    ("options", "end"),
    [
        ({}, "with everything removed"),
        ({"baseline": "noise"}, "with everything removed"),
        ({"baseline": "-12 dB"}, "with every stem 12 dB lower and all words removed"),
        ({"baseline": "lowpass 1k"}, "with every stem low-passed at 1000 Hz and all words removed"),
        ({"baseline": "median"}, "with every stem smoothed by medians over 0.3 s and all words removed"),
        ({"baseline": "drums=+2 st"}, "with drums 2 semitones higher, vocals removed and all words removed"),
        ({"lyrics_baseline": "love=hate"}, "with every stem removed and other words in the lyrics"),
        ({"baseline": "-6 dB", "lyrics_baseline": "love=hate"}, "with every stem 6 dB lower and other words in the lyrics"),
    ],
)
def test_the_empty_song_is_called_what_it_is(track: Track, options: dict[str, str], end: str):
    assert say_end(tell_with(track, **options)) == end


def test_parts_are_compared_with_what_stands_in_for_them(track: Track):
    take = replace(track, lyrics=None, stems=track.stems.flip(-1))
    known = tell_with(track, baseline={"drums": "-12 dB", "vocals": take}, lyrics_baseline={"love": "hate"})
    assert find_instead(known, 0) == "12 dB lower"
    assert find_instead(known, 2) == "as in another take"
    words = {item.name: find_instead(known, column) for column, item in enumerate(known.components)}
    assert {name: other for name, other in words.items() if other == "hate"} == {
        "love (line 2, word 1)": "hate",
        "love (line 2, word 4)": "hate",
    }
    largest, instead = known.top(1)[0][0].name, find_instead(known, known.order()[0])
    assert (
        to_sentences(known)[1]
        .casefold()
        .startswith(f"{largest}, as it is instead of {instead}, did most: it speaks".casefold())
    )
    assert say_changed(known, (0, 1)) == "with drums 0:00-0:01 and drums 0:01-0:02 made 12 dB lower"
    mixed = say_changed(known, (0, 7))
    assert mixed == "with drums 0:00-0:01 made 12 dB lower and with hate in place of love (line 2, word 1)"


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (SmallestEdit((0,), "-6 dB", 2, 0.0, None, 40), "The smallest edit found that flips it: {0} made 6 dB lower."),
        (SmallestEdit((0,), "silence", 5, 0.0, None, 40), "The smallest edit found that flips it: to take out {0}."),
        (
            SmallestEdit((0, 1), "low-pass 500 Hz", 5, 0.0, None, 40),
            "The smallest edit found that flips it: {0} and {1} low-passed at 500 Hz.",
        ),
        (SmallestEdit(None, "", 0, None, None, 1234), "No edit that was tried (1,234) flips the decision."),
    ],
)
def test_the_smallest_edit_is_told(known: Explanation, edit: SmallestEdit, said: str):
    names = [item.name for item in known.components.items]
    told = to_sentences(replace(known, evidence=Evidence("", None, None, None, None, 9, edit=edit)))
    assert told[-1] == said.format(*names)
