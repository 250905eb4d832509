"""The result: what each component did to each class, how sure that is, and where it came from. Saved without pickle."""

import json
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from musiclime_torch.components import Component, Components
from musiclime_torch.failures import InputError

#: Raised whenever a reader of the old files would misread the new ones.
FORMAT_VERSION = 1

_TENSORS = ("attributions", "standard_errors", "intercept", "fidelity", "output_song", "output_empty")


@dataclass(frozen=True, eq=False)
class Explanation:
    """One song and one model, all classes.

    `attributions` are slopes of the surrogate in `space`: what a component adds on average while the others are on or
    off at random (`value` names them). `standard_errors` are the error of sampling masks for this song: not of the model,
    and not over other songs. `target` is the class asked for, else the predicted one. `unseen` names columns the model
    can't notice, whose attribution is exactly 0, with the reason.
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
    n_samples: int
    degrees_of_freedom: int
    confidence: float
    unseen: dict[int, str]
    warnings: tuple[str, ...]
    provenance: dict[str, Any]

    def __repr__(self) -> str:
        title, target = self.provenance.get("title", ""), self.classes[self.target]
        return f"<Explanation of {target!r} for {title!r}: {len(self.components)} components, {len(self.classes)} classes>"

    @cached_property
    def half_width(self) -> Float[Tensor, "class component"]:
        """Half the confidence interval: Student's quantile × standard error; infinite without degrees of freedom."""
        if self.degrees_of_freedom < 1:
            return torch.full_like(self.standard_errors, float("inf"))
        from scipy.special import stdtrit

        return self.standard_errors * float(stdtrit(self.degrees_of_freedom, 0.5 + self.confidence / 2))

    @property
    def distinguishable(self) -> Bool[Tensor, "class component"]:
        """Whether the interval leaves zero out. Of 140 components that do nothing, about 7 will at 95%.

        Nothing below the rounding of float32 outputs counts: on additive models that is all the error there is.
        """
        outputs = torch.stack([self.output_song, self.output_empty]).abs().amax(0)
        rounding = torch.finfo(torch.float32).eps * torch.maximum(outputs, self.attributions.abs().sum(1))
        return self.attributions.abs() > self.half_width + rounding[:, None]

    def class_index(self, target: int | str | None) -> int:
        """Column of a class by name or number, the explanation's own target for None; InputError lists the classes."""
        return self.target if target is None else find_class(target, self.classes)

    def order(self, target: int | str | None = None) -> list[int]:
        """All components' columns, largest attribution first, whatever its sign; ties stay in column order."""
        sizes = self.attributions[self.class_index(target)].abs()
        return [int(column) for column in sizes.argsort(descending=True, stable=True)]

    def top(self, k: int, target: int | str | None = None) -> list[tuple[Component, float, float]]:
        """The k largest components that can be told from zero: (component, attribution, half width of its interval)."""
        row = self.class_index(target)
        shown = [column for column in self.order(row) if self.distinguishable[row, column]]
        return [
            (self.components.items[column], float(self.attributions[row, column]), float(self.half_width[row, column]))
            for column in shown[:k]
        ]

    def save(self, path: str | Path) -> None:
        """Write one safetensors file with its metadata as JSON; the file appears whole or not at all."""
        from safetensors.torch import save

        fields = {name: value for name, value in self.__dict__.items() if name in self.__dataclass_fields__}
        tensors = {name: fields.pop(name).contiguous().cpu() for name in _TENSORS}
        fields |= {"components": asdict(self.components), "format_version": FORMAT_VERSION}
        metadata = {"musiclime_torch": json.dumps(fields, ensure_ascii=False, allow_nan=False)}
        path = Path(path)
        partial = path.with_name(f".{path.name}.partial")
        try:
            partial.write_bytes(save(tensors, metadata))
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: str | Path) -> "Explanation":
        """Read what `save` wrote; InputError for other files and for formats newer than this version reads."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, "pt") as file:
                fields = json.loads((file.metadata() or {})["musiclime_torch"])
                version = fields.pop("format_version")
                if version != FORMAT_VERSION:
                    raise InputError(
                        f"{path} has format {version}; this version reads format {FORMAT_VERSION}: update musiclime_torch."
                    )
                tensors = {name: file.get_tensor(name) for name in _TENSORS}
        except InputError:
            raise
        except (OSError, SafetensorError, KeyError, ValueError, TypeError, AttributeError) as error:
            raise InputError(f"{path} is not a saved explanation ({error}).") from error
        return cls(
            **tensors
            | fields
            | {
                "components": _read_components(fields["components"]),
                "classes": tuple(fields["classes"]),
                "unseen": {int(column): reason for column, reason in fields["unseen"].items()},
                "warnings": tuple(fields["warnings"]),
            }
        )


def find_class(target: int | str, classes: tuple[str, ...]) -> int:
    """Column of a class by name (case aside) or number; InputError lists the classes."""
    if isinstance(target, str):
        names = [name.casefold() for name in classes]
        if target.casefold() in names:
            return names.index(target.casefold())
        if not target.isdecimal():
            raise InputError(f"the model has no class {target!r}: choose one of {', '.join(classes)}.")
        target = int(target)
    if not 0 <= target < len(classes):
        raise InputError(f"the model has no class {target}: choose one of {', '.join(classes)}, or 0 to {len(classes) - 1}.")
    return target


def _read_components(fields: dict[str, Any]) -> Components:
    items = [item | {"spans": tuple(tuple(span) for span in item["spans"])} for item in fields["items"]]
    return Components(tuple(Component(**item) for item in items), fields["n_stems"], tuple(fields["edges"]))
