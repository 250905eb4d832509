"""The result: the attribution of each component to each class, its uncertainty, and its origin. Saved without pickle."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from musiclime_torch.basics.arguments import find_class
from musiclime_torch.basics.errors import InputError, needing
from musiclime_torch.basics.files import writing_atomically
from musiclime_torch.explanation.evidence import Evidence, read_evidence
from musiclime_torch.explanation.fragment import Ranking, draw_fragment
from musiclime_torch.explanation.interactions import Interactions, read_interactions, say_left_out
from musiclime_torch.explanation.sentences import REMOVED, say_end, to_sentences
from musiclime_torch.surrogate.intervals import discover, quantile, share_risk
from musiclime_torch.variants.components import Component, Components, read_components

#: Increased whenever older code would misread newer files.
FORMAT_VERSION = 4

#: Formats that are read: in format 3 interactions are those of all classes.
READ_VERSIONS = (3, FORMAT_VERSION)

#: The estimand whose attributions sum to song − empty song.
SUMMING = "Shapley value"

#: Libraries of data frames, the first that is installed by default.
_FRAMES = ("pandas", "polars")

#: The most rows that a notebook shows.
ROWS = 12

_TENSORS = (
    "attributions",
    "standard_errors",
    "degrees_of_freedom",
    "intercept",
    "fidelity",
    "output_song",
    "output_empty",
)


#: What a kind of component is to a model that is asked a question.
KINDS = {"audio": "heard", "lyrics": "read", "question": "asked"}


@dataclass(frozen=True, eq=False)
class Explanation:
    """One song and one model, all classes.

    `attributions` are slopes of the surrogate in `space`: what a component adds on average while the others are switched
    on and off at random (`value` names the estimand). `standard_errors` are errors of sampling masks for this song, neither
    of the model nor over other songs; `degrees_of_freedom` are theirs, infinite where there is no error. `target` is the
    requested class, else the predicted one; with a foil it is the last row, "target rather than foil". `intercept` is the
    surrogate's output with everything off (for Shapley values the model's own), `fidelity` its R², weighted as its fit was.
    `output_song` and `output_empty` are the model's own outputs, in `space` too. `interactions` are None where the design
    can't estimate them, `evidence` where it wasn't asked for. `unseen` maps columns that the model can't notice, whose
    attribution is exactly 0, to the reason. `n_variants` were rendered or combined from `audio_passes` and `lyrics_passes`.
    Sampling could have stopped at any of `looks` times, which widens the intervals; `stopped` says why it did.
    """

    components: Components
    classes: tuple[str, ...]
    target: int
    value: str
    space: str
    attributions: Float[Tensor, "class component"]
    standard_errors: Float[Tensor, "class component"]
    intercept: Float[Tensor, " class"]
    fidelity: Float[Tensor, " class"]
    output_song: Float[Tensor, " class"]
    output_empty: Float[Tensor, " class"]
    degrees_of_freedom: Float[Tensor, "class component"]
    interactions: Interactions | None
    evidence: Evidence | None
    design: str
    n_variants: int
    audio_passes: int
    lyrics_passes: int
    looks: int
    stopped: str
    confidence: float
    unseen: dict[int, str]
    warnings: tuple[str, ...]
    provenance: dict[str, Any]

    def __repr__(self) -> str:
        title, target = self.provenance.get("title", ""), self.classes[self.target]
        return f"<Explanation of {target!r} for {title!r}: {len(self.components)} components, {len(self.classes)} classes>"

    def _repr_html_(self) -> str:
        """What a notebook shows: the largest components with their intervals; no script, nothing loaded."""
        row, shown = self.target, self.top(ROWS)
        significant, unseen = int(self.significant[row].sum()), len(self.unseen)
        counts = [f"{significant} of {len(self.components)} components are significant"]
        counts += [f"the {len(shown)} largest are listed"] if significant > len(shown) else []
        counts += [f"{unseen} the model can't notice"] if unseen else []
        fidelity = f"{100 * float(self.fidelity[row]):.0f}% of the variance of {self.n_variants:,} variants"
        end = say_end(self).replace(REMOVED, "with nothing of it")
        outputs = f"{float(self.output_song[row]):.3g} on the song, {float(self.output_empty[row]):.3g} {end}"
        return draw_fragment(
            Ranking(
                title=f"{self.classes[row]}: {self.space} {outputs} ({self.provenance.get('title') or 'untitled song'})",
                heading=f"{self.value} ({self.space})",
                rows=[(component.name, value, half) for component, value, half in shown],
                notes=[
                    " ".join(to_sentences(self)),
                    f"{'; '.join(counts)}. Single components explain {fidelity}. ± is {100 * self.confidence:g}%.",
                    *self.warnings,
                ],
            )
        )

    @property
    def risk(self) -> float:
        """Error rate of each interval and each ranking: 1 − confidence, divided among the looks (Bonferroni)."""
        return share_risk(self.confidence, self.looks)

    @cached_property
    def half_width(self) -> Float[Tensor, "class component"]:
        """Half the width of each single confidence interval: Student's t quantile × standard error."""
        half = self.standard_errors * quantile(self.degrees_of_freedom, 1 - self.risk)
        return torch.where(self.standard_errors == 0, 0.0, half)

    @cached_property
    def significant(self) -> Bool[Tensor, "class component"]:
        """Which attributions are significant, with at most `risk` false ones among those of a class.

        Of 140 components without any effect, 7 have a 95% interval that excludes zero, so a ranking must allow for the
        number of components tested (Benjamini & Hochberg 1995). Nothing below the rounding of float32 outputs counts: on
        additive models rounding is the only error.
        """
        seen = list(self.components.seen(self.unseen))
        values, errors, freedom = self.attributions[:, seen], self.standard_errors[:, seen], self.degrees_of_freedom[:, seen]
        discovered = torch.zeros_like(self.attributions, dtype=torch.bool)
        discovered[:, seen] = discover(values, errors, freedom, self.risk)
        # Relative to the outputs, float32 has an error of ε; a slope is a mean of differences of outputs, and its rounding
        # is at most of that size. The sum of attributions bounds outputs between the two ends.
        outputs = torch.stack([self.output_song, self.output_empty]).abs().amax(0)
        rounding = torch.finfo(torch.float32).eps * torch.maximum(outputs, self.attributions.abs().sum(1))
        return discovered & (self.attributions.abs() > rounding[:, None])

    def sum_over(self, columns: Sequence[int], target: int | str | None = None) -> tuple[float, float]:
        """Several components' attributions together: (sum, half width of its interval).

        Errors of single components are taken as independent, which orthogonal masks nearly make them (measured by
        `benchmarks/accuracy/interval_coverage.py`). Those of Shapley values sum to zero, so that a group's error equals
        that of all others; the smaller estimate of the two is taken.
        """
        row = self.class_index(target)
        inside = torch.zeros(len(self.components), dtype=torch.bool)
        inside[list(columns)] = True
        # Half widths are multiples of standard errors, so their squares add up like variances. For Shapley values the
        # total is known exactly, song − empty song: an error in a group is the negative of that in all others.
        squares = self.half_width[row].square()
        square = squares[inside].sum()
        if self.value == SUMMING:
            square = torch.minimum(square, squares[~inside].sum())
        return float(self.attributions[row, inside].sum()), float(square.sqrt())

    @property
    def remainder(self) -> Float[Tensor, " class"]:
        """What the attributions leave of song − empty song: zero for Shapley values, interactions for others."""
        return self.output_song - self.output_empty - self.attributions.sum(1)

    def class_index(self, target: int | str | None) -> int:
        """Column of a class by name or number, the explanation's own target for None; InputError lists the classes."""
        return self.target if target is None else find_class(target, self.classes)

    def order(self, target: int | str | None = None) -> list[int]:
        """All components' columns, largest absolute attribution first; ties stay in column order."""
        sizes = self.attributions[self.class_index(target)].abs()
        return sizes.argsort(descending=True, stable=True).tolist()

    def top(self, k: int, target: int | str | None = None) -> list[tuple[Component, float, float]]:
        """The k largest components that are significant: (component, attribution, half width of its interval)."""
        row = self.class_index(target)
        significant = self.significant[row].tolist()
        shown = [column for column in self.order(row) if significant[column]]
        return [
            (self.components.items[column], float(self.attributions[row, column]), float(self.half_width[row, column]))
            for column in shown[:k]
        ]

    def top_pairs(
        self, k: int, target: int | str | None = None, space: str | None = None
    ) -> list[tuple[Component, Component, float, float]]:
        """The k largest significant pairs: (component, component, interaction, half width); on the scale of probabilities
        where there is one. Empty where the design can't estimate them; InputError for a scale that wasn't solved, or a class
        whose interactions were left out.
        """
        row, items = self.class_index(target), self.components.items
        pairs = self._find_pairs(row)
        if pairs is None:
            return []
        scale, place = pairs.find_space(space), pairs.find_row(row)
        return [
            (
                items[int(pairs.columns[pair, 0])],
                items[int(pairs.columns[pair, 1])],
                float(pairs.values[scale, place, pair]),
                float(pairs.half_width[scale, place, pair]),
            )
            for pair in pairs.rank(row, space)[:k]
        ]

    def shares(self, target: int | str | None = None, space: str | None = None) -> list[tuple[str, float, float]]:
        """Shares of the output's variance: (sound alone, words alone or both together; share; half width of its interval).

        Empty where masks weren't crossed, so that the shares can't be separated; InputError for a class whose interactions
        were left out.
        """
        row = self.class_index(target)
        pairs = self._find_pairs(row)
        return [] if pairs is None else pairs.shares(row, space)

    def find_left_out(self, target: int | str | None = None) -> str | None:
        """A sentence that a class's interactions weren't solved and how to get them; None where they were, or can't be."""
        row, pairs = self.class_index(target), self.interactions
        return None if pairs is None or pairs.covers(row) else say_left_out(self.classes[row])

    def _find_pairs(self, row: int) -> Interactions | None:
        left_out = self.find_left_out(row)
        if left_out is not None:
            raise InputError(f"{left_out}.", argument="interactions")
        return self.interactions

    def kind_shares(self, target: int | str | None = None) -> list[tuple[str, float, float]]:
        """Of what single components do, the shares of what is heard, read and asked: (kind, share, half width).

        A kind's part is the sum of its squared Banzhaf values, less that of their squared standard errors: sampling noise
        would count the kind with more components for more. Kinds without a component are left out; none for other values.
        """
        row, shares = self.class_index(target), []
        if not self.value.startswith("Banzhaf"):
            return []
        squares = self.attributions[row].square() - self.standard_errors[row].square()
        total = float(squares.sum())
        # To first order the error of Σ β² is 2 β times that of each β.
        errors = 2 * self.attributions[row] * self.half_width[row]
        for kind, name in KINDS.items():
            inside = torch.tensor([item.kind == kind for item in self.components])
            if inside.any() and total > 0:
                share = float(squares[inside].sum()) / total
                pushes = torch.where(inside, 1 - share, -share) * errors
                shares.append((name, min(max(share, 0.0), 1.0), float(pushes.square().sum().sqrt()) / total))
        return shares

    def to_rows(self, target: int | str | None = None) -> list[dict[str, Any]]:
        """A row for each component of each class, or of `target` alone; `low` to `high` is the interval. None where a value
        doesn't apply.
        """
        rows = range(len(self.classes)) if target is None else (self.class_index(target),)
        values, halves, errors = self.attributions.tolist(), self.half_width.tolist(), self.standard_errors.tolist()
        significant = self.significant.tolist()
        return [
            {
                "class": self.classes[row],
                "component": item.name,
                **{name: getattr(item, name) for name in ("kind", "stem", "start", "end", "word", "line")},
                "attribution": values[row][column],
                "standard_error": errors[row][column],
                "low": values[row][column] - halves[row][column],
                "high": values[row][column] + halves[row][column],
                "significant": significant[row][column],
                "unseen": self.unseen.get(column),
            }
            for row in rows
            for column, item in enumerate(self.components)
        ]

    def to_frame(self, target: int | str | None = None, library: str | None = None) -> Any:
        """`to_rows` as a data frame of pandas, or of polars where that is asked for or alone installed.

        InputError where neither is installed, or not the one asked for.
        """
        if library not in (None, *_FRAMES):
            raise InputError(f"library must be pandas or polars, got {library!r}.", argument="library")
        name = library or next((name for name in _FRAMES if find_spec(name)), _FRAMES[0])
        with needing(name):
            frames = import_module(name)
        rows = self.to_rows(target)
        # Over all rows: polars guesses a column's type from the first hundred, which may all be sound.
        return frames.DataFrame(rows, infer_schema_length=None) if name == "polars" else frames.DataFrame(rows)

    def save(self, path: str | Path) -> None:
        """Write one safetensors file with its metadata as JSON; the file is written atomically."""
        from safetensors.torch import save

        values = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        # Copies: for Shapley values the intercept is the empty song's output, and safetensors refuses shared tensors.
        tensors = {name: values.pop(name).cpu().clone().contiguous() for name in _TENSORS}
        interactions, evidence = values.pop("interactions"), values.pop("evidence")
        values |= {"components": asdict(self.components), "format_version": FORMAT_VERSION}
        values["evidence"] = None if evidence is None else asdict(evidence)
        values["interactions"] = None if interactions is None else interactions.fields()
        tensors |= {} if interactions is None else interactions.tensors()
        metadata = {"musiclime_torch": json.dumps(values, ensure_ascii=False, allow_nan=False)}
        with writing_atomically(Path(path)) as partial:
            partial.write_bytes(save(tensors, metadata))

    @classmethod
    def load(cls, path: str | Path) -> "Explanation":
        """Read what `save` wrote; InputError for other files and for formats other than this version's."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, "pt") as file:
                saved = json.loads((file.metadata() or {})["musiclime_torch"])
                version = saved.pop("format_version")
                if version not in READ_VERSIONS:
                    raise InputError(
                        f"{path} has format {version}; this version reads format {FORMAT_VERSION}: use the musiclime_torch "
                        f"that wrote it, or explain the song again."
                    )
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
            return cls(**_read_fields(saved, tensors))
        except InputError:
            raise
        except (OSError, SafetensorError, LookupError, ValueError, TypeError, AttributeError) as error:
            raise InputError(f"{path} is not a saved explanation ({error}).") from error


def _read_fields(saved: dict[str, Any], tensors: dict[str, Tensor]) -> dict[str, Any]:
    """Arguments of `Explanation` from JSON and tensors."""
    components, classes = read_components(saved["components"]), tuple(saved["classes"])
    pairs, evidence = saved["interactions"], saved["evidence"]
    read = {
        "components": components,
        "classes": classes,
        "interactions": pairs and read_interactions(pairs, tensors),
        "evidence": evidence and read_evidence(evidence),
        "unseen": {int(column): reason for column, reason in saved["unseen"].items()},
        "warnings": tuple(saved["warnings"]),
    }
    return {name: tensors[name] for name in _TENSORS} | saved | read
