"""Overhead outside the model of `musiclime_torch.captum`'s Lime and KernelShap and of Captum's own, on one callable.

The callable takes mask-sized tensors and is timed by itself; the rest of an `attribute` call is overhead. On one thread of
a CPU it is the same share of processor time, in which other work on the machine doesn't count. Ours and Captum's run in
turn in one process with the same number of samples and of rows a forward, each call of ours, over in milliseconds, five
times; ratios are taken within a round, and their median is reported. Captum explains one target of one example at a time:
its time for 8 outputs or examples is 8 times that of one call of the same round. Microseconds are a variant of one example.

Each runs with its own defaults: Captum's lasso (linear regression for KernelShap) against our closed form. Correlations are
of attributions under the same surrogate (`SkLearnRidge`, Captum's kernel) from other masks, on a model with interactions.
Memory is what a call's peak adds to what its process held: before any call, and after a short one (Captum keeps most of
what that took, so that the next adds little). Medians of several processes, because heaps fragment differently. Many
elements are explained one by one, without a feature mask, each call in a process of its own. The last line holds the smaller
ratio of Lime's and KernelShap's in forwards of 500 rows; those that end on `_at_one_row` are at Captum's default of one.

    python -m benchmarks.overhead.captum_dropin [--smoke] [--threads 1] [--device cpu|cuda]
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable

import captum.attr
import torch
from captum._utils.models.linear_model import SkLearnRidge
from rich.console import Console
from rich.table import Table

from benchmarks.tools.gauges import forget_peak, start, tell_peak
from musiclime_torch.captum import KernelShap, Lime

COMPONENTS, OUTPUTS, EXAMPLES = 100, 8, 8

#: Rows a forward where not Captum's default of one.
ROWS = 500

#: Processes that memory is measured in.
PROCESSES = 5


class TimedModel:
    """A linear model, or one with interactions, that adds its own time up."""

    def __init__(self, device: torch.device, interacting: bool = False) -> None:
        generator = torch.Generator().manual_seed(0)
        self.weight = torch.randn(COMPONENTS, OUTPUTS, generator=generator).to(device)
        self.interacting = interacting
        self.seconds = 0.0

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        if x.is_cuda:
            stop = start(x.device)
            y = self.predict(x)
            self.seconds += stop()
            return y
        # The clock itself is no library's overhead: the fastest one, read without a function around it.
        begun = time.perf_counter()
        y = self.predict(x)
        self.seconds += time.perf_counter() - begun
        return y

    def predict(self, x: torch.Tensor) -> torch.Tensor:
        y = x @ self.weight
        if self.interacting:
            y = torch.tanh(y / 8) + 0.1 * (x[:, :-1] * x[:, 1:]).sum(1, keepdim=True)
        return y


def measure(attribute: Callable[[], object], model: TimedModel, times: int = 1) -> float:
    """Seconds of a call outside the model, the median of several."""
    time.sleep(0.3)  # let the previous library's threads go idle, so that they don't slow the next one down
    taken = []
    for _ in range(times):
        model.seconds, begun = 0.0, time.thread_time()
        stop = start(model.weight.device)
        attribute()
        spent = stop()
        alone = model.weight.device.type == "cpu" and torch.get_num_threads() == 1
        taken.append((1 - model.seconds / spent) * (time.thread_time() - begun if alone else spent))
    return statistics.median(taken)


def list_calls(model: TimedModel, n_samples: int) -> dict[str, dict[str, Callable[[], object]]]:
    """Ours for one target, all and a batch, and Captum's for one target, by what is compared."""
    examples = torch.rand(EXAMPLES, COMPONENTS, generator=torch.Generator().manual_seed(1)) + 0.5
    single, many = torch.ones(1, COMPONENTS).to(model.weight.device), examples.to(model.weight.device)
    pairs = {
        "Lime": (Lime(model), captum.attr.Lime(model)),
        "KernelShap": (KernelShap(model), captum.attr.KernelShap(model)),
        "Lime, ridge": (Lime(model, SkLearnRidge(alpha=1.0)), captum.attr.Lime(model, SkLearnRidge(alpha=1.0))),
    }

    def bind(attribution: captum.attr.Attribution, x: torch.Tensor, rows: int, target: int | None) -> Callable[[], object]:
        return lambda: attribution.attribute(x, target=target, n_samples=n_samples, perturbations_per_eval=rows)

    return {
        f"{name}, {rows} row{'s' * (rows > 1)} a forward": {
            "captum": bind(captums, single, rows, 0),
            "one": bind(ours, single, rows, 0),
            "all": bind(ours, single, rows, None),
            "batch": bind(ours, many, rows, 0),
        }
        for name, (ours, captums) in pairs.items()
        for rows in (1, ROWS)
    }


