"""What the app says while it works."""

import torch
from models import Late

from musiclime_torch.basics.progress import State
from musiclime_torch.commands.app.words import Clock, count_settled, describe_state, describe_step, explain_wait, time_stage
from musiclime_torch.explanation.explainer import explain
from musiclime_torch.song.track import Track


def test_time_left_is_as_fast_as_the_stage_was():
    clock, left = time_stage(Clock(), State("separating", 0.25, 1.0, ""), 100.0)
    assert left is None
    clock, left = time_stage(clock, State("separating", 0.5, 1.0, ""), 110.0)
    assert left == 20.0
    # Another stage begins with no idea.
    assert time_stage(clock, State("asking", 3, 10), 111.0)[1] is None
    assert describe_state(State("separating", 0.5, 1.0, ""), 20.0) == "Separating: 50%, about 20 seconds left."
    assert describe_state(State("asking", 3, 10), None) == "Asking: 3 of 10 passes."
    long = describe_state(State("asking", 3, 10), 1200.0)
    assert long.startswith("Asking: 3 of 10 passes, about 20 minutes left. This takes long: **Why is it slow?**")
    assert describe_state(State("reading a.wav"), None) == "Reading a.wav …"


def test_a_step_is_said_in_words_with_the_order_that_is_settled(track: Track):
    explanation = explain(Late(), track, segments=3)
    said = describe_step(explanation, 2, last=True)
    assert f"{explanation.n_variants:,} variants" in said
    assert "Step 2, the last" in said
    assert "the order of the" in said
    assert said.endswith("settled.")


def test_the_order_ends_at_the_first_two_whose_intervals_meet(track: Track):
    explanation = explain(Late(), track, segments=2)
    sizes = explanation.attributions[explanation.target].abs().sort(descending=True).values
    count = count_settled(explanation)
    assert 0 < count < len(sizes)
    half = explanation.half_width[explanation.target]
    assert bool((half == 0).all()), "every mask was taken"
    assert bool((sizes[:count] > sizes[1 : count + 1]).all())
    assert torch.isclose(sizes[count], sizes[min(count + 1, len(sizes) - 1)])


def test_the_wait_is_explained_by_windows_stems_and_passes(track: Track):
    class Short:
        max_seconds = 0.5

    explanation = explain(Late(), track, segments=2)
    said = explain_wait(track, Short(), explanation, 12.0)
    assert f"these {track.seconds:.0f} s are {track.seconds / 0.5:.0f} windows" in said
    assert f"in {2 ** len(track.stem_names)} ways" in said
    assert f"{explanation.audio_passes:,} passes with sound" in said
    assert "12 seconds" in said
    assert "windows" not in explain_wait(track, object(), None, None)
