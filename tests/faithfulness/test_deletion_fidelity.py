"""Fidelity is measured on new masks, weighted as the explanation was."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from counting import ALONE, count_words
from models import Late

from musiclime_torch.basics.errors import InputError
from musiclime_torch.basics.progress import Stages
from musiclime_torch.explanation.answers import Answers
from musiclime_torch.explanation.explainer import explain
from musiclime_torch.faithfulness import check, measure_infidelity
from musiclime_torch.faithfulness.deletion import measure_fidelity
from musiclime_torch.faithfulness.question import asking, recall
from musiclime_torch.faithfulness.stability import climb, deal
from musiclime_torch.song.lyrics.lyrics import parse_lyrics
from musiclime_torch.song.track import Track
from musiclime_torch.variants.asking import run_joint
from musiclime_torch.variants.scale import to_values

NAMES = tuple("abcdefghijklmn")


class Brittle:
    """A logit that counts words; NaN for texts whose first words are left as `bad` says."""

    modalities, output_kind = ("lyrics",), "multilabel"

    def __init__(self) -> None:
        self.seen: set[tuple[bool, ...]] = set()
        self.bad: set[tuple[bool, ...]] = set()

    def __call__(self, text: list[str]) -> torch.Tensor:
        rows = [[name in line.split() for name in NAMES] for line in text]
        self.seen |= {tuple(row[:6]) for row in rows}
        broken = torch.tensor([tuple(row[:6]) in self.bad for row in rows])
        counts = torch.tensor(rows).float() @ torch.linspace(-1, 2, 14)
        return torch.where(broken, float("nan"), counts)[:, None]


@pytest.fixture
def fourteen(track: Track) -> Track:
    return replace(track, lyrics=parse_lyrics(" ".join(NAMES)))


def test_so_is_one_that_gives_none_on_a_mask_of_fidelity_alone(fourteen: Track):
    model = Brittle()
    explanation = explain(model, fourteen, design="bernoulli", n_samples=32)
    dealt = deal(explanation.attributions[0], 2, 1)
    with asking(recall(model, fourteen, explanation, None, None), Stages(), Answers()) as (probe, scale):
        climb(probe, scale, dealt.orders, range(15))
        model.bad = {next(words for words in product((True, False), repeat=6) if words not in model.seen)}
        climb(probe, scale, dealt.orders, range(15))
    with pytest.raises(InputError, match="returned nan for class"):
        check(model, fourteen, explanation, chances=2, held_out=1000, **ALONE)


def test_fidelity_is_free_where_the_value_is_constant_and_nowhere_else():
    masks = torch.tensor([[True, True], [True, False], [False, False]])
    one, nothing = torch.tensor([1.0, 2.0]), torch.zeros(2)
    assert measure_fidelity(one, masks, torch.ones(3), torch.full((3,), 4.0)) == 1
    assert measure_fidelity(nothing, masks, torch.ones(3), torch.tensor([1.0, 2.0, 4.0])) == 0
    assert measure_fidelity(one, masks, torch.ones(3), torch.tensor([1.0, float("nan"), 4.0])).isnan()


def test_fidelity_of_crossed_masks_has_a_kernel_for_each_side(track: Track):
    model = Late()
    explanation = explain(model, track, segments=4, n_samples=(32, 32), design="crossed", weights="lime", kernel_width=0.3)
    found = check(model, track, explanation, held_out=300, **ALONE)
    kept = torch.rand(300, 15, generator=torch.Generator().manual_seed(2)) < 0.5
    with asking(recall(model, track, explanation, None, None), Stages(), Answers()) as (probe, scale):
        values = to_values(scale, run_joint(probe, kept))[:, scale.column].numpy()
    sides = [1 - np.sqrt(side.numpy().mean(1)) for side in (kept[:, :8], kept[:, 8:])]
    rows = np.exp(-sum(distance**2 for distance in sides) / (2 * 0.3**2))
    left = values - kept.numpy() @ explanation.attributions[explanation.target].numpy()
    missed, spread = (np.average((y - np.average(y, weights=rows)) ** 2, weights=rows) for y in (left, values))
    assert found.fidelity.value == pytest.approx(1 - missed / spread, abs=1e-5)


WORDS = {"modalities": ("lyrics",), "target": 0}


def test_infidelity_is_captums(track: Track):
    from captum.metrics import infidelity

    model = Late()
    explanation = explain(model, track, segments=2, n_samples=200)
    question = recall(model, track, explanation, None, None)
    kept = torch.rand(64, 11, generator=torch.Generator().manual_seed(5)) < 0.5
    dealt = deal(explanation.attributions[explanation.target], 3, 0).attributions
    with asking(question, Stages(), Answers()) as (probe, scale):

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
