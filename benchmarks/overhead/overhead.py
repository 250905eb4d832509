"""What an attribution costs outside the model, and how far it is off: MusicLIME beside its peers, on one callable.

The callable takes mask-sized tensors and is timed by itself; the rest of an `attribute` call is overhead. The classes
run in turn in one process, each several times in a row unless a call takes a second; the median is taken, each ratio within
its round, and the median round is reported. MusicLIME explains all classes, in forwards of 500 rows. Captum's two explain
one target, once with their defaults (one row a forward; this is what the last line holds) and once in the same forwards of
500 rows; the others, one target too, in forwards of the size that they choose, at most 64 rows. The callable is linear, so
that the truth is known: errors are relative to its coefficients, of one target. Then MusicLIME alone with other numbers of
rows a forward, with the callable in bfloat16, and compiled. Rendering audio is timed apart. One thread by default, and then
times are the process's own, not the clock's: the machine may be shared (with OMP_NUM_THREADS=1, so that no library's other
threads count).

    python -m benchmarks.overhead.overhead [--smoke] [--no-compile] [--threads 1] [--device cpu|cuda]
"""

import argparse
import json
import statistics
import time
import warnings
from collections.abc import Callable
from functools import partial

import torch
from captum.attr import KernelShap, Lime
from rich.console import Console
from rich.table import Table

from benchmarks.tools.gauges import start
from benchmarks.tools.peers import Found, Oracle, run_audiolime, run_shap, run_shapiq
from musiclime_torch import MusicLIME
from musiclime_torch.models import Precision, encoding
from musiclime_torch.surrogate import draw_foldover, solve
from musiclime_torch.variants import gate_stems, mix

COMPONENTS, CLASSES = 140, 9

OURS, LIME, KERNEL_SHAP = "MusicLIME, all classes", "Captum Lime, defaults", "Captum KernelShap, defaults"

#: Calls in a row that a median is taken of, and the seconds after which no other one is begun. What runs while a process
#: pauses takes its cores' caches: the first call afterwards pays for them, up to as much as for itself if it takes 10 ms.
REPEATS, LONG = 7, 1.0

#: One target each, by way of NumPy or of their own loops.
PEERS = {
    "audioLIME": run_audiolime,
    "SHAP's permutations": run_shap,
    "shapiq's KernelSHAP": run_shapiq,
}


def ask_peer(run: Callable[[Oracle, int, int], Found], game: Oracle, n_samples: int) -> torch.Tensor:
    return run(game, n_samples, 0).attributions


def begin(device: torch.device) -> Callable[[], float]:
    """Start a clock: of the process on one thread of a CPU, else as everywhere."""
    if device.type == "cuda" or torch.get_num_threads() > 1:
        return start(device)
    begun = time.process_time()
    return lambda: time.process_time() - begun


class TimedLinear:
    """A linear model that adds its own time up, in bfloat16 or compiled where asked."""

    def __init__(self, device: torch.device, precision: Precision = "float32", compiled: bool = False) -> None:
        self.weight = torch.randn(COMPONENTS, CLASSES, generator=torch.Generator().manual_seed(0)).to(device)
        self.precision = precision
        self.multiply = torch.compile(torch.matmul) if compiled else torch.matmul
        self.seconds = 0.0
        self.rows = 0

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        stop = begin(x.device)
        with encoding(self.precision, x.device):
            y = self.multiply(x, self.weight).float()
        self.seconds += stop()
        self.rows += len(x)
        return y


def measure_overhead(attribute: Callable[[], torch.Tensor], model: TimedLinear) -> tuple[float, float]:
    """Microseconds a variant outside the callable, and the relative error of the first class's attributions: medians of
    several calls in a row, of one alone where it is long.
    """
    time.sleep(0.3)  # let the previous library's threads go idle, so that they don't slow the next one down
    truth, figures, errors = model.weight[:, 0].double().cpu(), [], []
    began = time.perf_counter()
    while len(figures) < REPEATS and (not figures or time.perf_counter() - began < LONG):
        model.seconds, model.rows = 0.0, 0
        stop = begin(model.weight.device)
        attributions = attribute()
        figures.append(1e6 * (stop() - model.seconds) / model.rows)
        errors.append(float((attributions.reshape(-1, COMPONENTS)[0].double().cpu() - truth).norm() / truth.norm()))
    return statistics.median(figures), statistics.median(errors)


def measure_solve(n_samples: int, device: torch.device) -> tuple[float, float]:
    """Milliseconds of a solve, accumulation and standard errors included, and its largest error on an additive model."""
    design = draw_foldover(COMPONENTS, n_samples, 0).to(device)
    slopes = torch.randn(COMPONENTS, CLASSES, dtype=torch.float64, device=device)
    outputs = (design.masks.double() @ slopes).float()
    stop = begin(device)
    fit = solve(design, outputs, 0.0)
    return 1e3 * stop(), float((fit.coefficients.values.T - slopes).abs().max())


