"""The record of an explanation: plain JSON values that agree with the explanation, for any of its classes."""

import json

import pytest
import torch
from models import Late

from musiclime_torch.explanation.explainer import explain
from musiclime_torch.explanation.explanation import Explanation
from musiclime_torch.song.track import Track
from musiclime_torch.views.exports.files import MOST_PAIRS, to_json, to_record


@pytest.fixture
def explained(track: Track) -> Explanation:
    return explain(Late(), track, segments=2, n_samples=(16, 16))


def test_every_component_is_there_with_its_interval_largest_first(explained: Explanation):
    record, row = to_record(explained), explained.target
    assert [item["name"] for item in record["components"]] == [
        explained.components.items[column].name for column in explained.order(row)
    ]
    for item, column in zip(record["components"], explained.order(row), strict=True):
        value, half = float(explained.attributions[row, column]), float(explained.half_width[row, column])
        assert item["attribution"] == value
        assert item["interval"] == [value - half, value + half]
        assert item["significant"] == bool(explained.significant[row, column])


def test_another_class_may_be_asked_for(explained: Explanation):
    other = next(row for row in range(len(explained.classes)) if row != explained.target)
    record = to_record(explained, explained.classes[other])
    assert record == to_record(explained, other)
    assert record["target"] == explained.classes[other]
    assert record["output_song"] == float(explained.output_song[other])
    assert record["classes"] == dict(zip(explained.classes, explained.output_song.tolist(), strict=True))


def test_pairs_are_the_significant_ones_by_scale(explained: Explanation):
    interactions = explained.interactions
    assert interactions is not None
    for number, (space, found) in enumerate(to_record(explained)["interactions"].items()):
        assert space == interactions.spaces[number]
        assert found["significant_pairs"] == int(interactions.significant[number, explained.target].sum())
        assert len(found["pairs"]) == min(found["significant_pairs"], MOST_PAIRS)
        assert all(0 <= end <= 1 for part in found["parts"] for end in part["interval"])


def test_json_is_strict(explained: Explanation):
    assert json.loads(to_json(explained))["components"] == to_record(explained)["components"]
    from dataclasses import replace

    broken = replace(explained, intercept=torch.full_like(explained.intercept, float("nan")))
    with pytest.raises(ValueError, match="not JSON compliant"):
        to_json(broken)
