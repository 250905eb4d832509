"""Measures of faithfulness: slow loops of single variants, laws, Captum's metrics, and what is left untouched."""

from dataclasses import asdict
from itertools import pairwise

import numpy as np
import pytest
import torch
from counting import ALONE, SMALL, count_words
from models import RATE, Additive, Late

from musiclime_torch.basics.errors import InputError
from musiclime_torch.explanation.explainer import explain
from musiclime_torch.explanation.explanation import Explanation
from musiclime_torch.faithfulness import Check, check, measure_infidelity, measure_sensitivity
from musiclime_torch.faithfulness.deletion import SHARES
from musiclime_torch.faithfulness.ladder import count_steps, deal
from musiclime_torch.faithfulness.question import asking, recall
from musiclime_torch.models.hashing import shuffling
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
    with asking(question, lambda rows: None) as (probe, scale):
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


def test_infidelity_is_captums(track: Track):
    from captum.metrics import infidelity

    model = Late()
    explanation = explain(model, track, segments=2, n_samples=200)
    question = recall(model, track, explanation, None, None)
    kept = torch.rand(64, 11, generator=torch.Generator().manual_seed(5)) < 0.5
    dealt = deal(explanation.attributions[explanation.target], 3, 0).attributions
    with asking(question, lambda rows: None) as (probe, scale):

        def forward(masks: torch.Tensor) -> torch.Tensor:
            return to_values(scale, run_joint(probe, masks > 0.5))[:, scale.column]

        drops = forward(torch.ones(1, 11)) - forward(kept.double())
        for normalize in (False, True):
            ours = measure_infidelity(dealt, kept, drops, normalize=normalize)
            for attributions, own in zip(dealt, ours, strict=True):
                theirs = infidelity(
                    forward, lambda _: (1 - kept.double(), kept.double()), torch.ones(1, 11).double(), attributions[None],
                    n_perturb_samples=64, normalize=normalize,
                )  # fmt: skip
                assert float(own) == pytest.approx(float(theirs), rel=1e-5, abs=1e-9)


def test_sensitivity_is_captums():
    from captum.attr import FeatureAblation
    from captum.metrics import sensitivity_max

    ablation = FeatureAblation(lambda x: torch.tanh(x).prod(1) + x[:, 0] ** 2)
    x = torch.tensor([[0.3, -1.2, 0.8, 2.0]])
    noise = 0.1 * torch.randn(12, 4, generator=torch.Generator().manual_seed(2))
    theirs = sensitivity_max(ablation.attribute, x, perturb_func=lambda given: given + noise, n_perturb_samples=12)
    ours = measure_sensitivity(ablation.attribute(x)[0], ablation.attribute(x + noise))
    assert float(ours) == pytest.approx(float(theirs), rel=1e-5)


