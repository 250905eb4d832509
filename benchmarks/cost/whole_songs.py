"""What a song longer than its model's window costs: forward passes and seconds, today's code beside an earlier checkout.

A counting model stands for the real ones: it has their window length, takes the mean of tanh-filtered frames and counts the
rows it is given, so that passes are those of MusiCNN (3 s), AST (10.24 s), CLAP (10 s) and a 30 s model at any speed of the
machine. Songs are noise in 2, 4 or 5 stems and ten segments, 2,048 masks. Seconds are of the whole explanation with this
model, whose passes cost next to nothing: for a real model they are the time outside it. Errors are the root mean square of
the standard errors; 0 is exact. The last lines are of MusiCNN itself, with random weights: a four-minute song in 4 and in 2
stems here in full, and by the other checkout, which would take hours, reckoned from what a pass takes it on twelve seconds.
`--beside` names the root of another checkout, which runs in a process of its own, on the same songs.

    python -m benchmarks.cost.whole_songs [--smoke] [--beside DIR]
"""

import argparse
import json
import os
import subprocess
import sys
import time
from importlib import import_module
from typing import Any

import torch

#: Name, window in seconds, song in seconds, stems.
CASES = (
    ("MusiCNN", 3.0, 240.0, 2),
    ("MusiCNN", 3.0, 240.0, 4),
    ("MusiCNN", 3.0, 240.0, 5),
    ("AST", 10.24, 180.0, 4),
    ("AST", 10.24, 180.0, 5),
    ("CLAP", 10.0, 240.0, 4),
    ("30 s", 30.0, 240.0, 4),
    ("AST, 30 s of a song", 10.24, 30.0, 4),
    ("one window", 10.24, 10.0, 4),
)
RATE = 1000
MASKS = 2048
#: Seconds of song and masks from which the other checkout's time is reckoned.
SHORT, SHORT_MASKS = 12.0, 48

ROWS: list[dict[str, Any]] = []


class Counting:
    """Logits of two classes from audio alone; `rows` counts forward passes."""

    sample_rate, classes, modalities = RATE, ("a", "b"), ("audio",)

    def __init__(self, max_seconds: float) -> None:
        self.max_seconds, self.rows = max_seconds, 0
        self.weights = torch.randn(round(max_seconds * RATE), 2, generator=torch.Generator().manual_seed(0))

    def __call__(self, audio: torch.Tensor) -> torch.Tensor:
        """A nonlinear function of all frames."""
        self.rows += len(audio)
        return (audio.mean(1) @ self.weights[: audio.shape[-1]]).tanh()


def measure(window: float, seconds: float, stems: int, masks: int) -> dict[str, float]:
    """Passes and seconds of one explanation by whichever musiclime_torch is first on the path."""
    from musiclime_torch import Track, explain

    sounds = 0.01 * torch.randn(stems, 1, round(seconds * RATE), generator=torch.Generator().manual_seed(1))
    track = Track(sounds, tuple(f"stem {number}" for number in range(stems)), RATE)
    model, started = Counting(window), time.perf_counter()
    explanation = explain(model, track, segments=10, n_samples=masks)
    return {
        "passes": model.rows,
        "seconds": time.perf_counter() - started,
        "error": float(explanation.standard_errors.square().mean().sqrt()),
    }


def measure_musicnn(seconds: float, stems: int, masks: int) -> dict[str, float]:
    """Passes and seconds of one explanation of MusiCNN, on one core."""
    from musiclime_torch import Track, explain

    # By its module, which an earlier checkout has too, though not in a face.
    musicnn = import_module("musiclime_torch.models.musicnn")
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model, rows = musicnn.Musicnn(musicnn.TAGS["MTT"]).eval(), []
    inside: list[float] = []

    def begin(_: object, inputs: tuple[torch.Tensor]) -> None:
        rows.append(len(inputs[0]))
        inside.append(-time.perf_counter())

    def end(*_: object) -> None:
        inside[-1] += time.perf_counter()

    model.register_forward_pre_hook(begin)
    model.register_forward_hook(end)
    sounds = 0.1 * torch.randn(stems, 1, round(seconds * 16_000), generator=torch.Generator().manual_seed(1))
    track = Track(sounds, tuple(f"stem {number}" for number in range(stems)), 16_000)
    started = time.perf_counter()
    segments = 10 if seconds > SHORT else 4
    explain(model, track, segments=segments, n_samples=masks, design="auto" if seconds > SHORT else "foldover")
    return {"passes": sum(rows), "seconds": time.perf_counter() - started, "inside": sum(inside)}


