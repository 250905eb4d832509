"""How far an explanation can be trusted, and how to reproduce it: rows of (name, value)."""

from musiclime_torch.explanation.explanation import Explanation

#: Names of unseen components listed for each reason.
MOST_NAMES = 24


def list_checks(explanation: Explanation) -> list[tuple[str, str]]:
    """How the explanation was sampled."""
    passes = [
        f"{number:,} of the {side}"
        for number, side in ((explanation.audio_passes, "sound"), (explanation.lyrics_passes, "lyrics"))
        if number
    ]
    stopped = explanation.stopped
    rows = [
        ("variants run", f"{explanation.n_variants:,}"),
        ("encoder passes", ", ".join(passes) or "none"),
        ("design of the masks", explanation.design),
        ("ended because", stopped or "the budget was spent"),
        ("intervals", f"{100 * explanation.confidence:g}%, each by itself"),
        ("false discovery rate", f"{100 * explanation.risk:.2g}%"),
    ]
    if explanation.evidence is not None:
        rows.append(("more variants, to find the evidence", f"{explanation.evidence.variants:,}"))
    return rows


def list_origins(explanation: Explanation) -> list[tuple[str, str]]:
    """Where the explanation comes from: model, inputs, versions."""
    known = explanation.provenance
    rows = [
        ("model", known.get("model", "")),
        ("asked", known.get("asked", "")),
        ("answers, as their tokens", known.get("answers", "")),
        ("order of the prompt", known.get("order", "")),
        ("model's weights", known.get("model_hash", "") or "unknown: a plain function"),
        ("sound", known.get("audio_hash", "")),
        ("lyrics", known.get("lyrics_hash", "")),
        ("stems", known.get("stems", "")),
        ("device", known.get("device", "")),
        *((name, str(number)) for name, number in known.get("versions", {}).items()),
    ]
    return [(name, value) for name, value in rows if value]


def list_settings(explanation: Explanation) -> list[tuple[str, str]]:
    """The settings of `explain`."""
    return [(name.replace("_", " "), _say(value)) for name, value in explanation.provenance.get("settings", {}).items()]


def list_unseen(explanation: Explanation) -> list[tuple[str, int, list[str]]]:
    """(reason, how many components, the first of their names)."""
    reasons: dict[str, list[str]] = {}
    for column, reason in sorted(explanation.unseen.items()):
        reasons.setdefault(reason, []).append(explanation.components.items[column].name)
    return [(reason, len(names), names[:MOST_NAMES]) for reason, names in reasons.items()]


def _say(value: object) -> str:
    if value is None:
        return "none"
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