def measure_rendering(channels: int, rate: int, device: torch.device) -> float:
    """Milliseconds to render one second of one variant: 4 stems, 10 segments, 10 seconds, 32 variants a batch."""
    (window,) = gate_stems(
        torch.randn(4, channels, 10 * rate, device=device), None, [float(edge) for edge in range(11)], rate, None
    )
    masks = torch.rand(32, 4, 10, device=device) < 0.5
    mix(window, masks)
    stop = begin(device)
    mix(window, masks)
    return 1e3 * stop() / (32 * 10)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="a short run; its figures mean little")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out, which needs a compiler")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    rounds, n_samples = (1, 600) if options.smoke else (5, 5000)
    warnings.simplefilter("ignore")

    model, x = TimedLinear(device), torch.ones(1, COMPONENTS, device=device)
    ours, lime, shap = MusicLIME(model).attribute, Lime(model).attribute, KernelShap(model).attribute
    batched = {"n_samples": n_samples, "perturbations_per_eval": 500}
    game = Oracle(lambda masks: model(masks.float().to(device)).cpu(), COMPONENTS, 0, 0)
    calls: dict[str, Callable[[], torch.Tensor]] = {
        OURS: lambda: ours(x, **batched),
        LIME: lambda: lime(x, target=0, n_samples=n_samples),
        f"{LIME}, 500 rows a forward": lambda: lime(x, target=0, **batched),
        KERNEL_SHAP: lambda: shap(x, target=0, n_samples=n_samples),
        f"{KERNEL_SHAP}, 500 rows a forward": lambda: shap(x, target=0, **batched),
        **{name: partial(ask_peer, run, game, n_samples) for name, run in PEERS.items()},
    }
    models: dict[str, TimedLinear] = {}  # other than `model`
    for rows in (1, 50, 5000):
        calls[f"MusicLIME, {rows:,} rows a forward"] = partial(ours, x, n_samples=n_samples, perturbations_per_eval=rows)
    for name, other in (("bfloat16", TimedLinear(device, "bfloat16")), ("compiled", TimedLinear(device, compiled=True))):
        if name == "compiled" and options.no_compile:
            continue
        calls[f"MusicLIME, {name}"] = partial(MusicLIME(other).attribute, x, **batched)
        models[f"MusicLIME, {name}"] = other
    for name in [name for name in calls if name.startswith("MusicLIME")]:
        calls[name]()  # the first call pays for threads, caches and compiling
    figures: dict[str, list[float]] = {name: [] for name in calls}
    errors: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            microseconds, error = measure_overhead(call, models.get(name, model))
            figures[name].append(microseconds)
            errors[name].append(error)
    solves = [measure_solve(n_samples, device) for _ in range(rounds + 3)][3:]
    solve_ms = statistics.median(milliseconds for milliseconds, _ in solves)

    table = Table(
        title=f"{n_samples:,} variants × {COMPONENTS} components, {CLASSES} classes, {device}, {options.threads} thread(s), "
        f"torch {torch.__version__}"
    )
    for heading in ("outside the callable", "µs a variant (median)", "times MusicLIME's, within a round", "relative error"):
        table.add_column(heading)
    medians = {name: statistics.median(values) for name, values in figures.items()}
    for name, values in figures.items():
        pairs = zip(values, figures[OURS], strict=True)
        ratio = statistics.median(value / own for value, own in pairs)
        table.add_row(name, f"{medians[name]:.1f}", f"{ratio:.2g}", f"{statistics.median(errors[name]):.1g}")
    table.add_row("solve alone, ms a run", f"{solve_ms:.1f}", "", f"{max(error for _, error in solves):.0e} at most")
    for label, channels, rate in (("mono 16 kHz", 1, 16000), ("stereo 44.1 kHz", 2, 44100)):
        milliseconds = statistics.median(measure_rendering(channels, rate, device) for _ in range(rounds + 2))
        table.add_row(f"rendering {label}, ms a second", f"{milliseconds:.3f}", "", "")
    Console(width=120).print(table)
    print(
        json.dumps(
            {
                "us_per_variant": round(medians[OURS], 2),
                "captum_lime_us_per_variant": round(medians[LIME], 1),
                "captum_kernelshap_us_per_variant": round(medians[KERNEL_SHAP], 1),
                "solve_ms": round(solve_ms, 2),
            }
        )
    )


if __name__ == "__main__":
    main()
