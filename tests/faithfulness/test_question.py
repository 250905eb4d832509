"""What a check asks is what the explanation asked: of the same model and song, with the same stand-ins, in numbers."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from counting import ALONE, SMALL, count_words
from models import Additive, Late

from musiclime_torch.basics.errors import InputError
from musiclime_torch.explanation.explainer import explain
from musiclime_torch.explanation.explanation import Explanation
from musiclime_torch.faithfulness import check
from musiclime_torch.faithfulness.checking import _read as read_attributions  # past `check`'s annotations
from musiclime_torch.faithfulness.fidelity import measure_fidelity
from musiclime_torch.faithfulness.ladder import climb, deal
from musiclime_torch.faithfulness.question import asking, recall
from musiclime_torch.faithfulness.stability import measure_sensitivity, measure_stability
from musiclime_torch.models.contract import TokenBatch
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


def test_a_model_that_gives_no_number_as_components_go_is_refused(fourteen: Track):
    """NaN where none of four words is left, but something else is: 32 masks may never show it."""

    def model(text: list[str]) -> torch.Tensor:
        lines = [line.split() for line in text]
        lost = [not set("abcd") & set(line) and bool(set(NAMES) & set(line)) for line in lines]
        return torch.tensor(
            [[float("nan") if gone else len(set(NAMES) & set(line)) / 3] for gone, line in zip(lost, lines, strict=True)]
        )

    for seed in range(20):
        try:
            options = {"design": "bernoulli", "n_samples": 32, "seed": seed}
            explanation = explain(model, fourteen, modalities=("lyrics",), output_kind="multilabel", **options)
        except InputError:
            continue
        with pytest.raises(InputError, match="returned nan for class"):
            check(model, fourteen, explanation, **ALONE)
        return
    pytest.fail("every draw of 32 masks shows it")


def test_so_is_one_that_gives_none_on_a_mask_of_fidelity_alone(fourteen: Track):
    model = Brittle()
    explanation = explain(model, fourteen, design="bernoulli", n_samples=32)
    dealt = deal(explanation.attributions[0], 2, 1)
    with asking(recall(model, fourteen, explanation, None, None), lambda rows: None) as (probe, scale):
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


def other_song(track: Track, **changes: object) -> Track:
    return replace(track, stems=0.5 * track.stems.flip(-1), lyrics=None, **{"title": "other", **changes})


@pytest.mark.parametrize("title", ["noise", "silence", "other"])
def test_a_song_that_stood_in_is_asked_for_whatever_its_title(track: Track, title: str, tmp_path):
    model, other = Additive(), other_song(track, title=title)
    explain(model, track, baseline=other, **SMALL).save(tmp_path / "it.safetensors")
    explanation = Explanation.load(tmp_path / "it.safetensors")
    with pytest.raises(InputError, match=f"replaced by those of '{title}'"):
        recall(model, track, explanation, None, None)
    assert recall(model, track, explanation, other, None).settings.baseline is other


def test_a_song_that_did_not_stand_in_is_refused(track: Track):
    model, options = Additive(), {"segments": 2, "n_samples": 60}
    for baseline in ("silence", "noise"):
        explanation = explain(model, track, baseline=baseline, **options)
        with pytest.raises(InputError, match=f"replaced by {baseline}, not by the song 'other': leave baseline out"):
            check(model, track, explanation, baseline=other_song(track))
    explanation = explain(model, track, baseline=other_song(track, audio_hash="a"), **options)
    with pytest.raises(InputError, match="this is another song"):
        recall(model, track, explanation, other_song(track, audio_hash="b"), None)


def test_files_without_the_song_that_stood_in_go_by_its_title(track: Track):
    model, other = Additive(), other_song(track)
    for baseline, given in (("silence", None), ("noise", None), (other, other)):
        explanation = explain(model, track, baseline=baseline, segments=2, n_samples=60)
        old = {key: value for key, value in explanation.provenance.items() if key != "baseline_song"}
        recall(model, track, replace(explanation, provenance=old), given, None)


def test_another_model_song_or_text_with_the_same_components_is_refused(track: Track):
    model, track = Additive(), replace(track, audio_hash="a")
    explanation = explain(model, track, segments=2, n_samples=60)
    other = Additive()
    other.gain.data += 1
    text = replace(track.lyrics, text=track.lyrics.text + "!")
    for asked, song, what in (
        (other, track, "another model .*model_hash"),
        (model, replace(track, audio_hash="b"), "another song .*audio_hash a, not b"),
        (model, replace(track, lyrics=text), "other lyrics"),
    ):
        with pytest.raises(InputError, match=what):
            check(asked, song, explanation)
    recall(model, replace(track, audio_hash=""), explanation, None, None)  # made by hand: nothing is known of it


def test_what_a_model_does_not_take_may_be_another(track: Track):
    song = replace(track, audio_hash="a")
    explanation = explain(count_words, song, modalities=("lyrics",))
    recall(count_words, replace(song, audio_hash="b"), explanation, None, None)


def test_fidelity_of_crossed_masks_has_a_kernel_for_each_side(track: Track):
    model = Late()
    explanation = explain(model, track, segments=4, n_samples=(32, 32), design="crossed", weights="lime", kernel_width=0.3)
    found = check(model, track, explanation, held_out=300, **ALONE)
    kept = torch.rand(300, 15, generator=torch.Generator().manual_seed(2)) < 0.5
    with asking(recall(model, track, explanation, None, None), lambda rows: None) as (probe, scale):
        values = to_values(scale, run_joint(probe, kept))[:, scale.column].numpy()
    sides = [1 - np.sqrt(side.numpy().mean(1)) for side in (kept[:, :8], kept[:, 8:])]
    rows = np.exp(-sum(distance**2 for distance in sides) / (2 * 0.3**2))
    left = values - kept.numpy() @ explanation.attributions[explanation.target].numpy()
    missed, spread = (np.average((y - np.average(y, weights=rows)) ** 2, weights=rows) for y in (left, values))
    assert found.fidelity.value == pytest.approx(1 - missed / spread, abs=1e-5)


class Ear(torch.nn.Module):
    """Hears at a rate of its own, and not linearly."""

    modalities, sample_rate, channels = ("audio",), 6000, 1

    def forward(self, audio: torch.Tensor) -> torch.Tensor:
        parts = torch.stack([part.abs().mean((1, 2)) for part in audio.chunk(4, -1)], 1)
        return torch.cat([parts.prod(1, keepdim=True) * 100, parts.square()], 1)


def test_noise_stays_while_seeds_of_masks_change(track: Track):
    explanation = explain(Ear(), track, baseline="noise", segments=3, n_samples=64, seed=2**63 - 1)
    question = recall(Ear(), track, explanation, None, None)
    assert torch.equal(question.explain_again().attributions, explanation.attributions)
    found = check(Ear(), track, explanation, seeds=2)
    # Every mask was taken, under any seed.
    assert found.stability.sensitivity.value == 0
    assert found.stability.correlation.value == 1


def test_the_largest_change_stands_beside_the_largest_of_as_many_random_ones():
    draws = torch.randn(18, 6, generator=torch.Generator().manual_seed(0)).double()
    runs, dealt, several = draws[:3], draws[3:8], draws[8:].reshape(5, 2, 6)
    found = measure_stability(runs, dealt, several).sensitivity
    largest = [max(float((row - runs[0]).norm() / runs[0].norm()) for row in pair) for pair in several]
    assert found.value == pytest.approx(float(measure_sensitivity(runs[0], runs[1:])))
    assert (found.random, found.spread) == pytest.approx((np.mean(largest), np.std(largest, ddof=1)))


@pytest.mark.parametrize("seeds", [1, 3])
def test_every_chance_has_random_ones_of_its_own_however_few_they_are(track: Track, seeds: int):
    explanation = explain(Late(), track, segments=2, n_samples=64)
    options = {"chances": 3, "seeds": seeds, "shuffled": ()}
    found, again = (check(Late(), track, explanation, **options).stability for _ in range(2))
    assert found == again
    assert found.sensitivity.spread > 0
    own = explanation.attributions[explanation.target]
    rows = deal(own, 3 * seeds, explanation.provenance["settings"]["seed"] + 3).attributions[1:]
    largest = [
        float(((rows[start : start + seeds] - own).norm(dim=1) / own.norm()).max()) for start in range(0, 3 * seeds, seeds)
    ]
    assert (found.sensitivity.random, found.sensitivity.spread) == pytest.approx((np.mean(largest), np.std(largest, ddof=1)))


class Counting(Late):
    """Tells how many rows each call of an encoder had."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: dict[str, list[int]] = {"encode_audio": [], "encode_text": []}

    def encode_audio(self, audio: torch.Tensor) -> torch.Tensor:
        self.rows["encode_audio"].append(len(audio))
        return super().encode_audio(audio)

    def encode_text(self, text: TokenBatch) -> torch.Tensor:
        self.rows["encode_text"].append(len(text.embeddings))
        return super().encode_text(text)


@pytest.mark.parametrize(
    ("more", "stacks"),
    [
        # Song and empty song, orders, flips, masks of fidelity.
        (ALONE, 4),
        # Three explanations more, each of song and empty song and of the masks of its side.
        ({"seeds": 2, "shuffled": (1.0,)}, 4 + 3 * 2),
    ],
)
def test_every_measure_asks_one_stack_of_masks_in_full_batches(track: Track, more: dict[str, object], stacks: int):
    size, model = 16, Counting()
    explanation = explain(model, track, segments=2, n_samples=(64, 64), batch_size=size)
    for calls in model.rows.values():
        calls.clear()
    found = check(model, track, explanation, **more)
    assert found.flips is not None
    for calls in model.rows.values():
        assert sum(calls) > 400
        assert max(calls) == size
        # Each stack may end in a batch that isn't full, and no call is anything else.
        assert sum(rows < size for rows in calls) <= stacks
        assert len(calls) <= sum(calls) / size + stacks


@pytest.mark.parametrize("given", [["a"] * 11, {}, [[1.0], [2.0, 3.0]], "loud"])
def test_attributions_that_are_no_numbers_are_told_so(given: object):
    with pytest.raises(InputError, match="can't be read as numbers: give 11"):
        read_attributions(given, 11)
