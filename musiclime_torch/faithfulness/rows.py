"""A check as rows, one a measure: what tables, records and means over songs are made of."""

from collections.abc import Iterator
from dataclasses import dataclass

from musiclime_torch.faithfulness.chance import Figure
from musiclime_torch.faithfulness.checking import Check
from musiclime_torch.faithfulness.erasure import SHARES


@dataclass(frozen=True)
class Row:
    """One measure by a short `key` and a name for people; `better` is "higher" or "lower", `share` marks yes or no."""

    key: str
    name: str
    figure: Figure
    better: str
    meaning: str
    share: bool = False


def list_rows(check: Check) -> list[Row]:
    """All measures that were taken."""
    return [*_list_removals(check), *_list_fits(check), *_list_repeats(check)]


def _list_removals(check: Check) -> Iterator[Row]:
    space, shares = check.space, ", ".join(f"{100 * share:g}" for share in SHARES)
    curves, erasure = check.curves, check.erasure
    yield Row("deletion", "deletion area", curves.deletion_area, "lower", f"{space} as the largest go first")
    yield Row("insertion", "insertion area", curves.insertion_area, "higher", f"{space} as the largest come first")
    meaning = f"{space} lost without the top {shares}%"
    yield Row("comprehensiveness", "comprehensiveness", erasure.comprehensiveness, "higher", meaning)
    yield Row("sufficiency", "sufficiency", erasure.sufficiency, "lower", f"{space} missing with them alone")
    if check.flips is not None:
        for count, figure in zip(check.flips.counts, check.flips.figures, strict=True):
            yield Row(f"flip_{count}", f"flips without top {count}", figure, "higher", "the decision is another", share=True)


def _list_fits(check: Check) -> Iterator[Row]:
    yield Row("fidelity", "fidelity, new masks", check.fidelity, "higher", "R² of the attributions added up")
    meaning = f"squared error of {check.fitted_space} drops"
    yield Row("infidelity", "infidelity, new masks", check.infidelity, "lower", meaning)


def _list_repeats(check: Check) -> Iterator[Row]:
    found = check.stability
    if found is not None:
        yield Row("overlap", f"same top {found.top}", found.overlap, "higher", f"shared by any two of {found.seeds} seeds")
        yield Row("correlation", "same order", found.correlation, "higher", "rank correlation of any two seeds")
        yield Row("sensitivity", "largest change", found.sensitivity, "lower", "between seeds, in lengths of their own")
    if check.randomisation is not None:
        meaning = "rank correlation once weights are shuffled"
        yield Row("randomisation", "untrained model", check.randomisation.correlation, "lower", meaning)
