"""A page's packed numbers are the explanation's, rounded."""

import base64
from dataclasses import replace

import numpy as np
import pytest
import torch
from models import Late

from musiclime_torch import to_html
from musiclime_torch.explanation.explainer import explain
from musiclime_torch.views.page.packing import MOST_PAIRS, ROOM, order_classes, pack_classes


def test_packed_numbers_are_the_explanations_rounded(track):
    found = explain(Late(), track, segments=4, n_samples=300)
    packed = pack_classes(found)
    assert (packed.shown, packed.total) == (3, 3)
    assert packed.classes[0]["name"] == found.classes[found.target]
    for one in packed.classes:
        row, step = found.classes.index(one["name"]), 10.0 ** -one["decimals"]
        for key, numbers in (("values", found.attributions[row]), ("halves", found.half_width[row])):
            read = np.frombuffer(base64.b64decode(one[key]), "<i2") * step
            assert np.abs(read - numbers.numpy()).max() <= step / 2 + 1e-12
        bits = np.unpackbits(np.frombuffer(base64.b64decode(one["told"]), np.uint8), bitorder="little")
        assert bits[: len(found.components)].astype(bool).tolist() == found.significant[row].tolist()
        top = found.top_pairs(MOST_PAIRS, row)
        names = [[found.components.items[column].name for column in pair[:2]] for pair in one["pairs"]]
        assert names == [[first.name, second.name] for first, second, _, _ in top]
        for pair, (_, _, value, half) in zip(one["pairs"], top, strict=True):
            assert pair[2] == pytest.approx(value, rel=1e-3)
            assert pair[3] == pytest.approx(half, rel=0.05)


def test_pairs_that_are_not_significant_are_not_listed_however_large(track):
    found = explain(Late(), track, segments=4, n_samples=300)
    pairs = found.interactions
    row, scale = found.target, pairs.find_space(None)
    largest = int((pairs.values[scale, row].abs() * pairs.significant[scale, row]).argmax())
    values, errors = pairs.values.clone(), pairs.standard_errors.clone()
    values[scale, row, largest], errors[scale, row, largest] = 1000.0, 1e9
    unsure = replace(found, interactions=replace(pairs, values=values, standard_errors=errors))
    listed = [pair[:2] for pair in pack_classes(unsure).classes[0]["pairs"]]
    assert pairs.columns[largest].tolist() not in listed


def test_of_hundreds_of_classes_the_target_its_foil_and_the_top_are_kept(track):
    class Many(torch.nn.Module):
        sample_rate, modalities, classes = 8000, ("audio",), tuple(f"c{number}" for number in range(600))

        def forward(self, audio: torch.Tensor) -> torch.Tensor:
            return audio.square().mean((1, 2))[:, None] * torch.arange(600.0)

    found = explain(Many(), track, target="c3", foil="c7", segments=4, n_samples=64)
    order = [found.classes[row] for row in order_classes(found)]
    assert order[:5] == ["c3 rather than c7", "c3", "c7", "c599", "c598"]
    packed = pack_classes(found)
    assert packed.total == 601
    assert len(str(packed.classes)) < 1.1 * ROOM
    assert [one["name"] for one in packed.classes] == order[: packed.shown]
    assert f"{packed.shown} of 601 classes are in this page" in to_html(found, track)
