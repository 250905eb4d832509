"""Songs of several windows: as many forward passes as there are distinct renderings, and the outputs of all of them."""

import math

import pytest
import torch
from models import RATE, Late
from passes import Noting

from musiclime_torch.explanation.explainer import explain
from musiclime_torch.models.subject import describe_model
from musiclime_torch.song.track import Track
from musiclime_torch.surrogate.blocks import draw_foldover
from musiclime_torch.variants.asking import encode_audio, run_joint
from musiclime_torch.variants.components import list_components
from musiclime_torch.variants.probe import Probe, probing
from musiclime_torch.variants.sound import mix

SEGMENTS = 4


class Counting:
    """Audio alone, one second of it at most, with a sum that no rendering leaves as it is; counts the rows it is given."""

    sample_rate, classes, modalities, max_seconds = RATE, ("a", "b"), ("audio",), 0.4

    def __init__(self) -> None:
        self.rows, self.batches = 0, []
        self.weights = torch.randn(round(0.4 * RATE), 2, generator=torch.Generator().manual_seed(0))

    def __call__(self, audio: torch.Tensor) -> torch.Tensor:
        self.rows += len(audio)
        self.batches.append(len(audio))
        return (audio.mean(1) @ self.weights).tanh()


def make_probe(model, track: Track, batch_size: int = 16):
    subject = describe_model(model, sample_rate=None, classes=None, output_kind=None, modalities=None)
    components = list_components(track, SEGMENTS, "word", subject.modalities)
    stages = Noting()
    return stages.done, probing(
        subject, track, components, "silence", None, 0, torch.device("cpu"), batch_size, "float32", stages
    )


def average_row_by_row(probe: Probe, masks: torch.Tensor) -> torch.Tensor:
    """The definition: every mask rendered in every window."""
    sources, rows = probe.sources, []
    for mask in masks:
        gates = mask.view(1, sources.n_stems, sources.n_segments)
        rows.append(torch.cat([probe.subject.model(mix(window, gates)) for window in sources.windows]).mean(0))
    return torch.stack(rows)


@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_outputs_are_those_of_every_mask_rendered_in_every_window(track: Track, batch_size: int):
    model = Counting()
    done, opened = make_probe(model, track, batch_size)
    with opened as probe:
        masks = draw_foldover(len(probe.seen), 64, 0).masks
        outputs = run_joint(probe, masks)
        asked = model.rows
        assert torch.allclose(outputs, average_row_by_row(probe, masks), atol=1e-6)
    assert max(model.batches[: -len(masks)]) <= max(batch_size, 5)
    assert sum(done) == asked
    assert len(done) > 1 or batch_size == 64  # the bar moves with every batch
    # Two stems: four renderings of a window within a segment, sixteen of one that straddles a cut.
    assert asked <= sum(min(2 ** len(window.columns), len(masks)) for window in probe.sources.windows) < 5 * len(masks)


def test_what_was_asked_once_is_not_asked_again(track: Track):
    model = Counting()
    done, opened = make_probe(model, track)
    with opened as probe:
        masks = draw_foldover(len(probe.seen), 64, 0).masks
        first, asked = run_joint(probe, masks), model.rows
        assert torch.equal(run_joint(probe, masks), first)
        assert torch.equal(run_joint(probe, masks[5:9]), first[5:9])
    assert model.rows == asked
    assert sum(done) == asked


def test_a_window_has_the_columns_that_change_it_alone(track: Track):
    """Segments in reach, their cross-fades counted; stems that are silent throughout the window left out."""
    track.stems[1, :, : RATE // 2] = 0.0
    _, opened = make_probe(Counting(), track)
    with opened as probe:
        for window in probe.sources.windows:
            base = torch.ones(1, 2 * SEGMENTS, dtype=torch.bool)
            for column in range(2 * SEGMENTS):
                off = base.clone()
                off[0, column] = False
                changed = not torch.equal(mix(window, base.view(1, 2, -1)), mix(window, off.view(1, 2, -1)))
                assert changed == (column in window.columns), (column, window.columns)


def test_encodings_are_run_once_per_rendering_and_returned_for_every_mask(track: Track):
    class Short(Late):
        max_seconds = 0.4

        def encode_audio(self, audio):
            self.rows = getattr(self, "rows", 0) + len(audio)
            return super().encode_audio(audio)

    model = Short()
    _, opened = make_probe(model, track)
    with opened as probe:
        masks = draw_foldover(len(probe.seen_audio), 64, 0).masks
        sounds = encode_audio(probe, masks)
        windows = probe.sources.windows
        assert model.rows < len(masks) * len(windows) / 2
        for window, encoded in zip(windows, sounds, strict=True):
            gates = torch.ones(len(masks), 2 * SEGMENTS, dtype=torch.bool)
            gates[:, list(probe.seen_audio)] = masks
            expected = Late.encode_audio(model, mix(window, gates.view(-1, 2, SEGMENTS)))
            assert torch.allclose(encoded.spread(), expected, atol=1e-6)


def test_more_masks_of_a_long_song_cost_no_more_passes(track: Track):
    """Sixteen times as many masks, all of whose renderings were there before."""
    costs = []
    for n_samples in (256, 4096):
        model = Counting()
        explain(model, track, segments=SEGMENTS, n_samples=n_samples, design="foldover", device="cpu")
        costs.append(model.rows)
    windows = math.ceil(track.seconds / Counting.max_seconds)
    assert costs[0] == costs[1] <= windows * 16 + 2 * windows
