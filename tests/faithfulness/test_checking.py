"""Measures of faithfulness: slow loops of single variants, laws, Captum's metrics, and what is left untouched."""

from dataclasses import asdict

import numpy as np
import pytest
import torch
from counting import ALONE, SMALL, count_words
from models import RATE, Additive, Late

from musiclime_torch.basics.errors import InputError
from musiclime_torch.basics.progress import Stages, State
from musiclime_torch.explanation.explainer import explain
from musiclime_torch.explanation.explanation import Explanation
from musiclime_torch.faithfulness import Check, check
from musiclime_torch.models.care import shuffling
from musiclime_torch.song.track import Track

WORDS = {"modalities": ("lyrics",), "target": 0}


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
    torch.manual_seed(0)
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
    # The masks come in other batches than those of the explanation, and a model's own rounding depends on the batch.
    assert found.stability.sensitivity.value < 1e-6
    assert check(count_words, track, explain(count_words, track, **WORDS), seeds=0).randomisation is None


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


def test_a_check_has_a_bar_for_every_explanation_and_none_passes_its_end(track: Track):
    states: list[State] = []
    stages = Stages(listen=states.append, about="noise")
    explanation = explain(Late(), track, segments=4, n_samples=64)
    check(Late(), track, explanation, seeds=2, progress=stages)
    names = list(dict.fromkeys(state.name for state in states))
    assert names[0] == "noise: removing and keeping components"
    assert [name.rpartition(": ")[0] for name in names[1:]] == [
        "noise: seed 2 of 3",
        "noise: seed 3 of 3",
        "noise: weights shuffled",
    ]
    assert all(state.total is not None and state.done <= state.total for state in states)
    assert stages.about == "noise"
