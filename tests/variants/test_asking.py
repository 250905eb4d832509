"""The model run on masks: batches, windows and pairs against the same model called by hand; what it returns wrongly."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import torch
from models import RATE, Additive, Late
from passes import Noting

from musiclime_torch import explain
from musiclime_torch.basics.errors import InputError
from musiclime_torch.basics.progress import Stages
from musiclime_torch.models.contract import TokenBatch
from musiclime_torch.models.subject import describe_model
from musiclime_torch.song.lyrics.lyrics import parse_lyrics
from musiclime_torch.song.track import Track
from musiclime_torch.surrogate.design import mask_ends
from musiclime_torch.variants.asking import encode_audio, encode_lyrics, run_checked, run_joint
from musiclime_torch.variants.components import list_components
from musiclime_torch.variants.fusing import fuse, mean_over
from musiclime_torch.variants.probe import Probe, probing
from musiclime_torch.variants.scale import Scale, settle_scale
from musiclime_torch.variants.sound import mix
from musiclime_torch.variants.words import mask_lyrics


@contextmanager
def probe_of(
    model: Any,
    track: Track,
    batch_size: int = 64,
    stages: Stages | None = None,
    lyrics_baseline: str | None = None,
    **given: Any,
) -> Iterator[Probe]:
    declared = {"sample_rate": None, "classes": None, "output_kind": None, "modalities": None, **given}
    subject = describe_model(model, **declared)
    components = list_components(track, 2, "word", subject.modalities)
    device = torch.device("cpu")
    with probing(
        subject, track, components, "silence", lyrics_baseline, 0, device, batch_size, "float32", stages or Stages()
    ) as probe:
        yield probe


def draw(n: int, d: int) -> torch.Tensor:
    return torch.rand(n, d, generator=torch.Generator().manual_seed(0)) < 0.5


def run_by_hand(probe: Probe, masks: torch.Tensor) -> torch.Tensor:
    """Row by row and window by window."""
    rows = []
    for mask in masks:
        full = torch.ones(1, probe.columns, dtype=torch.bool)
        full[0, list(probe.seen)] = mask
        gates = full[:, : probe.n_audio].unflatten(1, (probe.sources.n_stems, probe.sources.n_segments))
        text = mask_lyrics(probe.sources.lyrics, full[:, probe.n_audio :])
        rows.append(torch.stack([probe.subject.model(mix(w, gates), text) for w in probe.sources.windows]).mean(0))
    return torch.cat(rows)


@pytest.mark.parametrize("batch_size", [1, 7, 64])
@pytest.mark.parametrize("max_seconds", [None, 0.8])
def test_batches_and_windows_give_what_one_row_at_a_time_gives(track: Track, batch_size: int, max_seconds: float | None):
    model, stages = Additive(), Noting()
    model.max_seconds = max_seconds
    with probe_of(model, track, batch_size, stages) as probe:
        masks = draw(20, len(probe.seen))
        torch.testing.assert_close(run_joint(probe, masks), run_by_hand(probe, masks))
    assert max(stages.done) <= batch_size
    if max_seconds is None:
        assert sum(stages.done) == 20


def test_unseen_columns_stay_on(track: Track):
    with probe_of(Additive(limit=3), track) as probe:
        song = run_joint(probe, mask_ends(len(probe.seen)))[0]
        text = probe.subject.model.tokenize(track.lyrics.text)
        by_hand = track.stems.sum(0).mean() * probe.subject.model.gain * 100 + probe.subject.model.table[text.ids].sum(0)
    torch.testing.assert_close(song, by_hand)


@pytest.mark.parametrize("at_once", [False, True])
@pytest.mark.parametrize("max_seconds", [None, 0.8])
def test_pairs_of_encodings_give_what_joint_masks_give(track: Track, at_once: bool, max_seconds: float | None):
    model = Late()
    model.max_seconds = max_seconds
    if at_once:
        model.fuse_pairs = lambda heard, read: torch.stack(
            [model.fuse(heard, row.expand(len(heard), -1)) for row in read], 1
        )
    with probe_of(model, track, 5) as probe:
        audio, lyrics = draw(6, len(probe.seen_audio)), draw(4, len(probe.seen_lyrics))
        sounds, texts = encode_audio(probe, audio), encode_lyrics(probe, lyrics)
        assert len(sounds) == len(probe.sources.windows)
        pairs = fuse(probe, sounds, texts)
        joint = run_joint(probe, torch.cat([audio.repeat_interleave(4, 0), lyrics.repeat(6, 1)], 1))
    torch.testing.assert_close(pairs.flatten(0, 1), joint)


class Placed(Late):
    """One whose words count by their place, and that counts the tokens it is given."""

    def __init__(self, takes_positions: bool) -> None:
        super().__init__()
        self.takes_positions, self.tokens = takes_positions, 0

    def encode_text(self, text: TokenBatch) -> torch.Tensor:
        self.tokens += text.attended.numel()
        places = torch.arange(text.attended.shape[1]) if text.positions is None else text.positions
        heeded = text.attended * torch.cos(places)
        return torch.tanh((text.embeddings * heeded[:, :, None]).sum(1) / 2)


@pytest.mark.parametrize("max_seconds", [None, 0.8])
def test_words_that_are_gone_are_not_given_to_a_model_that_reads_places(track: Track, max_seconds: float | None):
    track = replace(track, lyrics=parse_lyrics("\n".join([track.lyrics.text] * 6)))
    tokens, found = {}, {}
    for takes in (False, True):
        model = Placed(takes)
        model.max_seconds = max_seconds
        with probe_of(model, track, 8, lyrics_baseline="gone") as probe:
            masks = draw(64, len(probe.seen_lyrics))
            masks[-1] = masks[0]
            read = encode_lyrics(probe, masks).spread()
            joint = run_joint(probe, draw(20, len(probe.seen)))
        tokens[takes], found[takes] = model.tokens, torch.cat([read.flatten(), joint.flatten()])
    torch.testing.assert_close(found[True], found[False], atol=1e-6, rtol=1e-5)
    assert tokens[True] < 0.7 * tokens[False]


def test_the_mean_over_windows_is_taken_one_at_a_time():
    order = []

    def run(window: int) -> torch.Tensor:
        order.append(window)
        return torch.full((1,), float(window))

    assert mean_over([1, 2, 6], run, [1.0, 1.0, 1.0]).tolist() == [3.0]
    assert order == [1, 2, 6]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda audio: "loud", "returned a str, not a tensor"),
        (lambda audio: torch.zeros(len(audio), 2, 2), r"of shape \(2, 2, 2\) for a batch of 2: it must return floats"),
        (lambda audio: torch.zeros(len(audio) + 1), r"must return floats of shape \(batch, class\)"),
        (lambda audio: torch.zeros(len(audio), 0), r"must return floats of shape \(batch, class\)"),
        (lambda audio: torch.zeros(len(audio), dtype=torch.long), "returned torch.int64"),
        (lambda audio: audio[:, 5], r"failed on a batch of \(2, 1, 16000\) with IndexError"),
        (
            lambda audio: torch.zeros(len(audio), len(audio)),
            "returned 2 outputs at first and 1 later: their number must not depend on the batch",
        ),
    ],
)
def test_what_a_model_returns_wrongly_is_one_sentence(track: Track, answer: Callable[[torch.Tensor], Any], said: str):
    given = {"sample_rate": RATE, "modalities": ("audio",)}
    with probe_of(lambda audio: answer(audio), track, 2, **given) as probe, pytest.raises(InputError, match=said):
        run_joint(probe, draw(3, len(probe.seen)))


def test_half_precision_outputs_are_kept_in_single_precision(track: Track):
    given = {"sample_rate": RATE, "modalities": ("audio",)}
    with probe_of(lambda audio: audio.mean((1, 2))[:, None].half(), track, **given) as probe:
        outputs = run_joint(probe, draw(3, len(probe.seen)))
    assert outputs.dtype == torch.float32
    assert torch.equal(outputs, outputs.half().float())


class Failing(Late):
    """A late-fusion model whose head gives NaN for one pair of encodings: the one with the largest product."""

    def fuse(self, heard: torch.Tensor, read: torch.Tensor) -> torch.Tensor:
        outputs = super().fuse(heard, read)
        if len(heard) > 100:
            outputs[outputs[:, 1].argmax(), 1] = torch.nan
        return outputs


@pytest.mark.parametrize("weights", ["uniform", "shapley"])
def test_a_pair_of_masks_without_a_number_is_reported_as_a_pair_of_masks(track: Track, weights: str):
    said = r"no finite outputs for class 'wild' on some masked sound with some masked lyrics"
    with pytest.raises(InputError, match=said):
        explain(Failing(), track, segments=4, n_samples=(64, 64), design="crossed", weights=weights)


def test_a_variant_without_a_number_is_counted_among_its_own(track: Track):
    given = {"sample_rate": RATE, "modalities": ("audio",), "output_kind": "regression"}

    def loud(audio: torch.Tensor) -> torch.Tensor:
        level = audio.square().mean((1, 2))
        return torch.where(level < 0.05, torch.nan, level)

    with probe_of(loud, track, **given) as probe:
        song = run_joint(probe, mask_ends(len(probe.seen))[:1])
        scale = Scale("regression", "raw", song[0], ("level",), 0, None)
        masks = torch.tensor([[True, True, True, True], [True, True, True, False], [False, False, False, False]])
        with pytest.raises(InputError, match=r"returned nan for class 'level' on variant 2 \(1 of 3 variants\)"):
            run_checked(probe, scale, masks)
        assert torch.equal(run_checked(probe, scale, masks[:2]), run_joint(probe, masks[:2]))
        with pytest.raises(InputError, match=r"on the empty song \(1 of 2 variants\)"):
            settle_scale(probe.subject, run_joint(probe, mask_ends(len(probe.seen))), "raw", None, None)
