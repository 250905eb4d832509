"""Encoder work that tables of local maps save, at equal values (`musiclime_torch.variants.local_maps`).

The embedded model hears 1.03 s around a moment, and its song has ten segments of 1.2 s. MusiCNN's filters of timbre hear
0.13 s, and three seconds of the song have ten segments of 0.3 s. Each design is run twice: with the model's local maps, and
with these hidden, so that every mask takes a pass. Passes are the encoder's own rows, those that check the table among
them. A look-up isn't free, above all with MusiCNN, whose later layers run for every mask: seconds of the entire call are
beside the passes, on one thread. The last column is the largest difference of an attribution or of a standard error, as a
share of the largest attribution.

    python -m benchmarks.cost.local_tables [--smoke]
"""

import argparse
import json
import time
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from musiclime_torch import Explanation, Track, explain
from musiclime_torch.demo import load_demo_model, load_demo_track
from musiclime_torch.models import load_musicnn

#: What a model with local maps offers.
LOCAL = ("encode_local", "pool_local")

#: Samples of three seconds at 16 kHz, for MusiCNN.
EXCERPT = 48_000


@dataclass(frozen=True)
class Case:
    """A model, a song, and what is asked of them."""

    name: str
    model: torch.nn.Module
    track: Track
    asked: dict[str, Any]


@dataclass(frozen=True)
class Saved:
    """Passes of the sound and seconds without and with tables, and how far the values are apart."""

    passes: tuple[int, int]
    seconds: tuple[float, float]
    difference: float


def list_cases(smoke: bool) -> list[Case]:
    """The embedded model under the default design and larger ones; MusiCNN where its weights are installed."""
    model, track = load_demo_model(), load_demo_track()
    sizes = (2048,) if smoke else (2048, 8192)
    asked: list[tuple[str, dict[str, Any]]] = [("default", {})]
    asked += [(f"{size:,} × 128 masks", {"n_samples": (size, 128)}) for size in sizes]
    asked += [("Shapley values", {"weights": "shapley"})]
    cases = [Case(f"embedded, {name}", model, track, settings) for name, settings in asked]
    if find_spec("musicnn") is not None:
        short = replace(track, stems=track.stems[:, :, :EXCERPT].contiguous(), lyrics=None)
        sizes = (512,) if smoke else (512, 2048)
        cases += [
            Case(f"MusiCNN, {size:,} masks", load_musicnn("MTT"), short, {"segments": 10, "n_samples": size})
            for size in sizes
        ]
    return cases


class Hidden:
    """A model that offers all but its local maps."""

    def __init__(self, model: torch.nn.Module) -> None:
        self.module = model

    def __getattr__(self, name: str) -> Any:
        if name in LOCAL:
            raise AttributeError(name)
        return getattr(self.module, name)

    def __call__(self, *inputs: Any) -> Any:
        """Its outputs."""
        return self.module(*inputs)


def run(model: Any, case: Case) -> tuple[Explanation, float]:
    """The explanation and its seconds."""
    started = time.perf_counter()
    return explain(model, case.track, **case.asked), time.perf_counter() - started


def compare(case: Case) -> Saved:
    """Both ways."""
    (plain, slow), (quick, fast) = run(Hidden(case.model), case), run(case.model, case)
    largest = float(plain.attributions.abs().max())
    apart = max(
        float((getattr(quick, name) - getattr(plain, name)).abs().max()) for name in ("attributions", "standard_errors")
    )
    return Saved((plain.audio_passes, quick.audio_passes), (slow, fast), apart / largest)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="fewer masks")
    options = parser.parse_args()
    torch.set_num_threads(1)
    table = Table(title="Passes of the sound's encoder at equal values")
    for heading in ("model and design", "passes without", "with", "times fewer", "seconds without", "with", "difference"):
        table.add_column(heading)
    figures = {}
    explain(load_demo_model(), load_demo_track(), n_samples=128)  # whatever a first call loads
    for case in list_cases(options.smoke):
        saved = compare(case)
        (many, few), (slow, fast) = saved.passes, saved.seconds
        times = f"{many / few:.1f}"
        table.add_row(case.name, f"{many:,}", f"{few:,}", times, f"{slow:.1f}", f"{fast:.1f}", f"{saved.difference:.1g}")
        figures[case.name] = {"passes": saved.passes, "seconds": saved.seconds, "difference": saved.difference}
    Console(width=140).print(table)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
