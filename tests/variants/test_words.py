"""Lyrics under masks against strings edited by hand, and owners of tokens against a slow search."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings, strategies as st

from musiclime_torch.models.contract import Tokens
from musiclime_torch.variants.words import ROUNDED, IdGates, StringGates, TokenGates, count_tokens, mask_lyrics, own_tokens


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


@given(st.lists(st.integers(0, 5), min_size=1, max_size=40), st.integers(1, 9), st.integers(0, 2**31))
@settings(max_examples=40)
def test_tokens_that_are_left_out_leave_the_others_at_their_places(owners: list[int], count: int, seed: int):
    generator = torch.Generator().manual_seed(seed)
    embeddings, masks = torch.randn(len(owners), 3, generator=generator), torch.rand(count, 5, generator=generator) < 0.5
    sizes = tuple(map(owners.count, range(6)))
    gates = TokenGates(embeddings, torch.zeros(3), torch.tensor(owners), gone=True, sizes=sizes)
    lengths = count_tokens(gates, masks)
    batch = mask_lyrics(gates, masks, lengths)
    longest = int(lengths.max())
    assert longest <= batch.embeddings.shape[1] <= min(max(longest, 1) + ROUNDED - 1, len(owners))
    for row, mask in enumerate(masks.tolist()):
        there = [token for token, owner in enumerate(owners) if owner == 5 or mask[owner]]
        assert int(lengths[row]) == len(there)
        assert batch.attended[row].tolist() == [place < len(there) for place in range(batch.attended.shape[1])]
        assert batch.positions[row, : len(there)].tolist() == there
        assert torch.equal(batch.embeddings[row, : len(there)], embeddings[there])


def test_only_lyrics_whose_tokens_are_left_out_have_lengths():
    masks = torch.ones(2, 1, dtype=torch.bool)
    assert count_tokens(None, masks) is None
    assert count_tokens(TokenGates(torch.ones(2, 3), torch.zeros(3), torch.tensor([0, 1]), gone=True), masks) is None
    assert count_tokens(StringGates("la", (((0, 2),),), ""), masks) is None


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
