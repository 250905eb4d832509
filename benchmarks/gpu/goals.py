"""What a card is held to, read from the rows of the parts: met, missed, or not measured."""

from collections.abc import Iterable
from typing import Any

Rows = dict[str, list[dict[str, Any]]]

#: Share of the wall time inside the model, seconds of the paper's explanation, times the original's loop, and how much more
#: memory twice the masks may take.
INSIDE, SECONDS, TIMES, MEMORY = 0.9, 60.0, 40.0, 1.1


def judge_goals(parts: Rows) -> list[dict[str, Any]]:
    """A row a goal, from the rows of the parts by name."""
    plain = [row for row in parts.get("sweep", []) if row.get("products") == "bfloat16" and "inside" in row]
    original = [row for row in parts.get("original", []) if "x loop" in row]
    papers = [row for row in original if row["what"].startswith("paper's masks, bfloat16")]
    return [
        judge(
            "inside the model, bfloat16", f">= {INSIDE:.0%}", (row["inside"] for row in plain), lambda best: best >= INSIDE
        ),
        judge(
            "the paper's explanation, s", f"< {SECONDS:g}", (-row["seconds"] for row in papers), lambda best: -best < SECONDS
        ),
        judge("times the original's loop", f">= {TIMES:g}", (row["x loop"] for row in papers), lambda best: best >= TIMES),
        judge(
            "peak memory of twice the masks, times", f"<= {MEMORY:g}", compare_memory(plain), lambda best: -best <= MEMORY
        ),
    ]


def compare_memory(ways: list[dict[str, Any]]) -> Iterable[float]:
    """Less the ratio of the peaks of two runs that differ in nothing but their masks."""
    for more in ways:
        for less in ways:
            alike = all(more[key] == less[key] for key in ("products", "rows", "how")) and less["peak GiB"] > 0
            if alike and more["masks"] == 2 * less["masks"]:
                yield -more["peak GiB"] / less["peak GiB"]


def judge(goal: str, wanted: str, figures: Iterable[float], met: Any) -> dict[str, Any]:
    """The best of the figures against what is wanted; the greatest is best."""
    best = max(figures, default=None)
    verdict = "not measured" if best is None else "met" if met(best) else "missed"
    return {"goal": goal, "wanted": wanted, "figure": None if best is None else abs(best), "verdict": verdict}