def correlate(n_samples: int, device: torch.device) -> dict[str, float]:
    """Correlations of our attributions with Captum's from other masks, and of KernelShap with itself, which bounds it."""
    model, x = TimedModel(device, interacting=True), torch.ones(1, COMPONENTS, device=device)
    options = {"target": 0, "n_samples": n_samples, "perturbations_per_eval": ROWS}
    torch.manual_seed(0)
    captums = captum.attr.Lime(model, SkLearnRidge(alpha=1.0)).attribute(x, **options)
    ours = Lime(model, SkLearnRidge(alpha=1.0), seed=1).attribute(x, **options)
    default = Lime(model, seed=1).attribute(x, **options)
    shap = captum.attr.KernelShap(model).attribute(x, **options)
    our_shap = KernelShap(model, seed=1).attribute(x, **options)
    torch.manual_seed(1)
    shap_again = captum.attr.KernelShap(model).attribute(x, **options)
    our_shap_again = KernelShap(model, seed=2).attribute(x, **options)

    def between(a: torch.Tensor, b: torch.Tensor) -> float:
        return float(torch.corrcoef(torch.cat([a, b]))[0, 1])

    return {
        "Lime, ridge": between(ours, captums),
        "Lime, our default and ridge": between(default, captums),
        "KernelShap": between(our_shap, shap),
        "KernelShap, Captum's with itself": between(shap, shap_again),
        "KernelShap, ours with itself": between(our_shap, our_shap_again),
    }


def run_apart(kind: str, whose: str, numbers: tuple[int, ...], options: argparse.Namespace) -> dict[str, float]:
    """What `report_memory` or `report_elements` prints in a process of its own."""
    asked = ["--apart", kind, whose, *map(str, numbers), "--device", options.device, "--threads", str(options.threads)]
    command = [sys.executable, "-m", "benchmarks.overhead.captum_dropin", *asked]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def pick_class(whose: str) -> type[captum.attr.Attribution]:
    """A class of Captum's or ours by its name."""
    ours = {"Lime": Lime, "KernelShap": KernelShap}
    return getattr(captum.attr, whose.removeprefix("Captum ")) if whose.startswith("Captum") else ours[whose]


def report_memory(whose: str, n_samples: int, device: torch.device) -> dict[str, float]:
    """MiB added by a call beyond those held before any call, and after a short one: 100 components of 1,000 elements, and 8
    targets of ours.
    """
    owner = torch.arange(COMPONENTS, device=device).repeat_interleave(1000)[None]
    x = torch.ones(1, len(owner[0]), device=device)
    weight = torch.ones(COMPONENTS, OUTPUTS, device=device)

    def model(z: torch.Tensor) -> torch.Tensor:
        return z[:, ::1000] @ weight

    attribution, target = pick_class(whose)(model), 0 if "Captum" in whose else None

    def attribute(samples: int) -> None:
        attribution.attribute(x, target=target, feature_mask=owner, n_samples=samples, perturbations_per_eval=50)

    forget_peak(x.device)
    at_first = tell_peak(x.device)
    attribute(300)
    forget_peak(x.device)
    warmed_up = tell_peak(x.device)
    attribute(n_samples)
    return {"first": tell_peak(x.device) - at_first, "warm": tell_peak(x.device) - warmed_up}


