"""The paper's model at full size, AST-base and RoBERTa-large with random weights: does it build, explain and fit?

Ten seconds of four noisy stems and forty-eight words; few components, so that a CPU can run it: measured are memory and
the time of a pass of either encoder.

    python -m benchmarks.overhead.paper_model [--smoke] [--threads 2] [--device cpu|cuda]
"""

import argparse
import json

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.tools.gauges import forget_peak, tell_peak
from benchmarks.worlds.subjects import make_ast_roberta, make_track, watch_model
from musiclime_torch import explain


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="two narrow layers each")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    forget_peak(device)
    model = make_ast_roberta("tiny" if options.smoke else "paper").to(device)
    clocks = watch_model(model, device)
    explanation = explain(model, make_track(), segments=1, units="line", n_samples=(16, 16), batch_size=8, device=device)
    peak = tell_peak(device) / 1024
    table = Table(title=f"AST + RoBERTa, {sum(p.numel() for p in model.parameters()) / 1e6:.0f} million parameters")
    for heading in ("what", "figure"):
        table.add_column(heading)
    table.add_row("design", explanation.design)
    passes = {"audio": clocks["encode_audio"], "lyrics": clocks["encode_text"]}
    each = {side: clock.seconds / clock.rows for side, clock in passes.items()}
    for side, seconds in each.items():
        table.add_row(f"seconds a pass, {side}", f"{seconds:.2f}")
    table.add_row("peak memory", f"{peak:.2f} GiB")
    Console(width=110).print(table)
    rounded = {side: round(seconds, 3) for side, seconds in each.items()}
    print(json.dumps({"peak_gib": round(peak, 2), "seconds_a_pass": rounded}))


if __name__ == "__main__":
    main()
