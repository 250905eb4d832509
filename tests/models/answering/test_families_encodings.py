"""Distinct windows are encoded once, and encodings are those of every window run by itself."""

from pathlib import Path
from typing import Any

import pytest
import torch
from music_llms import OMNI, WINDOW, save_music_llm

from musiclime_torch.models.answering.answering import Answering, load_answering
from musiclime_torch.models.answering.families import Encodings, fingerprint

RATE = 16_000


class Tower(torch.nn.Module):
    """Squares, and counts what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.scale, self.asked = torch.nn.Parameter(torch.tensor(2.0)), []

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        self.asked.append(len(windows))
        return self.scale * windows.square()


def encode(encodings: Encodings, tower: Tower, windows: torch.Tensor, keep: bool = True) -> torch.Tensor:
    frames = [windows.shape[1]] * len(windows)
    return encodings.encode(tower, windows, frames, lambda places: tower(windows[places]), keep)


@pytest.fixture
def windows() -> torch.Tensor:
    return torch.randn(4, 6, 2, generator=torch.Generator().manual_seed(0))[[0, 1, 0, 2, 1, 3]]


def test_each_distinct_window_is_run_once(windows: torch.Tensor):
    encodings, tower = Encodings(), Tower().eval()
    with torch.no_grad():
        torch.testing.assert_close(encode(encodings, tower, windows), 2 * windows.square(), atol=0, rtol=0)
        torch.testing.assert_close(encode(encodings, tower, windows.flip(0)), 2 * windows.flip(0).square(), atol=0, rtol=0)
    assert tower.asked == [4]


def test_changed_weights_are_run_again(windows: torch.Tensor):
    encodings, tower = Encodings(), Tower().eval()
    with torch.no_grad():
        encode(encodings, tower, windows)
        tower.scale.mul_(3)
        torch.testing.assert_close(encode(encodings, tower, windows), 6 * windows.square(), atol=0, rtol=0)
    assert tower.asked == [4, 4]


def test_weights_whose_changes_torch_does_not_count_are_run_each_time(windows: torch.Tensor):
    with torch.inference_mode():
        encodings, tower = Encodings(), Tower().eval()
        encode(encodings, tower, windows)
        encode(encodings, tower, windows)
    assert tower.asked == [4, 4]


def test_gradients_and_dropout_take_every_window(windows: torch.Tensor):
    encodings, tower = Encodings(), Tower().eval()
    encode(encodings, tower, windows).sum().backward()
    assert tower.scale.grad is not None
    torch.testing.assert_close(tower.scale.grad, windows.square().sum())
    with torch.no_grad():
        encode(encodings, tower.train(), windows)
    assert tower.asked == [6, 6]


def test_what_is_kept_is_bounded(windows: torch.Tensor):
    encodings, tower = Encodings(most=2 * windows[0].nbytes), Tower().eval()
    with torch.no_grad():
        for _ in range(3):
            torch.testing.assert_close(encode(encodings, tower, windows), 2 * windows.square(), atol=0, rtol=0)
            assert encodings._bytes <= 2 * windows[0].nbytes
            assert encodings._bytes == sum(row.untyped_storage().nbytes() for row in encodings._rows.values())
        encode(encodings, tower, windows, keep=False)
    # The last two are found again, and two more are run.
    assert tower.asked[0] == 4
    assert all(2 <= asked < 4 for asked in tower.asked[1:])


def test_content_tells_windows_apart():
    window = torch.randn(8, 10, generator=torch.Generator().manual_seed(1))
    flipped, swapped, nudged, twice = (window.clone() for _ in range(4))
    flipped[0, 0], flipped[5, 5] = -flipped[0, 0], -flipped[5, 5]
    swapped[0, 0], swapped[0, 1] = window[0, 1], window[0, 0]
    nudged[7, 9] = torch.nextafter(nudged[7, 9], torch.tensor(9.0))
    twice[2, 2], twice[3, 3] = 2 * twice[2, 2], twice[3, 3] / 2
    silent, doubled = torch.zeros(8, 10), 2 * window
    names = fingerprint(torch.stack([window, flipped, swapped, nudged, twice, silent, doubled, window])).tolist()
    assert names[0] == names[-1]
    assert len({number for name in names for number in name}) == 2 * 7


def count_windows(model: Answering) -> list[int]:
    """Windows that the tower is given, call by call."""
    asked: list[int] = []

    def note(tower: Any, inputs: Any, options: Any) -> None:
        lengths = options.get("feature_lens")
        asked.append(len(inputs[0]) if lengths is None else len(lengths))

    model.model.model.audio_tower.register_forward_pre_hook(note, with_kwargs=True)
    return asked


@pytest.mark.parametrize(("family", "unit"), [("music", float(WINDOW)), ("flamingo", float(WINDOW)), (OMNI, 2.0)])
def test_a_song_of_many_masks_takes_its_distinct_windows(tmp_path: Path, family: str, unit: float):
    model = load_answering(str(save_music_llm(family, tmp_path)), "Is this song sad?", ("Yes", "No"))
    generator = torch.Generator().manual_seed(0)
    stems = 0.1 * torch.randn(2, 3 * round(unit * RATE), generator=generator)
    masks = torch.rand(24, 2, 3, generator=generator) < 0.5
    # Something everywhere keeps the loudest bin, and with it the floor of the features, the same for all masks.
    stems[:, ::100] += 1.0
    sounds = (masks.repeat_interleave(round(unit * RATE), 2) * stems).sum(1, keepdim=True)
    lyrics = ["love"] * 8
    with torch.inference_mode():
        alone = torch.cat([Answering.forward(model, row[None], ["love"]) for row in sounds])
        model.family.encodings = Encodings()
        asked = count_windows(model)
        batches = torch.cat([model(batch, lyrics) for batch in sounds.split(8)])
        again = torch.cat([model(batch, lyrics) for batch in sounds.split(8)])
    torch.testing.assert_close(batches, alone, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(again, batches, atol=1e-6, rtol=1e-6)
    if family == OMNI:  # its floor is the whole clip's, so that windows differ more often
        assert sum(asked) < 24 * 3
    else:
        assert sum(asked) <= 3 * 2**2