class Odd(Additive):
    """With batch norm, dropout, and flags that aren't all the same."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = torch.nn.BatchNorm1d(3)
        self.norm.eval()
        self.noise.train()

    def forward(self, audio, text):
        np.random.random(), torch.rand(1)  # a model may draw
        return self.norm(super().forward(audio, text))


def photograph(model: torch.nn.Module) -> list[object]:
    """Everything that must stay: weights, where they lie, gradients, buffers, flags, random states (but Python's, from which
    beartype draws: see test_random_states).
    """
    kept: list[object] = [(id(one), one.data_ptr(), one.data.tolist(), one.grad.tolist()) for one in model.parameters()]
    kept += [(name, one.data_ptr(), one.tolist()) for name, one in model.named_buffers()]
    kept += [part.training for part in model.modules()]
    return [*kept, torch.get_rng_state().tolist(), np.random.get_state()[1].tolist()]


def test_shuffling_leaves_model_and_random_states_bit_identical(track: Track):
    model = Odd()
    model(track.stems.sum(0)[None], TokenBatchOf(model)).sum().backward()
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter) if parameter.grad is None else parameter.grad
    model.eval()
    model.noise.train()
    before = photograph(model)
    explanation = explain(model, track, segments=2, n_samples=100)
    found = check(model, track, explanation, seeds=0, shuffled=(0.5, 1.0), chances=20)
    assert photograph(model) == before
    assert found.randomisation.shares == (0.5, 1.0)
    assert abs(found.randomisation.correlation.value) < 0.9
    assert found.randomisation.correlations[1] == found.randomisation.correlation.value
    assert abs(found.randomisation.correlation.random) < 0.4
    with pytest.raises(InputError), shuffling(model, 1.0, 0):
        raise InputError("whatever happens inside")
    with shuffling(model, 1.0, 0):
        assert photograph(model) != before
    assert photograph(model) == before


def TokenBatchOf(model: Additive):  # noqa: N802 - a stand-in for the class
    from musiclime_torch.models.contract import TokenBatch

    ids = model.tokenize("hold me now").ids
    return TokenBatch(model.embed_text(ids)[None], torch.ones(1, len(ids), dtype=torch.bool))


def test_a_cascade_shuffles_from_the_output_down():
    model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Linear(4, 4), torch.nn.Linear(4, 4))
    before = [one.detach().clone() for one in model.parameters()]
    with shuffling(model, 1 / 3, 0):
        changed = [not torch.equal(one, own) for one, own in zip(model.parameters(), before, strict=True)]
        sizes = [torch.equal(one.sort().values.flatten().sort().values, own.flatten().sort().values)
                 for one, own in zip(model.parameters(), before, strict=True)]  # fmt: skip
    assert changed == [False, False, False, False, True, True]
    assert all(sizes)


def test_a_model_behind_a_plain_callable_is_shuffled_too_and_one_without_weights_is_not(track: Track):
    net = torch.nn.Linear(4, 2)

    def hear(audio: torch.Tensor) -> torch.Tensor:
        return net(torch.stack([part.abs().mean((1, 2)) for part in audio.chunk(4, -1)], 1))

    options = {"sample_rate": RATE, "modalities": ("audio",), "segments": 4, "n_samples": 256}
    explanation = explain(hear, track, **options)
    found = check(hear, track, explanation, seeds=1)
    assert found.components == 8
    assert found.randomisation.correlation.value < 0.99
    assert found.stability.correlation.value == 1  # every mask was taken, under any seed
    assert found.stability.overlap.value == 1
    assert found.stability.sensitivity.value == 0
    assert check(count_words, track, explain(count_words, track, **WORDS), seeds=0).randomisation is None


def test_stability_grows_with_masks(track: Track):
    model = Late()
    few, many = (
        check(model, track, explain(model, track, segments=8, n_samples=count), seeds=2, shuffled=()).stability
        for count in (60, 600)
    )
    assert few.seeds == 3
    assert many.correlation.value > few.correlation.value > few.correlation.random
    assert many.sensitivity.value < few.sensitivity.value < few.sensitivity.random
    assert few.overlap.random == pytest.approx(5 / 23, abs=0.15)


def strip(found: Check) -> dict[str, object]:
    return {name: value for name, value in asdict(found).items() if name not in ("curves", "erasure")}


def test_a_saved_explanation_is_checked_alike(track: Track, tmp_path):
    model = Late()
    explanation = explain(model, track, segments=[0.5, 1.2], n_samples=(40, 24), batch_size=7)
    explanation.save(tmp_path / "it.safetensors")
    first = check(model, track, explanation, seeds=1)
    again = check(model, track, Explanation.load(tmp_path / "it.safetensors"), seeds=1)
    assert strip(first) == strip(again)
    assert torch.equal(first.curves.deletion, again.curves.deletion)


def test_unseen_components_are_left_out(track: Track):
    model = Additive(limit=3)
    explanation = explain(model, track, segments=2, n_samples=100)
    assert len(explanation.unseen) == 4
    assert check(model, track, explanation, **ALONE).components == 7


def test_the_song_that_stood_in_stands_in_again(track: Track):
    other = Track(0.5 * track.stems.flip(-1), track.stem_names, RATE, None, title="other", source="made by hand")
    model = Additive()
    explanation = explain(model, track, baseline=other, **SMALL)
    with pytest.raises(InputError, match="replaced by those of 'other'"):
        check(model, track, explanation)
    found = check(model, track, explanation, baseline=other, **ALONE)
    assert found.fidelity.value == pytest.approx(1, abs=1e-6)


def test_what_cannot_be_checked_is_said_in_a_sentence(track: Track):
    model = Additive()
    explanation = explain(model, track, segments=2, n_samples=100)
    for wrong, message in (
        ({"chances": 1}, "chances must be at least 2, got 1"),
        ({"seeds": -1}, "seeds must be at least 0, got -1"),
        ({"held_out": 1}, "held_out must be at least 2, got 1"),
        ({"shuffled": (0.0,)}, "at most 1, got 0"),
        ({"attributions": [1.0, 2.0]}, r"shape \(2,\) don't fit: give 11"),
        ({"attributions": [float("nan")] * 11}, "NaN"),
    ):
        with pytest.raises(InputError, match=message):
            check(model, track, explanation, **wrong)
    shorter = Track(track.stems[:, :, :8000], track.stem_names, RATE, track.lyrics, title="a", source="made by hand")
    with pytest.raises(InputError, match="other components"):
        check(model, shorter, explanation)
    silent = Track(torch.zeros_like(track.stems), track.stem_names, RATE, None, title="a", source="made by hand")
    with pytest.raises(InputError, match="nothing to check"):
        check(model, silent, explain(model, silent, segments=2))


def test_counts_are_the_same_from_either_end():
    for d in range(1, 300):
        counts = count_steps(d, 33)
        assert counts[0] == 0
        assert counts[-1] == d
        assert len(counts) <= 33
        assert [d - count for count in reversed(counts)] == list(counts)


def test_captums_attributions_are_checked_beside_ours(track: Track):
    from captum.attr import FeatureAblation

    from musiclime_torch.captum.inputs import lay_out

    model = Additive().eval()
    explanation = explain(model, track, target=1, output_kind="regression", **SMALL)
    laid = lay_out(model, track, explanation.components)
    with torch.no_grad():
        parts = FeatureAblation(laid.forward).attribute(
            laid.inputs, baselines=laid.baselines, feature_mask=laid.feature_mask, target=1
        )
    theirs = torch.zeros(12)
    for part, mask in zip(parts, laid.feature_mask, strict=True):
        theirs[mask.expand_as(part).flatten()] = part.flatten()
    found = check(model, track, explanation, attributions=theirs[:11], **ALONE)
    # A linear model: both are its coefficients, up to the cross-fades that a feature mask doesn't have.
    assert found.fidelity.value == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(
    ("kind", "space", "decides"),
    [
        ("logits", "probability", True),
        ("multilabel", "probability", True),
        ("probabilities", "probability", True),
        ("regression", "raw", False),
        ("embedding", "raw", False),
    ],
)
def test_every_kind_of_outputs_is_checked(track: Track, kind: str, space: str, decides: bool):
    def model(text: list[str]) -> torch.Tensor:
        return count_words(text).softmax(1)

    explanation = explain(model, track, modalities=("lyrics",), output_kind=kind)
    found = check(model, track, explanation, **ALONE)
    assert found.space == space
    assert (found.flips is not None) == decides
    assert found.curves.deletion_area.value < found.curves.insertion_area.value


@pytest.mark.parametrize("weights", ["uniform", "lime", "paper", "shapley"])
def test_fidelity_goes_by_the_weights_of_the_explanation(track: Track, weights: str):
    explanation = explain(count_words, track, weights=weights, kernel_width=0.4, **WORDS)
    found = check(count_words, track, explanation, held_out=500, **ALONE)
    generator = torch.Generator().manual_seed(2)
    kept = (torch.rand(500, 7, generator=generator) < 0.5).numpy()
    distance = 1 - np.sqrt(kept.mean(1))
    width = {"lime": 0.4, "paper": 25.0}.get(weights, np.inf)
    rows = np.exp(-(distance**2) / (2 * width**2))
    words = ["hold", "me", "now", "love", "is", "my", "love"]
    values = np.array([count_words([" ".join(w for w, on in zip(words, row, strict=True) if on)])[0, 0] for row in kept])
    left = values - kept @ explanation.attributions[0].numpy()
    missed, spread = (np.average((y - np.average(y, weights=rows)) ** 2, weights=rows) for y in (left, values))
    assert found.fidelity.value == pytest.approx(1 - missed / spread, abs=1e-5)
    assert found.fidelity_fitted == pytest.approx(float(explanation.fidelity[0]))


def test_a_model_that_breaks_once_its_weights_are_shuffled_is_named_and_mended(track: Track):
    class Touchy(torch.nn.Module):
        modalities = ("lyrics",)

        def __init__(self) -> None:
            super().__init__()
            self.line = torch.nn.Parameter(torch.tensor([1.0, 2.0, 3.0]))

        def forward(self, text: list[str]) -> torch.Tensor:
            return count_words(text) / (self.line[0] == 1)

    model = Touchy()
    with pytest.raises(InputError, match=r"with its weights shuffled the model can't be explained .*shuffled=\(\)"):
        check(model, track, explain(model, track, target=0), seeds=0)
    assert model.line.tolist() == [1, 2, 3]
