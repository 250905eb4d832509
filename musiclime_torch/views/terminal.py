"""An explanation as a table for the terminal: what is significant is ranked, the rest is counted."""

import math
from io import StringIO

from jaxtyping import Float
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text
from torch import Tensor

from musiclime_torch.explanation.evidence import Evidence
from musiclime_torch.explanation.explanation import SUMMING, Explanation
from musiclime_torch.explanation.interactions import Interactions
from musiclime_torch.explanation.sentences import (
    REMOVED,
    find_probabilities,
    say_edit,
    say_end,
    say_half_width,
    say_percent,
    tell_kinds,
    to_sentences,
)

#: Characters of the longest bar.
BAR = 20

#: Interactions shown.
PAIRS = 5

#: Half widths below this share of the largest attribution are rounding of float32 outputs.
ROUNDING = 1e-5


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
    if "asked" in explanation.provenance:
        console.print(f"Asked: {explanation.provenance['asked']}", highlight=False, markup=False)
    console.print(" ".join(to_sentences(explanation, row)), highlight=False, markup=False)
    song, empty = (_say_output(explanation, outputs, row) for outputs in (explanation.output_song, explanation.output_empty))
    console.print(
        f"[bold]{escape(explanation.classes[row])}[/]: {explanation.space} {song} on the song, "
        f"{empty} {say_end(explanation)}",
        highlight=False,
    )
    if shown:
        largest = max(abs(value) for _, value, _ in shown)
        # Four significant figures of the largest: attributions may be logits or thousandths of a probability.
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
    if kinds := tell_kinds(explanation, row):
        console.print(kinds, highlight=False, markup=False)
    if explanation.interactions is not None:
        console.print(
            _describe_interactions(explanation, explanation.interactions, row, percent), highlight=False, markup=False
        )
    if explanation.evidence is not None:
        console.print(_describe_evidence(explanation, explanation.evidence), highlight=False, markup=False)
    for warning in explanation.warnings:
        console.print(f"Note: {warning}", highlight=False, markup=False)


def _say_output(explanation: Explanation, outputs: Float[Tensor, " class"], row: int) -> str:
    """An output, and the probability that it stands for where it is another number."""
    chances = None if explanation.space == "probability" else find_probabilities(explanation, outputs)
    known = chances is not None and row < len(chances)
    return f"{float(outputs[row]):.3g}" + (f" ({say_percent(chances[row])})" if known and chances else "")


def _summarise(explanation: Explanation, ranked: int, shown: int, row: int, percent: str) -> str:
    total, unseen = len(explanation.components), len(explanation.unseen)
    parts = [f"{ranked - shown} more are significant"] if ranked > shown else []
    if total - unseen > ranked:
        parts.append(f"{total - unseen - ranked} are not significant")
    if unseen:
        why = (
            "silent, past its limit, or without another word"
            if explanation.provenance.get("swaps")
            else "silent, or past its limit"
        )
        parts.append(f"{unseen} the model can't notice ({why})")
    counts = f"Of {total} components " + ", ".join(parts) + ".\n" if parts else ""
    passes = ", ".join(
        f"{number:,} {side} pass{'es' * (number > 1)}"
        for number, side in ((explanation.audio_passes, "audio"), (explanation.lyrics_passes, "lyrics"))
        if number
    )
    passes = passes or "no new pass"
    stopped = f" {explanation.stopped[0].upper()}{explanation.stopped[1:]}." if explanation.stopped else ""
    return (
        f"{counts}{explanation.n_variants:,} variants from {passes} ({explanation.design}); the surrogate explains "
        f"{100 * float(explanation.fidelity[row]):.0f}% of their variance.{stopped} {_name_remainder(explanation, row)}"
        f"{_name_exactness(explanation, row)}{_name_intervals(explanation, row, percent)}"
    ).strip()


def _name_intervals(explanation: Explanation, row: int, percent: str) -> str:
    """What the intervals are; nothing where all are zero."""
    if not explanation.standard_errors[row].any():
        return ""
    return (
        f"Intervals ({percent}, each by itself) are the error of sampling masks for this song, not of the model or over "
        f"other songs; the list allows for the number of components tested (false discovery rate "
        f"{100 * explanation.risk:.2g}%)."
    )


