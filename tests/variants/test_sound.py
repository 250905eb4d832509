"""Mixing against a slow mix of enveloped components, frame by frame."""

import itertools
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings, strategies as st

from musiclime_torch.basics.errors import InputError
from musiclime_torch.song.track import Track
from musiclime_torch.variants.sound import (
    CROSS_FADE,
    borrow_stems,
    describe_fit,
    gate_stems,
    lay_windows,
    make_noise,
    make_stand_in,
    mix,
    spread_windows,
)

RATE = 2000


def stems_of(seed: int, stems: int = 3, channels: int = 2, frames: int = 1234) -> torch.Tensor:
    return torch.randn(stems, channels, frames, generator=torch.Generator().manual_seed(seed))


def mix_slowly(stems: torch.Tensor, mask: torch.Tensor, edges: list[float], rate: int) -> torch.Tensor:
    """Frame by frame: a component's envelope is 1 inside its segment and goes linearly over to the next one's."""
    borders = [round(edge * rate) for edge in edges[:-1]] + [stems.shape[-1]]
    fade = max(round(CROSS_FADE * rate), 1)
    out = torch.zeros(stems.shape[1:], dtype=torch.float64)
    for frame in range(stems.shape[-1]):
        segment = max(index for index, border in enumerate(borders[:-1]) if border <= frame)
        gate = mask[:, segment].double()
        for inner in range(1, len(borders) - 1):
            first = borders[inner] - fade // 2
            if first <= frame < first + fade:
                share = (frame - first + 0.5) / fade
                gate = (1 - share) * mask[:, inner - 1].double() + share * mask[:, inner].double()
        out[:, frame] = gate @ stems[:, :, frame].double()
    return out


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 1000), cuts=st.lists(st.integers(3, 58), unique=True, max_size=4))
def test_mixing_equals_the_sum_of_enveloped_components(seed: int, cuts: list[int]):
    stems = stems_of(seed)
    edges = [0.0, *(point / 100 for point in sorted(cuts) if point), 1234 / RATE]
    edges = [edges[0], *(b for a, b in pairwise(edges) if b - a >= 0.02)]
    edges[-1] = 1234 / RATE
    masks = torch.rand(4, 3, len(edges) - 1, generator=torch.Generator().manual_seed(seed)) < 0.5
    (window,) = gate_stems(stems, None, edges, RATE, None)
    mixed = mix(window, masks)
    for row, mask in zip(mixed, masks, strict=True):
        assert torch.allclose(row.double(), mix_slowly(stems, mask, edges, RATE), atol=1e-5)


def test_all_ones_is_the_song_and_all_zeros_is_silence():
    stems = stems_of(0)
    (window,) = gate_stems(stems, None, [0.0, 0.2, 0.4, 1234 / RATE], RATE, None)
    mixed = mix(window, torch.tensor([True, False])[:, None, None].expand(2, 3, 3))
    assert (mixed[0] - stems.sum(0)).abs().max() < 1e-6
    assert not mixed[1].any()


def test_a_cut_makes_no_click():
    (window,) = gate_stems(torch.ones(1, 1, 8000), None, [0.0, 0.5, 1.0], 8000, None)
    mixed = mix(window, torch.tensor([[[True, False]]]))[0, 0]
    assert mixed[0] == 1
    assert mixed[-1] == 0
    assert mixed.diff().abs().max() <= 1 / (CROSS_FADE * 8000) + 1e-6


def test_baselines_take_the_place_of_removed_stems():
    stems, other = stems_of(0), stems_of(1)
    (window,) = gate_stems(stems, other, [0.0, 1234 / RATE], RATE, None)
    mixed = mix(window, torch.tensor([[[True], [False], [True]], [[True]] * 3, [[False]] * 3]))
    assert torch.allclose(mixed[0], stems[0] + other[1] + stems[2], atol=1e-5)
    assert torch.allclose(mixed[1], stems.sum(0), atol=1e-5)
    assert torch.allclose(mixed[2], other.sum(0), atol=1e-5)


