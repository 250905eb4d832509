"""How an explanation's time and memory grow, and how much of the time is the model's own.

One setting is changed at a time: variants, components, classes, length of the song, rows a forward, precision, and whether
the encoders are compiled. The model is AST + RoBERTa with random weights, tiny on a CPU; the last rows are at base size,
with few variants. "Inside" is the time in both encoders, their front ends and the head, as a share of the whole call;
memory is the peak of the process (of what is allocated, on a GPU), and what it is above the song's and the model's own.
Every setting runs in a process of its own, because memory freed but not returned would hide what the next one takes.

    python -m benchmarks.overhead.scaling [--smoke] [--only classes] [--sizes base,paper] [--no-compile] [--threads 1]
        [--device cpu|cuda]
"""

import argparse
import json
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.tools.gauges import forget_peak, start, tell_peak
from benchmarks.worlds.subjects import make_ast_roberta, make_track, watch_model
from musiclime_torch import explain


@dataclass(frozen=True)
class Setting:
    """What is explained, and how."""

    size: str = "tiny"
    variants: int = 256
    segments: int = 5
    classes: int = 9
    seconds: float = 10.0
    batch: int = 32
    units: str = "word"
    precision: str = "float32"
    compiled: bool = False


def list_settings(device: str, compiled: bool) -> list[tuple[str, Setting]]:
    """What is changed, and the setting; larger ones on a GPU."""
    base = Setting() if device == "cpu" else Setting(size="base", variants=2048, batch=64)
    sweeps: dict[str, list[Any]] = {
        "variants": [base.variants, 2 * base.variants, 4 * base.variants],
        "segments": [5, 10, 20],
        "classes": [9, 527],
        "seconds": [10.0, 30.0] if device == "cpu" else [10.0, 60.0, 600.0],
        "batch": [1, 8, 64] if device == "cpu" else [1, 16, 64, 256, 1024],
        "precision": ["float32", "bfloat16"],
        "compiled": [False, True] if compiled else [],
    }
    return [(name, replace(base, **{name: value})) for name, values in sweeps.items() for value in values]


def run(setting: Setting, device: torch.device) -> dict[str, float]:
    """Seconds, share inside the model, microseconds a variant outside it, MiB."""
    model, track = make_ast_roberta(setting.size, setting.classes).to(device), make_track(setting.seconds)
    if setting.compiled:
        model.audio_model, model.text_model = torch.compile(model.audio_model), torch.compile(model.text_model)
    counts = (setting.variants // 2, setting.variants // 2)
    options: dict[str, Any] = {
        "segments": setting.segments,
        "units": setting.units,
        "batch_size": setting.batch,
        "precision": setting.precision,
        "device": device,
    }
    if setting.compiled:  # what compiling takes isn't what a forward takes
        explain(model, track, n_samples=counts, **options)
    clocks = watch_model(model, device)
    forget_peak(device)
    before, stop = tell_peak(device), start(device)
    explanation = explain(model, track, n_samples=counts, **options)
    seconds = stop()
    inside = sum(clock.seconds for clock in clocks.values())
    passes = explanation.audio_passes + explanation.lyrics_passes
    return {
        "components": len(explanation.components),
        "passes": passes,
        "seconds": seconds,
        "inside": inside / seconds,
        "outside_us": 1e6 * (seconds - inside) / passes,
        "peak": tell_peak(device),
        "added": tell_peak(device) - before,
    }


def run_alone(setting: Setting, device: torch.device, threads: int) -> dict[str, float]:
    """`run` in a new process, once libraries and threads are there."""
    with ProcessPoolExecutor(1, get_context("spawn"), torch.set_num_threads, (threads,)) as process:
        process.submit(run, Setting(variants=16, seconds=1.0, segments=2), device).result()
        return process.submit(run, setting, device).result()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="a few settings of the tiny model")
    parser.add_argument("--only", help="one kind of change alone, such as classes")
    parser.add_argument("--sizes", help="sizes of the last rows: base, paper, or both; by default both on a GPU, else base")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out, which needs a compiler")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    device = torch.device(options.device)
    sizes = options.sizes or ("base" if device.type == "cpu" else "base,paper")
    settings = list_settings(device.type, not options.no_compile)
    if options.smoke:
        settings = [("variants", Setting(variants=variants, seconds=1.0, segments=2)) for variants in (32, 64)]
    else:
        few = {"variants": 32, "batch": 8, "segments": 2, "units": "line"} if device.type == "cpu" else {"variants": 4096}
        settings += [("size", Setting(size=size, **few)) for size in sizes.split(",")]
    settings = [one for one in settings if options.only in (None, one[0])]
    table = Table(title=f"AST + RoBERTa, random weights, {device}, {options.threads} thread(s), torch {torch.__version__}")
    headings = ("changed", "size", "passes", "components", "classes", "song", "batch", "precision", "compiled")
    for heading in (*headings, "seconds", "inside the model", "µs a pass outside", "peak MiB", "added MiB"):
        table.add_column(heading)
    shares: dict[str, float] = {}
    added: dict[str, dict[int, int]] = {"variants": {}, "batch": {}}
    for changed, setting in settings:
        measured = run_alone(setting, device, options.threads)
        row = (changed, setting.size, f"{measured['passes']:.0f}", f"{measured['components']:.0f}", f"{setting.classes}")
        row += (f"{setting.seconds:g} s", str(setting.batch), setting.precision, "yes" if setting.compiled else "no")
        row += (f"{measured['seconds']:.2f}", f"{measured['inside']:.1%}", f"{measured['outside_us']:.0f}")
        table.add_row(*row, f"{measured['peak']:.0f}", f"{measured['added']:.0f}")
        about = f"{setting.size}, {setting.precision}"
        shares[about] = min(round(measured["inside"], 4), shares.get(about, 1.0))
        if changed in ("variants", "batch"):
            added[changed][getattr(setting, changed)] = round(measured["added"])
    Console(width=160).print(table)
    print(json.dumps({"least_inside_share": shares, "added_mib": added}))


if __name__ == "__main__":
    main()
