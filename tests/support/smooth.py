"""A model that a student can learn: smooth functions of how loud each moment is, in sound alone or beside a word."""

from pathlib import Path

import soundfile
import torch
from torch import Tensor

from musiclime_torch.song.track import Track

RATE, SEGMENTS, STEMS = 8000, 4, ("drums", "bass", "vocals")


class Smooth(torch.nn.Module):
    """Two classes of the levels of four moments, neither of them a sum of what single cells do."""

    sample_rate, channels, output_kind, classes, modalities = RATE, 1, "logits", ("loud", "even"), ("audio",)
    name = "smooth"

    def __init__(self, gain: float = 1.0) -> None:
        super().__init__()
        self.gain = torch.nn.Parameter(torch.tensor(gain))

    def forward(self, audio: Tensor) -> Tensor:
        levels = audio.mean(1).unflatten(1, (SEGMENTS, -1)).square().mean(2).add(1e-3).log10()
        total = levels.sum(1)
        loud = torch.tanh(0.6 * (total + 6)) + torch.tanh(2 * (levels[:, 0] + 1.5))
        even = torch.tanh((levels[:, 1] + 1.6) * (levels[:, 2] + 1.6) * (levels[:, 3] + 1.6) * 4)
        return 3 * self.gain * torch.stack([loud, even], 1)


def make_song(seed: int) -> Track:
    """Two seconds of three stems of noise, louder and softer from moment to moment."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(3, 1, 2 * RATE, generator=generator)
    levels = 0.05 + 0.25 * torch.rand(3, 1, SEGMENTS, generator=generator)
    return Track(
        noise * levels.repeat_interleave(2 * RATE // SEGMENTS, 2), STEMS, RATE, None, title=f"song {seed}",
        source="made by hand", audio_hash=f"{seed:064d}",
    )  # fmt: skip


def write_songs(root: Path, count: int) -> Path:
    """Songs as folders of stems, and their manifest."""
    lines = ["id,audio,stems"]
    for seed in range(count):
        track, own = make_song(seed), root / f"song{seed}"
        own.mkdir()
        for name, stem in zip(STEMS, track.stems, strict=True):
            soundfile.write(own / f"{name}.wav", stem.T.numpy(), RATE, subtype="FLOAT")
        lines.append(f"{seed},,song{seed}")
    (root / "songs.csv").write_text("\n".join(lines) + "\n")
    return root / "songs.csv"
