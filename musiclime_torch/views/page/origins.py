"""How an explanation was made, in lists that a page folds away: sampling, origins, settings, what wasn't noticed."""

from typing import Any

from musiclime_torch.explanation.explanation import Explanation
from musiclime_torch.explanation.settings import Settings

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
        if explanation.evidence.edit is not None:
            rows.append(("more variants, to find the smallest edit", f"{explanation.evidence.edit.variants:,}"))
    return rows


def list_origins(explanation: Explanation) -> dict[str, list[tuple[str, str]]]:
    """Where the explanation comes from: what people ask for is "shown"; hashes and versions, for comparisons, "folded"."""
    known = explanation.provenance
    shown = [
        ("model", known.get("model", "")),
        ("asked", known.get("asked", "")),
        ("answers, as their tokens", known.get("answers", "")),
        ("order of the prompt", known.get("order", "")),
        ("file", known.get("file", "")),
        ("lyrics from", known.get("lyrics_file", "")),
        ("part of the recording", _say_part(known)),
        ("command", known.get("command", "")),
        ("stems", known.get("stems", "")),
        ("device", known.get("device", "")),
    ]
    folded = [
        ("model's weights", known.get("model_hash", "") or "unknown: a plain function"),
        ("sound", known.get("audio_hash", "")),
        ("lyrics", known.get("lyrics_hash", "")),
        *((name, str(number)) for name, number in known.get("versions", {}).items()),
    ]
    sides = {"shown": shown, "folded": folded}
    return {side: [(name, value) for name, value in rows if value] for side, rows in sides.items()}


def _say_part(provenance: dict[str, Any]) -> str:
    """Start and end in minutes and seconds; "" for an explanation of an older version."""
    if "end" not in provenance:
        return ""
    minutes = (divmod(round(provenance[name], 1), 60) for name in ("start", "end"))
    return " to ".join(f"{int(whole)}:{rest:04.1f}" for whole, rest in minutes)


def list_settings(explanation: Explanation) -> dict[str, list[tuple[str, str]]]:
    """The settings of `explain`: those that differ from the defaults as "given", all others as "defaults", with what they
    were resolved to for the model and the song.
    """
    defaults, named = Settings().to_record(), explanation.provenance.get("given")
    sides: dict[str, list[tuple[str, str]]] = {"given": [], "defaults": []}
    for name, value in explanation.provenance.get("settings", {}).items():
        # Older explanations don't say what was given. Their settings went through JSON, which has lists in place of tuples.
        given = _say(value) != _say(defaults.get(name)) if named is None else name in named
        sides["given" if given else "defaults"].append((name.replace("_", " "), _say(value)))
    return sides


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
