"""What Captum's `Lime` and `KernelShap` take outside the model, and ours: calls of `overhead/captum_dropin` on the device.

Every pair runs in turn, round by round; ratios are of medians. Captum explains one target of one example.
"""

import statistics
import warnings
from collections.abc import Iterator

from benchmarks.gpu.job import Job, Row
from benchmarks.overhead.captum_dropin import COMPONENTS, EXAMPLES, OUTPUTS, TimedModel, list_calls, measure as time_call

#: Rows asked of each.
ROWS = 5000


def measure(job: Job) -> Iterator[Row]:
    """Forwards of 500 rows first, then of one, which is Captum's default."""
    warnings.simplefilter("ignore")
    model, asked = TimedModel(job.device), 300 if job.small else ROWS
    calls = list_calls(model, asked)
    for name in sorted((name for name in calls if "ridge" not in name), key=lambda name: " 1 row" in name):
        if job.left < 3:
            yield {"what": name, "note": "left out: no time"}
            continue
        kinds = calls[name]
        kinds["one"]()
        rounds = [{kind: time_call(call, model) for kind, call in kinds.items()}]
        while not job.small and len(rounds) < 5 and job.left > 2 * sum(rounds[-1].values()) + 4:
            rounds.append({kind: time_call(call, model) for kind, call in kinds.items()})
        middle = {kind: statistics.median(taken[kind] for taken in rounds) for kind in kinds}
        yield {
            "what": f"{name}, {asked} x {COMPONENTS}",
            "rounds": len(rounds),
            "Captum, us a row": round(1e6 * middle["captum"] / asked, 1),
            "ours, us a row": round(1e6 * middle["one"] / asked, 2),
            "x for one": round(middle["captum"] / middle["one"], 1),
            f"x for {OUTPUTS} outputs": round(OUTPUTS * middle["captum"] / middle["all"], 1),
            f"x for {EXAMPLES} examples": round(EXAMPLES * middle["captum"] / middle["batch"], 1),
        }
