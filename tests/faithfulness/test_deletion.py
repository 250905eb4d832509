"""Deletion and insertion against a loop over single variants, and on models whose answer is known."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from counting import ALONE, SMALL, count_words
from models import Additive, Late

from musiclime_torch.basics.progress import Stages
from musiclime_torch.explanation.answers import Answers
from musiclime_torch.explanation.explainer import explain
from musiclime_torch.explanation.explanation import Explanation
from musiclime_torch.faithfulness import check
from musiclime_torch.faithfulness.deletion import SHARES
from musiclime_torch.faithfulness.question import asking, recall
from musiclime_torch.faithfulness.stability import deal
from musiclime_torch.song.track import Track
from musiclime_torch.variants.asking import run_joint
from musiclime_torch.variants.scale import to_values

WORDS = {"modalities": ("lyrics",), "target": 0}


def test_every_figure_is_that_of_a_loop_over_single_variants(track: Track):
    explanation = explain(count_words, track, **WORDS)
    found = check(count_words, track, explanation, **ALONE, chances=4)
    words = ["hold", "me", "now", "love", "is", "my", "love"]
    values = explanation.attributions[0]
    d = len(words)

    def run(kept: set[int]) -> tuple[float, bool]:
        logits = count_words([" ".join(word for place, word in enumerate(words) if place in kept)])[0].double()
        return float(logits.softmax(0)[0]), bool(logits[0] > logits[1])

    song, decided = run(set(range(d)))
    dealt = deal(values, 4, explanation.provenance["settings"]["seed"] + 1)
    for row, order in enumerate(dealt.orders.tolist()):
        deletion = [run(set(order[count:]))[0] for count in range(d + 1)]
        insertion = [run(set(order[:count]))[0] for count in range(d + 1)]
        assert found.curves.deletion[row].tolist() == pytest.approx(deletion, abs=1e-6)
        assert found.curves.insertion[row].tolist() == pytest.approx(insertion, abs=1e-6)
        tops = [max(1, -(-round(share * 100) * d // 100)) for share in SHARES]
        without = [song - run(set(order[top:]))[0] for top in tops]
        alone = [song - run(set(order[:top]))[0] for top in tops]
        assert found.erasure.without[row].tolist() == pytest.approx(without, abs=1e-6)
        assert found.erasure.alone[row].tolist() == pytest.approx(alone, abs=1e-6)
        if row == 0:
            assert values[order].tolist() == sorted(values.tolist(), reverse=True)
            area = sum((a + b) / 2 / d for a, b in pairwise(deletion))
            assert found.curves.deletion_area.value == pytest.approx(area, abs=1e-6)
            assert found.curves.insertion_area.value == pytest.approx(
                sum((a + b) / 2 / d for a, b in pairwise(insertion)), abs=1e-6
            )
            assert found.erasure.comprehensiveness.value == pytest.approx(np.mean(without), abs=1e-6)
            assert found.erasure.sufficiency.value == pytest.approx(np.mean(alone), abs=1e-6)
            flips = [float(run(set(order[count:]))[1] != decided) for count in (1, 3, 5)]
            assert [figure.value for figure in found.flips.figures] == flips
    chance = [np.mean([run(set(order[count:]))[1] != decided for order in dealt.orders[1:].tolist()]) for count in (1, 3, 5)]
    assert [figure.random for figure in found.flips.figures] == pytest.approx(chance)


@pytest.mark.parametrize("model", [Late(), Additive()])
def test_a_stack_of_masks_gives_what_masks_give_one_by_one(track: Track, model: torch.nn.Module):
    explanation = explain(model, track, segments=2, n_samples=200, target="wild")
    whole = check(model, track, explanation, **ALONE, chances=2)
    question = recall(model, track, explanation, None, None)
    dealt = deal(explanation.attributions[1], 2, 1)
    with asking(question, Stages(), Answers()) as (probe, scale):
        for row, order in enumerate(dealt.orders):
            for point, share in enumerate(whole.curves.shares.tolist()):
                mask = torch.ones(1, 11, dtype=torch.bool)
                mask[0, order[: round(share * 11)]] = False
                value = to_values(scale.on("probability"), run_joint(probe, mask))[0, 1]
                assert float(whole.curves.deletion[row, point]) == pytest.approx(float(value), abs=1e-6)
                value = to_values(scale.on("probability"), run_joint(probe, ~mask))[0, 1]
                assert float(whole.curves.insertion[row, point]) == pytest.approx(float(value), abs=1e-6)


def explain_sum(track: Track, **options: object) -> tuple[Additive, Explanation]:
    """A model that is linear in its components, on the scale on which it is."""
    model = Additive()
    return model, explain(model, track, target=1, output_kind="regression", **SMALL, **options)


def test_of_a_linear_model_the_top_take_their_own_sum_with_them(track: Track):
    model, explanation = explain_sum(track)
    found = check(model, track, explanation, **ALONE)
    largest = explanation.attributions[1].sort(descending=True).values
    song, empty = float(explanation.output_song[1]), float(explanation.output_empty[1])
    lost = torch.cat([torch.zeros(1, dtype=torch.float64), largest.cumsum(0)])
    assert torch.allclose(song - found.curves.deletion[0], lost, atol=1e-4)
    assert torch.allclose(found.curves.insertion[0] - empty, lost, atol=1e-4)
    assert found.space == found.fitted_space == "raw"
    assert found.flips is None
    assert found.fidelity.value == pytest.approx(1, abs=1e-6)
    assert found.infidelity.value == pytest.approx(0, abs=1e-6)
    assert found.fidelity.random < 0.5
    # Whatever goes in one order comes in the other.
    areas = torch.trapezoid(found.curves.deletion + found.curves.insertion, found.curves.shares)
    assert torch.allclose(areas, torch.full_like(areas, song + empty), atol=1e-4)


def test_true_attributions_have_the_best_areas_that_any_have(track: Track):
    model, explanation = explain_sum(track)
    best = check(model, track, explanation, **ALONE, chances=200).curves
    for curve, sign in ((best.deletion, 1), (best.insertion, -1)):
        areas = torch.trapezoid(sign * curve, best.shares)
        assert float(areas[0]) < float(areas[1:].min())


def test_random_orders_have_the_same_areas_either_way_on_average(track: Track):
    model, explanation = explain_sum(track)
    found = check(model, track, explanation, **ALONE, chances=400).curves
    error = found.deletion_area.spread / 20
    assert abs(found.deletion_area.random - found.insertion_area.random) < 8 * error
    middle = float(explanation.output_song[1] + explanation.output_empty[1]) / 2
    assert abs(found.deletion_area.random - middle) < 4 * error


def test_reversed_attributions_swap_deletion_with_insertion(track: Track):
    model = Late()
    explanation = explain(model, track, segments=2, n_samples=200)
    own = explanation.attributions[explanation.target]
    there, back = (check(model, track, explanation, attributions=values, **ALONE) for values in (own, -own))
    assert there.curves.deletion[0].tolist() == pytest.approx(back.curves.insertion[0].flip(0).tolist(), abs=1e-6)
    assert there.curves.deletion_area.value == pytest.approx(back.curves.insertion_area.value, abs=1e-6)
    assert there.stability is None
    assert there.fidelity_fitted is None


def test_a_decision_against_flips_by_what_speaks_against_it(track: Track):
    """A model that is on without "now": with it, the decision is off, and the word's removal flips it."""

    def model(text: list[str]) -> torch.Tensor:
        return torch.tensor([[0.5 - ("now" in line.split()) + 0.1 * ("me" in line)] for line in text])

    explanation = explain(model, track, modalities=("lyrics",), output_kind="multilabel")
    found = check(model, track, explanation, **ALONE, chances=400)
    assert [figure.value for figure in found.flips.figures] == [1, 1, 1]
    # One word of seven: chance finds it in 1/7, 3/7 and 5/7 of all removals.
    assert [figure.random for figure in found.flips.figures] == pytest.approx([1 / 7, 3 / 7, 5 / 7], abs=0.1)  # four errors


def test_flips_ask_about_a_foil_where_there_is_one(track: Track):
    def model(text: list[str]) -> torch.Tensor:
        return torch.tensor([[1.0 * ("hold" in line), 0.5, 9.0] for line in text])

    explanation = explain(model, track, modalities=("lyrics",), target=0, foil=1)
    found = check(model, track, explanation, **ALONE)
    assert found.target == "output 0 rather than output 1"
    assert found.flips.figures[0].value == 1
