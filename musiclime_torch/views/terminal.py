"""An explanation as a table for the terminal: what can be told from zero is ranked, the rest is counted."""

import math
from io import StringIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from musiclime_torch.explanation import Explanation

#: Characters of the longest bar.
BAR = 20


def to_text(explanation: Explanation, target: int | str | None, rows: int, positive_only: bool) -> str:
    """The table without colours, as it is written to files."""
    buffer = StringIO()
    print_table(explanation, target, rows, positive_only, Console(file=buffer, width=100, color_system=None))
    return buffer.getvalue()


def print_table(
    explanation: Explanation, target: int | str | None, rows: int, positive_only: bool, console: Console
) -> None:
    """Print the decision, its largest components with their intervals, and what the numbers mean."""
    row = explanation.class_index(target)
    ranked = explanation.top(len(explanation.components), row)
    shown = [entry for entry in ranked if entry[1] > 0 or not positive_only][:rows]
    percent = f"{100 * explanation.confidence:g}%"
    console.print(
        f"[bold]{_plain(explanation.classes[row])}[/]: "
        f"{explanation.space} {float(explanation.output_song[row]):.3g} on the song, "
        f"{float(explanation.output_empty[row]):.3g} with everything removed",
        highlight=False,
    )
    if shown:
        largest = max(abs(value) for _, value, _ in shown)
        # Four figures of the largest: attributions may be logits or thousandths of a probability.
        decimals = max(3 - math.floor(math.log10(largest)), 0)
        table = Table(box=None, pad_edge=False)
        table.add_column("component", overflow="ellipsis", no_wrap=True)
        table.add_column(f"{explanation.value} ({explanation.space})", justify="right")
        table.add_column(f"± {percent}", justify="right")
        table.add_column("")
        for component, value, half in shown:
            bar = Text("█" * max(round(BAR * abs(value) / largest), 1), style="green" if value > 0 else "red")
            table.add_row(Text(component.name), f"{value:+.{decimals}f}", f"{half:.{decimals}f}", bar)
        console.print(table)
    console.print(_summarise(explanation, len(ranked), len(shown), row, percent), highlight=False, markup=False)
    for warning in explanation.warnings:
        console.print(f"Note: {warning}", highlight=False, markup=False)


def _summarise(explanation: Explanation, ranked: int, shown: int, row: int, percent: str) -> str:
    total, unseen = len(explanation.components), len(explanation.unseen)
    parts = [f"{ranked - shown} more stand out"] if ranked > shown else []
    if total - unseen > ranked:
        parts.append(f"{total - unseen - ranked} can't be told from zero")
    if unseen:
        parts.append(f"{unseen} the model can't notice (silent, or past its limit)")
    counts = f"Of {total} components " + ", ".join(parts) + ".\n" if parts else ""
    return (
        f"{counts}{explanation.n_samples} variants; the surrogate explains {100 * float(explanation.fidelity[row]):.0f}% "
        f"of their variance. Intervals ({percent}, each for itself) are the error of sampling masks for this song, "
        f"not of the model or of other songs."
    )


def _plain(text: str) -> str:
    """Class names are not rich markup."""
    return text.replace("[", r"\[")
