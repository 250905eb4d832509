"""A thousand masked sounds by a thousand masked lyrics by 527 classes: time and memory of the head and the solver.

The encoders cost next to nothing, so that the measurement is of the head on a million pairs, three scales solved with all
interactions, and their errors. The LayerNorm + Linear head runs by its shortcut (`models.heads`) and, on a tenth of the
sounds, on pairs joined one by one; the ratio is a pair's time by the second way over that by the first. Peak memory is the
whole process's, torch and all.

    python -m benchmarks.overhead.head [--smoke] [--threads 2] [--device cpu|cuda]
"""

import argparse
import json
import resource

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from benchmarks.tools.gauges import start
from musiclime_torch import Track, explain
from musiclime_torch.models import TokenBatch, Tokens, fuse_layer_norm_pairs
from musiclime_torch.song import parse_lyrics

WIDTH = 768


class Head(nn.Module):
    """Two random projections for encoders, LayerNorm + Linear on what they give."""

    sample_rate, channels = 1000, 1

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.ear, self.table = nn.Linear(64, WIDTH), nn.Embedding(200, WIDTH)
        self.norm, self.linear = nn.LayerNorm(2 * WIDTH), nn.Linear(2 * WIDTH, classes)

    def tokenize(self, text: str) -> Tokens:
        """One token a word, each its own."""
        spans, here = [], 0
        for word in text.split():
            spans.append((text.index(word, here), text.index(word, here) + len(word)))
            here = spans[-1][1]
        return Tokens(torch.arange(len(spans)), tuple(spans), mask_id=199)

    def embed_text(self, ids: Tensor) -> Tensor:
        """Random vectors."""
        return self.table(ids)

    def encode_audio(self, audio: Tensor) -> Tensor:
        """Levels over time, projected."""
        return torch.tanh(self.ear(nn.functional.adaptive_avg_pool1d(audio.square(), 64)[:, 0]))

    def encode_text(self, text: TokenBatch) -> Tensor:
        """The mean embedding."""
        return torch.tanh(text.embeddings.mean(1))

    def fuse(self, sounds: Tensor, read: Tensor) -> Tensor:
        """The head on joined rows."""
        return self.linear(self.norm(torch.cat([sounds, read], 1)))

    def fuse_pairs(self, sounds: Tensor, read: Tensor) -> Tensor:
        """The head on all pairs."""
        return fuse_layer_norm_pairs(self.norm, self.linear, sounds, read)

    def forward(self, audio: Tensor, text: TokenBatch) -> Tensor:
        """Logits."""
        return self.fuse(self.encode_audio(audio), self.encode_text(text))


def make_song() -> Track:
    """Four seconds of noise in four stems, and a hundred words, each its own."""
    stems = torch.randn(4, 1, 4000) * torch.linspace(0.1, 1, 4000)
    lyrics = parse_lyrics("\n".join(" ".join(f"w{line}x{word}" for word in range(10)) for line in range(10)))
    return Track(stems, ("a", "b", "c", "d"), 1000, lyrics)


@torch.no_grad()
def compare_heads(model: Head, rows: int, device: torch.device) -> float:
    """A pair's time on joined rows over its time by the shortcut."""
    sounds, read = torch.randn(rows // 10, WIDTH, device=device), torch.randn(rows, WIDTH, device=device)
    seconds = []
    for _ in range(3):
        stop = start(device)
        for sound in sounds:
            model.fuse(sound.expand(rows, -1), read)
        joined, stop = stop(), start(device)
        for few in sounds.split(16):
            model.fuse_pairs(few, read)
        seconds.append(joined / stop())
    return sorted(seconds)[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="a hundred by a hundred by 50")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    rows, classes = (100, 50) if options.smoke else (1000, 527)
    torch.manual_seed(0)
    model = Head(classes).to(device).eval()
    track = make_song()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    stop = start(device)
    explanation = explain(model, track, n_samples=(rows, rows), units="line" if options.smoke else "word", device=device)
    seconds = stop()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    ratio = compare_heads(model, rows, device)
    table = Table(title=f"{explanation.design}, {classes} classes")
    for heading in ("what", "figure"):
        table.add_column(heading)
    grid = explanation.n_variants * classes * 4 / 2**30
    table.add_row("outputs of all pairs, one scale, float32", f"{grid:.2f} GiB")
    table.add_row("peak memory of the process (before / in the end)", f"{before / 2**20:.2f} / {peak / 2**20:.2f} GiB")
    table.add_row("whole explanation, three scales, interactions and errors", f"{seconds:.1f} s")
    table.add_row("head on joined rows / by the shortcut, time a pair", f"{ratio:.1f}")
    Console(width=120).print(table)
    print(
        json.dumps(
            {
                "pairs": explanation.n_variants,
                "seconds": round(seconds, 1),
                "peak_gib": round(peak / 2**20, 2),
                "head_ratio": round(ratio, 1),
            }
        )
    )


if __name__ == "__main__":
    main()