@pytest.mark.parametrize(("frames", "longest"), [(25, 10), (20, 10), (21, 10), (10, 10), (9, 10), (1000, 7)])
def test_windows_hear_every_frame(frames: int, longest: int):
    windows = spread_windows(frames, longest)
    heard = {frame for start, end in windows for frame in range(start, end)}
    assert heard == set(range(frames))
    assert {end - start for start, end in windows} == {min(frames, longest)}


def test_windows_are_slices_of_the_whole_mix():
    stems = stems_of(3)
    edges = [0.0, 0.1, 0.35, 1234 / RATE]
    masks = torch.rand(5, 3, 3, generator=torch.Generator().manual_seed(0)) < 0.5
    (whole,) = gate_stems(stems, stems_of(4), edges, RATE, None)
    parts = gate_stems(stems, stems_of(4), edges, RATE, 0.23)
    assert len(parts) == 3
    for part, (start, end) in zip(parts, spread_windows(1234, 460), strict=True):
        assert torch.allclose(mix(part, masks), mix(whole, masks)[:, :, start:end], atol=1e-6)


@pytest.mark.parametrize("longest", [0.23, 0.25])
def test_a_fade_may_lie_across_the_edge_of_a_window(longest: float):
    """The first fade begins before the end of the first window, the second ends after the end of the second."""
    stems = stems_of(3)
    width = round(longest * RATE)
    (_, (start, _), _) = spread_windows(1234, width)
    edges = [0.0, (width + 2) / RATE, (start + width - 3) / RATE, 1234 / RATE]
    masks = torch.rand(5, 3, 3, generator=torch.Generator().manual_seed(1)) < 0.5
    (whole,) = gate_stems(stems, None, edges, RATE, None)
    parts = gate_stems(stems, None, edges, RATE, longest)
    for part, (first, last) in zip(parts, spread_windows(1234, width), strict=True):
        assert torch.allclose(mix(part, masks), mix(whole, masks)[:, :, first:last], atol=1e-6)


def test_sound_of_double_precision_stays_so():
    stems = stems_of(5).double()
    (window,) = gate_stems(stems, None, [0.0, 0.3, 1234 / RATE], RATE, None)
    mask = torch.tensor([[True, False], [False, True], [True, True]])
    mixed = mix(window, mask[None])[0]
    assert mixed.dtype == torch.float64
    assert torch.allclose(mixed, mix_slowly(stems, mask, [0.0, 0.3, 1234 / RATE], RATE), atol=1e-12)


def test_noise_is_as_loud_as_the_stem_and_comes_from_the_seed():
    stems = stems_of(0, frames=50000) * torch.tensor([0.1, 1.0, 0.0])[:, None, None]
    noise = make_noise(stems, 5)
    assert torch.equal(noise, make_noise(stems, 5))
    loudness = noise.square().mean((1, 2)).sqrt()
    assert torch.allclose(loudness, stems.square().mean((1, 2)).sqrt(), rtol=0.02)


def test_borrowed_stems_go_by_name_and_are_repeated_or_cut():
    other = torch.arange(6.0).reshape(2, 1, 3)
    borrowed = borrow_stems(other, ("bass", "drums"), ("drums", "flute"), 5)
    assert borrowed.tolist() == [[[3.0, 4.0, 5.0, 3.0, 4.0]], [[0.0] * 5]]


