"""An explanation of one class as plain JSON values: all components, largest first."""

import json
from dataclasses import asdict
from typing import Any

from musiclime_torch.explanation.evidence import Evidence
from musiclime_torch.explanation.explanation import Explanation
from musiclime_torch.explanation.interactions import Interactions

#: The most pairs listed per scale; the saved explanation has all of them.
MOST_PAIRS = 50


def to_record(explanation: Explanation, target: int | str | None = None) -> dict[str, Any]:
    """The record of a class, by default the explanation's target. Keys that don't apply to a component are None."""
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
        "design": explanation.design,
        "n_variants": explanation.n_variants,
        "encoder_passes": {"audio": explanation.audio_passes, "lyrics": explanation.lyrics_passes},
        "looks": explanation.looks,
        "stopped": explanation.stopped,
        "classes": dict(zip(explanation.classes, explanation.output_song.tolist(), strict=True)),
        "components": [_describe(explanation, row, column) for column in explanation.order(row)],
        "remainder": float(explanation.remainder[row]),
        "interactions": None
        if explanation.interactions is None
        else _list_interactions(explanation, explanation.interactions, row),
        "evidence": None if explanation.evidence is None else _name_evidence(explanation, explanation.evidence),
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
        "degrees_of_freedom": min(float(explanation.degrees_of_freedom[row, column]), 1e9),
        "interval": [value - half, value + half],
        "significant": bool(explanation.significant[row, column]),
        "unseen": explanation.unseen.get(column),
    }


def _list_interactions(explanation: Explanation, interactions: Interactions, row: int) -> dict[str, Any]:
    """By scale: what pairs explain, the share of each modality, and the significant pairs."""
    by_space: dict[str, Any] = {}
    for number, space in enumerate(interactions.spaces):
        pairs = explanation.top_pairs(MOST_PAIRS, row, space)
        by_space[space] = {
            "explained": float(interactions.explained[number, row]),
            "parts": [
                {"part": part, "share": share, "interval": [max(share - half, 0.0), min(share + half, 1.0)]}
                for part, share, half in interactions.shares(row, space)
            ],
            "pairs_looked_at": len(interactions.columns),
            "significant_pairs": int(interactions.significant[number, row].sum()),
            "pairs": [
                {"components": [first.name, second.name], "interaction": value, "interval": [value - half, value + half]}
                for first, second, value, half in pairs
            ],
        }
    return by_space


def _name_evidence(explanation: Explanation, evidence: Evidence) -> dict[str, Any]:
    """The two sets by name; None where none was found."""
    items = explanation.components.items
    sets = {
        name: None if columns is None else [items[column].name for column in columns]
        for name, columns in (("keeping", evidence.keeping), ("flipping", evidence.flipping))
    }
    return asdict(evidence) | sets
