"""The loop that stands for the original's asks the model what the package asks it."""

import numpy as np
import pytest
import torch

from benchmarks.gpu import original
from benchmarks.worlds.subjects import make_ast_roberta, make_track


@pytest.mark.filterwarnings("ignore")
def test_its_rows_are_whole_questions(monkeypatch):
    """With every component on, the loop's outputs are the model's on the song itself."""
    model, track = make_ast_roberta("smallest"), make_track(1.0, lines=1)
    heard: list[torch.Tensor] = []
    fuse = model.fuse
    model.fuse = lambda sounds, texts: heard.append(fuse(sounds, texts)) or heard[-1]

    class Ones:
        def integers(self, low, high, size):
            return np.ones(size)

    monkeypatch.setattr(np.random, "default_rng", lambda seed: Ones())
    counted = original.time_loop(model, track, torch.device("cpu"), 0.01)
    assert counted["rows"] == len(heard) >= 1
    with torch.no_grad():
        song = model(track.stems.sum(0)[None], [track.lyrics.text])
    assert torch.allclose(heard[0], song, atol=1e-3)
