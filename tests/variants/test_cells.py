"""Cells are what a slow loop over combinations and segments measures."""

from dataclasses import replace

import pytest
import torch
import torchaudio
from smooth import RATE, SEGMENTS, Smooth, make_song

from musiclime_torch.basics.errors import InputError
from musiclime_torch.models.subject import describe_model
from musiclime_torch.song.track import Track
from musiclime_torch.variants.cells import _summarise, measure_cells
from musiclime_torch.variants.components import list_components
from musiclime_torch.variants.probe import Sources, prepare_sources


def prepare(track: Track, baseline: str = "silence", longest: float | None = None) -> Sources:
    model = Smooth()
    model.max_seconds = longest
    subject = describe_model(model, sample_rate=None, classes=None, output_kind=None, modalities=None)
    components = list_components(track, SEGMENTS, "word", ("audio",))
    return prepare_sources(subject, track, components, baseline, None, 0, torch.device("cpu"))


def test_every_combination_is_heard_in_its_segment():
    track = make_song(0)
    cells = measure_cells(prepare(track), RATE, 16)
    assert cells.shape == (SEGMENTS, 8, 9 * 16)
    mel = torchaudio.transforms.MelSpectrogram(RATE, 512, hop_length=256, n_mels=16)
    for number in (0, 3, 7):
        kept = [stem for stem in range(3) if number >> stem & 1]
        wave = track.stems[kept].sum((0, 1)) if kept else torch.zeros(track.stems.shape[2])
        levels = (mel(wave) + 1e-3).log10()
        # The second quarter of the song; frames at its borders may count to either side.
        part = levels[:, levels.shape[1] // 4 : levels.shape[1] // 2]
        torch.testing.assert_close(cells[1, number, 128:], part.amax(1), atol=0.35, rtol=0.0)
        torch.testing.assert_close(cells[1, number, :128].view(8, 16).mean(0), part.mean(1), atol=0.2, rtol=0.0)


def test_what_moves_within_a_segment_is_heard_in_order():
    track = make_song(0)
    rising = replace(track, stems=track.stems * torch.linspace(0.1, 2, track.stems.shape[2]))
    levels = measure_cells(prepare(rising), RATE, 16)[:, 7, :128].reshape(SEGMENTS * 8, 16).mean(1)
    assert float(torch.corrcoef(torch.stack([levels, torch.linspace(0.1, 2, SEGMENTS * 8).log10()]))[0, 1]) > 0.8


def test_a_segment_shorter_than_its_stretches_repeats_its_frames():
    levels = torch.tensor([[1.0, 2.0, 4.0]])
    assert _summarise(levels).tolist() == [1, 1, 1, 2, 2, 2, 4, 4, 4]


def test_stand_ins_are_heard():
    track = make_song(0)
    silent, noisy = (measure_cells(prepare(track, baseline), RATE, 16) for baseline in ("silence", "noise"))
    torch.testing.assert_close(silent[:, 7], noisy[:, 7])  # everything is there
    assert float((noisy[:, 0] - silent[:, 0]).min()) > -1e-3
    assert float((noisy[:, 0] - silent[:, 0]).max()) > 2


def test_windows_of_a_longer_song_are_put_together():
    track = make_song(0)
    whole, cut = measure_cells(prepare(track), RATE, 16), measure_cells(prepare(track, longest=0.5), RATE, 16)
    torch.testing.assert_close(whole[:, 7], cut[:, 7], atol=0.5, rtol=0.0)


def test_many_stems_are_refused():
    track = make_song(0)
    many = Track(track.stems.repeat(3, 1, 1)[:7], tuple("abcdefg"), RATE, None, title="many", source="made by hand")
    with pytest.raises(InputError, match="a student hears 6 stems at most, got 7"):
        measure_cells(prepare(many), RATE, 16)
