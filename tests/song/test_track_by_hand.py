import subprocess
import sys

import pytest
import torch

from musiclime_torch.basics.errors import InputError
from musiclime_torch.song.track import Track


def test_length_is_frames_over_rate():
    assert Track(torch.zeros(1, 2, 1000), ("a",), 500).seconds == 2.0


@pytest.mark.parametrize(
    ("stems", "names", "rate", "said"),
    [
        (torch.zeros(2, 1, 10), ("a",), 8000, "2 stems don't fit 1 names (a): give each stem one."),
        (
            torch.zeros(1, 1, 0),
            ("a",),
            8000,
            "stems of shape (1, 1, 0) hold no sound: give one or more of (stem, channel, frame).",
        ),
        (
            torch.zeros(0, 1, 10),
            (),
            8000,
            "stems of shape (0, 1, 10) hold no sound: give one or more of (stem, channel, frame).",
        ),
        (torch.zeros(1, 3, 10), ("a",), 8000, "stems of shape (1, 3, 10) have 3 channels: give one or two, as (stem,"),
        (
            torch.zeros(1, 1, 10),
            ("a",),
            0,
            "sample_rate must be positive, got 0: give the stems' own, such as 44100.",
        ),
        (torch.zeros(2, 1, 10), ("a", "a"), 8000, "the stem names a, a are not all different: give each stem its own."),
        (torch.full((1, 1, 10), torch.nan), ("a",), 8000, "the stems hold NaN or infinite samples: repair or leave out"),
    ],
)
def test_what_is_no_track_is_told_one_by_one(stems: torch.Tensor, names: tuple[str, ...], rate: int, said: str):
    with pytest.raises(InputError) as caught:
        Track(stems, names, rate)
    assert str(caught.value).startswith(said)


@pytest.mark.parametrize(
    ("stems", "said"),
    [
        ("torch.zeros(2, 10)", "stems are of shape (2, 10): give (stem, channel, frame)"),
        (
            "torch.zeros(2, 1, 10).double()",
            "stems are float64 of shape (2, 1, 10): give float32 (stem, channel, frame), such",
        ),
        ("torch.zeros(2, 1, 10).numpy()", "stems are a ndarray: give a float32 tensor (stem, channel, frame), such as"),
    ],
)
def test_stems_of_another_kind_are_named(stems: str, said: str):
    """In a process of its own: under tests the shape annotation would refuse it first."""
    script = f"import torch; from musiclime_torch import Track; Track({stems}, ('a', 'b'), 8000)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert f"InputError: {said}" in done.stderr