def report_elements(whose: str, elements: int, n_samples: int, device: torch.device) -> dict[str, float]:
    """Seconds of a call without a feature mask, and MiB that it added at its peak."""
    weight = torch.randn(elements, 1, generator=torch.Generator().manual_seed(0)).to(device)
    attribution, x = pick_class(whose)(lambda z: z @ weight), torch.ones(1, elements, device=device)
    forget_peak(device)
    before, stop = tell_peak(device), start(device)
    attribution.attribute(x, target=0, n_samples=n_samples)
    return {"seconds": stop(), "MiB": tell_peak(device) - before}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="a short run; its figures mean little")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--apart", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    warnings.simplefilter("ignore")
    if options.apart:
        kind, whose, *numbers = options.apart
        report = {"memory": report_memory, "elements": report_elements}[kind]
        print(json.dumps(report(whose, *map(int, numbers), device)))
        return
    rounds, n_samples, n_correlated = (1, 300, 1000) if options.smoke else (5, 5000, 20_000)
    model = TimedModel(device)
    calls = list_calls(model, n_samples)
    for by_kind in calls.values():
        by_kind["one"]()  # the first call pays for threads and caches
    seconds: dict[str, list[dict[str, float]]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, by_kind in calls.items():
            times_of = {kind: 1 if kind == "captum" else 5 for kind in by_kind}
            seconds[name].append({kind: measure(call, model, times_of[kind]) for kind, call in by_kind.items()})
    times = {name: summarise(taken, n_samples) for name, taken in seconds.items()}
    correlations = correlate(n_correlated, device)
    weighed = ("Lime",) if options.smoke else ("Lime", "Captum Lime", "KernelShap", "Captum KernelShap")
    processes = 1 if options.smoke else PROCESSES
    memory: dict[str, list[dict[str, float]]] = {whose: [] for whose in weighed}
    for _ in range(processes):
        for whose in weighed:
            memory[whose].append(run_apart("memory", whose, (n_samples,), options))
    many = measure_elements(options)
    title = f"{n_samples:,} variants × {COMPONENTS} components, {device}, {options.threads} thread(s)"
    show(times, correlations, memory, title)
    show_elements(many)
    batched = [times[f"{name}, {ROWS} rows a forward"] for name in ("Lime", "KernelShap")]
    single = [times[f"{name}, 1 row a forward"] for name in ("Lime", "KernelShap")]
    print(
        json.dumps(
            {
                "ours_us": round(batched[0]["one_us"], 2),
                "lime_us": round(batched[0]["captum_us"], 1),
                "kernelshap_us": round(batched[1]["captum_us"], 1),
                "ratio_one": round(min(times["one"] for times in batched), 1),
                "ratio_all8": round(min(times["all"] for times in batched), 1),
                "ratio_batch8": round(min(times["batch"] for times in batched), 1),
                "ratio_one_at_one_row": round(min(times["one"] for times in single), 1),
                "ratio_all8_at_one_row": round(min(times["all"] for times in single), 1),
                "mib_beyond_a_short_call": {
                    name: round(statistics.median(figures["warm"] for figures in added), 1) for name, added in memory.items()
                },
                "seconds_of_elements": {
                    f"{name}, {elements}": round(statistics.median(figures["seconds"] for figures in taken), 2)
                    for (name, elements), taken in many.items()
                },
                "correlation": round(correlations["Lime, ridge"], 4),
                "correlation_kernelshap": round(correlations["KernelShap"], 4),
                "correlation_kernelshap_captum_itself": round(correlations["KernelShap, Captum's with itself"], 4),
            }
        )
    )


def summarise(rounds: list[dict[str, float]], n_samples: int) -> dict[str, float]:
    """Medians: microseconds a variant, and Captum's time over ours for one target, all outputs, and a batch."""
    figures = {f"{kind}_us": statistics.median(taken[kind] for taken in rounds) * 1e6 / n_samples for kind in rounds[0]}
    figures["batch_us"] /= EXAMPLES
    for kind, captums_calls in (("one", 1), ("all", OUTPUTS), ("batch", EXAMPLES)):
        figures[kind] = statistics.median(captums_calls * taken["captum"] / taken[kind] for taken in rounds)
    return figures


def measure_elements(options: argparse.Namespace) -> dict[tuple[str, int], list[dict[str, float]]]:
    """Calls of `Lime` and `KernelShap` on many elements in turn; of the most, ours alone: Captum's would take minutes."""
    few, most, n_samples = (1000, 4000, 50) if options.smoke else (16_000, 160_000, 1000)
    names = ("Lime", "Captum Lime", "KernelShap", "Captum KernelShap")
    taken: dict[tuple[str, int], list[dict[str, float]]] = {}
    for _ in range(1 if options.smoke else 3):
        for name in names:
            taken.setdefault((name, few), []).append(run_apart("elements", name, (few, n_samples), options))
    for name in ("Lime", "KernelShap"):
        taken[name, most] = [run_apart("elements", name, (most, n_samples), options)]
    return taken


def show_elements(many: dict[tuple[str, int], list[dict[str, float]]]) -> None:
    """A line a call, with ratios within rounds."""
    print("no feature mask, one row a forward, 1,000 samples (50 in a short run):")
    for (name, elements), taken in many.items():
        seconds, added = (statistics.median(figures[kind] for figures in taken) for kind in ("seconds", "MiB"))
        print(f"  {name}, {elements:,} elements: {seconds:.2f} s, {added:,.0f} MiB added", end="")
        pairs = zip(many.get((f"Captum {name}", elements), ()), taken, strict=False)
        ratios = [other["seconds"] / own["seconds"] for other, own in pairs]
        print(f"; Captum takes {statistics.median(ratios):.1f} times as long" if ratios else "")


def show(
    times: dict[str, dict[str, float]], correlations: dict[str, float], memory: dict[str, list[dict[str, float]]], title: str
) -> None:
    """The tables."""
    table = Table(title=f"{title}, torch {torch.__version__}: µs a variant outside the model, and Captum's time over ours")
    headings = ("", "Captum", "ours", "ours, all 8", "ours, 8 examples", "× one", "× all 8", "× 8 examples")
    for heading in headings:
        table.add_column(heading)
    for name, row in times.items():
        micros = [f"{row[kind]:.1f}" for kind in ("captum_us", "one_us", "all_us", "batch_us")]
        table.add_row(name, *micros, *(f"{row[kind]:.0f}" for kind in ("one", "all", "batch")))
    console = Console(width=130)
    console.print(table)
    for name, value in correlations.items():
        console.print(f"correlation, other masks, {name}: {value:.4f}")
    console.print("memory added by a call, 100,000 elements, 50 rows a forward:")
    for name, added in memory.items():
        for kind, beyond in (("first", "what was held before any call"), ("warm", "what a short call left")):
            taken = [figures[kind] for figures in added]
            span = f"({min(taken):.0f} to {max(taken):.0f} in {len(taken)} processes)"
            console.print(f"  {name}, beyond {beyond}: {statistics.median(taken):.0f} MiB {span}")


if __name__ == "__main__":
    main()
