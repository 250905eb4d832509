"""Mixing against a slow mix of enveloped components, and lyrics against strings edited by hand."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings, strategies as st

from musiclime_torch.models.contract import Tokens
from musiclime_torch.variants.sound import CROSS_FADE, borrow_stems, gate_stems, make_noise, mix, spread_windows
from musiclime_torch.variants.words import IdGates, StringGates, TokenGates, mask_lyrics, own_tokens

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
    (window,) = gate_stems(stems, None, edges, RATE, None).windows
    mixed = mix(window, masks)
    for row, mask in zip(mixed, masks, strict=True):
        assert torch.allclose(row.double(), mix_slowly(stems, mask, edges, RATE), atol=1e-5)


def test_all_ones_is_the_song_and_all_zeros_is_silence():
    stems = stems_of(0)
    (window,) = gate_stems(stems, None, [0.0, 0.2, 0.4, 1234 / RATE], RATE, None).windows
    mixed = mix(window, torch.tensor([True, False])[:, None, None].expand(2, 3, 3))
    assert (mixed[0] - stems.sum(0)).abs().max() < 1e-6
    assert not mixed[1].any()


def test_a_cut_makes_no_click():
    (window,) = gate_stems(torch.ones(1, 1, 8000), None, [0.0, 0.5, 1.0], 8000, None).windows
    mixed = mix(window, torch.tensor([[[True, False]]]))[0, 0]
    assert mixed[0] == 1
    assert mixed[-1] == 0
    assert mixed.diff().abs().max() <= 1 / (CROSS_FADE * 8000) + 1e-6


def test_baselines_take_the_place_of_removed_stems():
    stems, other = stems_of(0), stems_of(1)
    (window,) = gate_stems(stems, other, [0.0, 1234 / RATE], RATE, None).windows
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
    (whole,) = gate_stems(stems, stems_of(4), edges, RATE, None).windows
    parts = gate_stems(stems, stems_of(4), edges, RATE, 0.23).windows
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
    (whole,) = gate_stems(stems, None, edges, RATE, None).windows
    parts = gate_stems(stems, None, edges, RATE, longest).windows
    for part, (first, last) in zip(parts, spread_windows(1234, width), strict=True):
        assert torch.allclose(mix(part, masks), mix(whole, masks)[:, :, first:last], atol=1e-6)


def test_sound_of_double_precision_stays_so():
    stems = stems_of(5).double()
    (window,) = gate_stems(stems, None, [0.0, 0.3, 1234 / RATE], RATE, None).windows
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


def test_tokens_go_to_the_columns_whose_characters_they_stand_for():
    tokens = Tokens(torch.arange(7), ((0, 0), (0, 2), (2, 4), (5, 6), (6, 7), (7, 9), (0, 0)))
    assert own_tokens(tokens, [[(0, 4)], [(5, 6)], [(7, 9)]]) == [3, 0, 0, 1, 3, 2, 3]


def test_a_token_that_starts_with_the_space_before_its_word_still_belongs_to_it():
    tokens = Tokens(torch.arange(2), ((0, 2), (2, 5)))
    assert own_tokens(tokens, [[(0, 2)], [(3, 5)]]) == [0, 1]


def test_all_occurrences_of_a_type_share_a_column():
    tokens = Tokens(torch.arange(3), ((0, 1), (2, 3), (4, 5)))
    assert own_tokens(tokens, [[(0, 1), (4, 5)], [(2, 3)]]) == [0, 1, 0]


def test_removed_tokens_become_the_baseline_and_special_ones_stay():
    embeddings = torch.arange(8.0).reshape(4, 2)
    masks = torch.tensor([[True, False], [False, True], [True, True]])
    gates = TokenGates(embeddings, torch.tensor([-1.0, -2.0]), torch.tensor([2, 0, 1, 1]), gone=False)
    batch = mask_lyrics(gates, masks)
    assert torch.equal(batch.embeddings[2], embeddings)
    assert batch.embeddings[0].tolist() == [[0, 1], [2, 3], [-1, -2], [-1, -2]]
    assert batch.embeddings[1].tolist() == [[0, 1], [-1, -2], [4, 5], [6, 7]]
    assert batch.attended.all()
    gone = mask_lyrics(TokenGates(embeddings, torch.zeros(2), torch.tensor([2, 0, 1, 1]), gone=True), masks)
    assert gone.attended.tolist() == [[True, True, False, False], [True, False, True, True], [True] * 4]
    ids = mask_lyrics(IdGates(torch.tensor([5, 6, 7, 8]), torch.tensor(0), torch.tensor([2, 0, 1, 1])), masks)
    assert ids.tolist() == [[5, 6, 0, 0], [5, 0, 7, 8], [5, 6, 7, 8]]


def test_lyrics_without_columns_are_read_as_they_are():
    gates = TokenGates(torch.ones(2, 3), torch.zeros(3), torch.tensor([0, 0]), gone=True)
    batch = mask_lyrics(gates, torch.ones(4, 0, dtype=torch.bool))
    assert batch.embeddings.shape == (4, 2, 3)
    assert batch.attended.all()


def test_words_are_cut_out_of_strings_with_the_space_after_them():
    gates = StringGates("hold me now\nlove me", (((0, 4),), ((5, 7), (17, 19)), ((8, 11),), ((12, 16),)), "")
    masks = torch.tensor([[1, 1, 1, 1], [0, 1, 1, 1], [1, 0, 1, 0], [0, 0, 0, 0]]).bool()
    assert mask_lyrics(gates, masks) == ["hold me now\nlove me", "me now\nlove me", "hold now\n", "\n"]
    stars = StringGates(gates.text, gates.spans, "*")
    assert mask_lyrics(stars, masks[2:3]) == ["hold * now\n* *"]


def own_slowly(spans: list[tuple[int, int]], columns: list[list[tuple[int, int]]]) -> list[int]:
    """Each token goes to the first stretch that shares a character with it."""
    parts = sorted((start, end, column) for column, some in enumerate(columns) for start, end in some)
    found = [[column for start, end, column in parts if start < last and first < end] for first, last in spans]
    return [
        owners[0] if owners and first < last else len(columns) for owners, (first, last) in zip(found, spans, strict=True)
    ]


@settings(deadline=None)
@given(
    borders=st.lists(st.integers(0, 40), min_size=2, max_size=12, unique=True),
    tokens=st.lists(st.tuples(st.integers(0, 40), st.integers(0, 5)), max_size=12),
    columns=st.integers(1, 4),
)
def test_tokens_in_any_order_are_owned_as_a_slow_search_says(borders: list[int], tokens: list, columns: int):
    borders = sorted(borders)
    stretches = list(pairwise(borders))[::2]
    spans = [stretches[column::columns] for column in range(columns)]
    pieces = [(start, start + length) for start, length in tokens]
    found = own_tokens(Tokens(torch.arange(len(pieces)), tuple(pieces)), spans)
    assert found == own_slowly(pieces, spans)


def test_masks_of_another_number_of_columns_are_refused():
    gates = StringGates("hold me", (((0, 4),), ((5, 7),)), "")
    with pytest.raises(ValueError):
        mask_lyrics(gates, torch.ones(1, 3, dtype=torch.bool))
    assert mask_lyrics(gates, torch.zeros(1, 2, dtype=torch.bool)) == [""]
