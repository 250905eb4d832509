import subprocess
import sys

import pytest
import torch

from musiclime_torch.failures import InputError
from musiclime_torch.track import Track


def test_length_is_frames_over_rate():
    assert Track(torch.zeros(1, 2, 1000), ("a",), 500).seconds == 2.0


def test_every_stem_needs_a_name():
    with pytest.raises(InputError, match="fit 1 names"):
        Track(torch.zeros(2, 1, 10), ("a",), 8000)
    with pytest.raises(InputError, match="fit 1 names"):
        Track(torch.zeros(1, 1, 0), ("a",), 8000)


def test_a_missing_axis_is_named():
    """In a process of its own: under tests the shape annotation would refuse it first."""
    script = "import torch; from musiclime_torch import Track; Track(torch.zeros(2, 10), ('a', 'b'), 8000)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert "give (stem, channel, frame)" in done.stderr