def measure_beside(folder: str, masks: int) -> dict[str, Any]:
    """The same cases by another checkout, in a process that finds it first."""
    folder = os.path.abspath(folder)
    environment = os.environ | {"PYTHONPATH": folder}
    command = [sys.executable, os.path.abspath(__file__), "--only", str(masks)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment, cwd=folder)
    results: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return results


def main() -> None:
    """Print a row for each case, and all of it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="64 masks")
    parser.add_argument("--beside", metavar="DIR", help="root of another checkout to compare with")
    parser.add_argument("--only", type=int, metavar="MASKS", help="measure and print JSON alone")
    given = parser.parse_args()
    masks = given.only or (64 if given.smoke else MASKS)
    own = [measure(window, seconds, stems, masks) for _, window, seconds, stems in CASES]
    if given.only:
        print(json.dumps({"cases": own, "musicnn": measure_musicnn(SHORT, 4, SHORT_MASKS)}))
        return
    other = measure_beside(given.beside, masks) if given.beside else {}
    show(own, other.get("cases", []))
    real = [] if given.smoke else [show_musicnn(stems, other) for stems in (4, 2)]
    print(json.dumps({"cases": ROWS, "musicnn": real}))


def show_musicnn(stems: int, other: dict[str, Any]) -> dict[str, Any]:
    """A line for people; passes and seconds here, and how many times more the other checkout would need."""
    row: dict[str, Any] = {"stems": stems, **measure_musicnn(240.0, stems, MASKS)}
    line = f"MusiCNN, 240 s, {stems} stems: {row['passes']:,.0f} passes here"
    if other:
        case = next(n for n, (name, _, seconds, count) in enumerate(CASES) if (name, count) == ("MusiCNN", stems))
        passes, short = other["cases"][case]["passes"], other["musicnn"]
        row |= {
            "fewer_by": passes / row["passes"],
            "time_ratio": passes * short["seconds"] / short["passes"] / row["seconds"],
            "pass_ratio": short["inside"] / short["passes"] / (row["inside"] / row["passes"]),
        }
        line += (
            f", {row['fewer_by']:.0f} times fewer; {row['time_ratio']:.0f} times less time, a pass "
            f"{row['pass_ratio']:.2f} times faster"
        )
    print(line)
    return row


def show(own: list[dict[str, float]], other: list[dict[str, float]]) -> None:
    """A table for people; its rows for programs."""
    from rich.console import Console
    from rich.table import Table

    table = Table("model", "window", "song", "stems", "passes", title="Whole songs, ten segments")
    for heading in ("passes beside", "fewer by", "time beside : here", "error here", "error beside") if other else ():
        table.add_column(heading, justify="right")
    for number, (name, window, seconds, stems) in enumerate(CASES):
        cells = [name, f"{window:g} s", f"{seconds:g} s", str(stems), f"{own[number]['passes']:,.0f}"]
        row: dict[str, Any] = {"model": name, "stems": stems, "song": seconds, **own[number]}
        if other:
            fewer, faster = (other[number][key] / own[number][key] for key in ("passes", "seconds"))
            cells += [f"{other[number]['passes']:,.0f}", f"{fewer:.3g} times", f"{faster:.3g}"]
            cells += [f"{side[number]['error']:.2g}" for side in (own, other)]
            row |= {"passes_beside": other[number]["passes"], "fewer_by": fewer, "time_ratio": faster}
            row["error_beside"] = other[number]["error"]
        table.add_row(*cells)
        ROWS.append(row)
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
