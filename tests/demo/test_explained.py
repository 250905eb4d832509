"""The embedded model explained: for every class, the causes that were planted in its songs come out on top."""

import pytest

from musiclime_torch.demo.bundle import load_demo_model
from musiclime_torch.demo.plan import TAGS, find_causes, find_column, plan_song
from musiclime_torch.demo.song import make_track
from musiclime_torch.explanation.explainer import explain


@pytest.mark.slow
def test_planted_causes_are_the_top_components_of_held_out_songs():
    """One song a class; `benchmarks/accuracy/demo_causes.py` reports the figure for 20 a class."""
    model, missed = load_demo_model(), []
    for number, tag in enumerate(TAGS):
        plan = plan_song(8_000_000 + 1000 * number, {tag})
        explanation = explain(model, make_track(plan), target=tag, n_samples=700)
        planted = {find_column(cause) for cause in find_causes(plan, tag)}
        if set(explanation.order()[: len(planted)]) != planted:
            missed.append(tag)
    assert missed == []
