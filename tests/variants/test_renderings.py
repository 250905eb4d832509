"""Masks as one window has them: made unique without losing one."""

import numpy as np
import torch
from hypothesis import given, strategies as st
from hypothesis.extra.numpy import arrays

from musiclime_torch.variants.renderings import Kept, find_renderings


@given(st.integers(1, 40).flatmap(lambda n: arrays(bool, (n, 19))), st.sets(st.integers(0, 18), max_size=19))
def test_every_mask_finds_a_rendering_with_its_own_bits(masks: np.ndarray, columns: set[int]):
    chosen = sorted(columns)
    renderings = find_renderings(3, chosen, torch.from_numpy(masks))
    found = masks[renderings.masks][renderings.places][:, chosen]
    assert (found == masks[:, chosen]).all()
    assert len(renderings.keys) == len({tuple(row) for row in masks[:, chosen].tolist()})


def test_what_was_answered_is_kept_by_window_and_part():
    masks = torch.tensor([[True, True], [True, False], [False, False]])
    kept = Kept()
    first = find_renderings(0, [0], masks[:2])
    assert kept.find_missing("model", first) == [0]
    kept.add("model", first, [0], torch.tensor([[1.0]]))
    again = find_renderings(0, [0], masks)
    missing = kept.find_missing("model", again)
    assert [masks[again.masks[number], 0].item() for number in missing] == [False]
    kept.add("model", again, missing, torch.tensor([[2.0]]))
    assert kept.look_up("model", again).spread().flatten().tolist() == [1.0, 1.0, 2.0]
    # Another window, and another part of the model, have answers of their own.
    assert kept.find_missing("model", find_renderings(1, [0], masks)) == [0, 1]
    assert kept.find_missing("encoder", again) == [0, 1]
    kept.forget("model", again)
    assert kept.find_missing("model", again) == [0, 1]
