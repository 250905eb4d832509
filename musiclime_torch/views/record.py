"""An explanation of one class as plain JSON values: every component present, largest first."""

import json
from typing import Any

from musiclime_torch.explanation import Explanation


def to_record(explanation: Explanation, target: int | str | None = None) -> dict[str, Any]:
    """The asked class, else the explanation's own target. Keys that don't apply to a component are None."""
    row = explanation.class_index(target)
    return {
        "target": explanation.classes[row],
        "value": explanation.value,
        "space": explanation.space,
        "confidence": explanation.confidence,
        "output_song": float(explanation.output_song[row]),
        "output_empty": float(explanation.output_empty[row]),
        "intercept": float(explanation.intercept[row]),
        "fidelity": float(explanation.fidelity[row]),
        "n_samples": explanation.n_samples,
        "degrees_of_freedom": explanation.degrees_of_freedom,
        "classes": dict(zip(explanation.classes, explanation.output_song.tolist(), strict=True)),
        "components": [_describe(explanation, row, column) for column in explanation.order(row)],
        "warnings": list(explanation.warnings),
        "provenance": explanation.provenance,
    }


def to_json(explanation: Explanation, target: int | str | None = None) -> str:
    """The record as strict JSON text (no NaN), lyrics in their own script."""
    return json.dumps(to_record(explanation, target), ensure_ascii=False, indent=2, allow_nan=False)


def _describe(explanation: Explanation, row: int, column: int) -> dict[str, Any]:
    component = explanation.components.items[column]
    value, half = float(explanation.attributions[row, column]), float(explanation.half_width[row, column])
    return {
        "name": component.name,
        "kind": component.kind,
        "stem": component.stem,
        "start": component.start,
        "end": component.end,
        "word": component.word,
        "line": component.line,
        "attribution": value,
        "standard_error": float(explanation.standard_errors[row, column]),
        "interval": [value - half, value + half],
        "distinguishable": bool(explanation.distinguishable[row, column]),
        "unseen": explanation.unseen.get(column),
    }