@given(st.lists(st.integers(40, 200), min_size=1, max_size=8), st.integers(0, 3))
def test_windows_lie_within_segments_that_have_room_for_them(lengths: list[int], slack: int):
    borders = [0, *itertools.accumulate(lengths)]
    longest = min(lengths)
    places = lay_windows(borders, longest, slack)
    assert {place.end - place.start for place in places} == {longest}
    if len(places) == 1:
        return
    for place in places:
        left, right = borders[place.segment], borders[place.segment + 1]
        assert left - slack <= place.start
        assert place.end <= right + slack
    # Each second counts alike, and all of them are heard but for the slack.
    for segment, (left, right) in enumerate(pairwise(borders)):
        own = [place for place in places if place.segment == segment]
        assert sum(place.weight for place in own) == pytest.approx(right - left)
        heard = {frame for place in own for frame in range(place.start, place.end)}
        assert len(heard & set(range(left, right))) >= right - left - slack


def test_a_window_within_a_segment_hears_nothing_of_its_neighbours():
    """Not even the cross-fade at its edges: the gates of its own segment hold from its first frame to its last."""
    stems = stems_of(3, frames=1200)
    frames = stems.shape[-1]
    edges = [0.0, frames / 2 / RATE, frames / RATE]
    windows = gate_stems(stems, None, edges, RATE, frames / 4 / RATE)
    assert [len(window.zones) for window in windows] == [1] * 4
    for number, window in enumerate(windows):
        own = torch.zeros(1, 3, 2, dtype=torch.bool)
        own[:, :, number // 2] = True
        start = number * (frames // 4)
        torch.testing.assert_close(mix(window, own)[0], stems[:, :, start : start + window.frames].sum(0), atol=1e-5, rtol=0)
        assert not mix(window, ~own).any()
        assert len(window.columns) == 3


def test_each_stem_has_its_own_stand_in():
    stems = stems_of(0)
    take = Track(stems_of(3, stems=1, channels=1, frames=500), ("mix",), RATE, title="take")
    made = make_stand_in(stems, ("drums", "bass", "vocals"), RATE, {"vocals": "-20 dB", "drums": take}, 0)
    torch.testing.assert_close(made[2], 0.1 * stems[2])
    assert not made[1].any()
    # Repeated to the song's length, and heard on both channels.
    torch.testing.assert_close(made[0, 1], take.stems[0, 0].repeat(3)[:1234])
    alike = make_stand_in(stems, ("drums", "bass", "vocals"), RATE, "drums=noise,bass=noise,vocals=noise", 7)
    assert torch.equal(alike, make_stand_in(stems, ("drums", "bass", "vocals"), RATE, "noise", 7))
    assert make_stand_in(stems, ("drums", "bass", "vocals"), RATE, "silence", 0) is None


def test_stems_that_are_not_there_are_named():
    stems = stems_of(0)
    with pytest.raises(
        InputError, match=r"names the stem 'voclas' \(did you mean 'vocals'\?\), and the song's are drums, bass,"
    ):
        make_stand_in(stems, ("drums", "bass", "vocals"), RATE, "voclas=-12 dB", 0)
    take = Track(stems_of(3, stems=2), ("piano", "flute"), RATE, title="take")
    with pytest.raises(InputError, match="the take 'take' for the stem 'drums' has only piano, flute"):
        make_stand_in(stems, ("drums", "bass", "vocals"), RATE, {"drums": take}, 0)


def test_what_is_done_to_takes_is_said():
    song = Track(stems_of(0, frames=4000), ("drums", "bass", "vocals"), RATE)
    short = Track(stems_of(1, frames=1000), ("drums", "bass", "vocals"), RATE, title="short")
    long = Track(stems_of(2, frames=40000), ("drums", "bass", "vocals"), 2 * RATE, title="long")
    assert describe_fit(song, "-12 dB") == ()
    assert describe_fit(song, song) == ()
    assert describe_fit(song, short) == ("the baseline song 'short' is repeated from 0.5 s to the song's 2.0 s.",)
    assert describe_fit(song, {"drums": long, "bass": "noise"}) == (
        "the take 'long' for drums is cut from 10.0 s to the song's 2.0 s and resampled, as its rate is 4000 Hz and the "
        "song's 2000 Hz.",
    )
