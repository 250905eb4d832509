"""An explanation to be exported, and one with names that no format expects."""

from dataclasses import replace

import pytest
from hostile import ODD

from musiclime_torch.demo.bundle import load_demo_model, load_demo_track
from musiclime_torch.explanation.explainer import explain
from musiclime_torch.explanation.explanation import Explanation


@pytest.fixture(scope="session")
def explained() -> Explanation:
    found = explain(load_demo_model(), load_demo_track(), segments=4, n_samples=(48, 96), target="anthem")
    assert found.top(3)
    return found


@pytest.fixture
def odd(explained) -> Explanation:
    """Names that no format expects."""
    items = tuple(replace(item, name=ODD + item.name) for item in explained.components.items)
    return replace(explained, components=replace(explained.components, items=items))