def _name_exactness(explanation: Explanation, row: int) -> str:
    """A note where this class has rounding errors only, as with all masks, or with a fold-over on a second-order model."""
    if explanation.unseen and len(explanation.unseen) == len(explanation.components):
        return ""
    # Only masks that separate all terms of this class have no sampling error: all masks do, and a fold-over does for models
    # of second order. What is left then is the rounding of float32 outputs.
    largest = float(explanation.attributions[row].abs().max())
    if float(explanation.half_width[row].max()) > ROUNDING * largest:
        return ""
    return "For this class the only error is rounding. "


def _name_remainder(explanation: Explanation, row: int) -> str:
    """The sum of the attributions, and the remainder: only Shapley values add up to song − empty song."""
    moved = float(explanation.output_song[row] - explanation.output_empty[row])
    if explanation.value == SUMMING:
        return f"Shapley values add up to {moved:+.3g}, the song less the empty song. "
    left = float(explanation.remainder[row])
    return f"{explanation.value}s add up to {moved - left:+.3g} of {moved:+.3g}; {left:+.3g} remain for interactions. "


def _describe_interactions(explanation: Explanation, interactions: Interactions, row: int, percent: str) -> str:
    """The largest pairs on the default scale, and the shares of sound, words and both."""
    left_out = explanation.find_left_out(row)
    if left_out is not None:
        return f"{left_out[:1].upper()}{left_out[1:]}."
    space = interactions.default_space
    number, place = interactions.find_space(space), interactions.find_row(row)
    n_significant = int(interactions.significant[number, place].sum())
    lines = [
        f"Interactions ({space}): {n_significant} of {len(interactions.columns)} pairs are significant; all explain "
        f"{100 * max(float(interactions.explained[number, place]), 0):.1f}% of the variance."
    ]
    largest = explanation.top_pairs(PAIRS, row, space)
    decimals = max(3 - math.floor(math.log10(abs(largest[0][2]))), 0) if largest else 0
    lines += [
        f"  {first.name} × {second.name}: {value:+.{decimals}f} ± {half:.{decimals}f}"
        for first, second, value, half in largest
    ]
    parts = interactions.shares(row, space)
    if parts:
        shares = ", ".join(
            f"{part} {100 * min(max(share, 0), 1):.0f} ± {say_half_width(half)}%" for part, share, half in parts
        )
        lines.append(f"Share of the decision ({percent}): {shares}.")
    return "\n".join(lines)


def _describe_evidence(explanation: Explanation, evidence: Evidence) -> str:
    """The two sets by name, each with the model's output on it, or that none was found."""
    names = [component.name for component in explanation.components.items]

    def say(output: float, chance: float | None) -> str:
        beside = "" if chance is None or explanation.space == "probability" else f", {say_percent(chance)}"
        return f"({explanation.space} {output:.3g}{beside})"

    def show(columns: tuple[int, ...] | None, output: float | None, chance: float | None, verb: str) -> str:
        if columns is None or output is None:
            return f"{verb}: none found"
        listed = ", ".join(names[column] for column in columns) if columns else "nothing at all"
        return f"{verb}: {listed} {say(output, chance)}"

    if not evidence.variants:
        # Nothing was searched for: there is nothing that the decision needs.
        kept_at = evidence.output_keeping
        output = "" if kept_at is None else f" {say(kept_at, evidence.chance_keeping)}"
        end = say_end(explanation)
        return f"Decision: {evidence.decision}, {end} too{output}: no part of the song is its evidence."
    # What is edited isn't gone: it is said what it became.
    edited = say_end(explanation) != REMOVED
    alone, changing = ("alone, all else changed", "changing") if edited else ("alone", "removing")
    kept = show(evidence.keeping, evidence.output_keeping, evidence.chance_keeping, f"Kept by {alone}")
    flipped = show(evidence.flipping, evidence.output_flipping, evidence.chance_flipping, f"Flipped by {changing}")
    lines = [f"Decision: {evidence.decision}.", kept, flipped]
    if evidence.edit is not None:
        tried = f"{evidence.edit.variants:,} variants tried"
        given = evidence.edit.output
        best = "none found" if given is None else f"{say_edit(explanation)} {say(given, evidence.edit.chance)}"
        lines.append(f"Smallest edit that flips it: {best}; {tried}")
    return "\n  ".join(lines)
