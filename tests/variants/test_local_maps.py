"""Tables of local maps against a slow walk over masks, segments and frames."""

from itertools import pairwise, product

import pytest
import torch

from musiclime_torch.variants.local_maps import Combinations, LocalMaps, combine, cut_table, place_frames
from musiclime_torch.variants.sound import Window, gate_stems, mix

STEMS, RATE = 3, 1000
EDGES = (0.0, 0.5, 1.1, 1.6, 2.0)


def make_window(longest: float | None = None) -> tuple[Window, ...]:
    stems = torch.randn(STEMS, 1, 2000, generator=torch.Generator().manual_seed(0))
    return gate_stems(stems, None, EDGES, RATE, longest)


def draw_masks(count: int) -> torch.Tensor:
    return torch.rand(count, STEMS * 4, generator=torch.Generator().manual_seed(1)) < 0.5


def test_every_pair_of_combinations_is_at_every_border():
    columns = ((0, 4, 8), (1, 9), (2, 6, 10), (7,))
    combinations = Combinations(columns)
    assert combinations.bits == (3, 2)
    masks = combinations.make_masks(12)
    assert len(masks) == combinations.passes == 32
    for left, right in pairwise(columns):
        pairs = {tuple(row) for row in masks[:, [*left, *right]].tolist()}
        assert len(pairs) == 2 ** (len(left) + len(right))
    # Columns that nothing switches are on.
    assert masks[:, [3, 5, 11]].all()


@pytest.mark.parametrize("columns", [((0, 4, 8), (1, 9), (2, 6, 10), (7,)), ((0, 4), (), (2,)), ((0, 4, 8),), ((), (1,))])
def test_rows_have_a_masks_combinations_on_both_sides_of_a_border(columns):
    combinations = Combinations(columns)
    masks, table = draw_masks(50), combinations.make_masks(12)
    rows = combinations.find_rows(masks)
    assert rows.shape == (50, max(len(columns) - 1, 1))
    for mask, border in product(range(50), range(rows.shape[1])):
        here = [column for some in columns[border : border + 2] for column in some]
        assert torch.equal(table[rows[mask, border], here], masks[mask, here])


def test_frames_lie_on_the_border_whose_sides_they_hear():
    window = make_window()[0]
    # Fields of 200 samples, a hop of 50; a border's fade is 5 samples wide.
    borders = place_frames(window, (200, 50), 41)
    assert borders is not None
    for frame, border in enumerate(borders):
        start, end = max(frame * 50 - 100, 0), min(frame * 50 + 100, 2000)
        # Half of a fade lies beyond the border.
        heard = {
            segment
            for segment, (left, right) in enumerate(pairwise(EDGES))
            if start < right * RATE + 3 and end > left * RATE - 3
        }
        assert heard <= {border, border + 1}
    assert borders[0] == 0
    assert borders[-1] == 2


def test_a_field_over_three_segments_has_no_place():
    window = make_window()[0]
    # The shortest segment with neighbours on both sides has 500 samples.
    assert place_frames(window, (480, 50), 41) is not None
    assert place_frames(window, (600, 50), 41) is None


def test_frames_beyond_the_sound_hear_its_end():
    borders = place_frames(make_window()[0], (200, 50), 60)
    assert borders is not None
    assert borders[41:] == [2] * 19


def test_maps_are_put_together_as_if_each_mask_were_run():
    window = make_window()[0]
    combinations = combine(window, range(12), 4)
    assert combinations.columns == tuple((s, 4 + s, 8 + s) for s in range(4))
    filters = torch.randn(2, 1, 200, generator=torch.Generator().manual_seed(2))

    def hear(masks: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.conv1d(mix(window, masks.unflatten(1, (STEMS, 4))), filters, stride=50, padding=100)

    maps = hear(combinations.make_masks(12))
    borders = place_frames(window, (200, 50), maps.shape[2])
    assert borders is not None
    table, masks = cut_table(combinations, maps, borders), draw_masks(60)
    torch.testing.assert_close(table.look_up(table.find_rows(masks)), hear(masks), atol=1e-5, rtol=0.0)


def test_a_window_of_a_longer_song_has_its_own_segments():
    windows = make_window(0.7)
    combinations = combine(windows[-1], [3, 7, 2, 0], 4)
    assert combinations.columns == ((2,), (3, 7))


def test_giving_up_closes_all_tables():
    local = LocalMaps()
    local.tables[0] = None
    local.give_up("why")
    assert local.closed
    assert local.notes == ["why"]
