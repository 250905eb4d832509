"""Exports by name, as the command line asks for them: each a file or more in one folder; and a class as a record of JSON.

A record has one class, its components largest first. Tables have every component of every class as a row, with the
columns of a catalogue's `attributions`, and more. The sounds are the song, its evidence alone, the song without it, and
the song with the smallest edit that flips the decision, matched in loudness.
"""

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from io import StringIO
from pathlib import Path
from typing import Any

import soundfile

from musiclime_torch.basics.errors import InputError, needing
from musiclime_torch.basics.files import write_atomically, writing_atomically
from musiclime_torch.explanation.evidence import Evidence
from musiclime_torch.explanation.explanation import Explanation
from musiclime_torch.explanation.interactions import Interactions
from musiclime_torch.explanation.sentences import find_instead, say_edit, say_end
from musiclime_torch.song.track import Track
from musiclime_torch.variants.sound import AudioBaseline
from musiclime_torch.views.exports.annotations import to_audacity, to_jams, to_sonic_visualiser
from musiclime_torch.views.page.mixes import make_versions
from musiclime_torch.views.page.sound import match_loudness

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
        "empty": say_end(explanation),
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
        **_list_kinds(explanation, row),
        "interactions": None
        if explanation.interactions is None
        else _list_interactions(explanation, explanation.interactions, row),
        "evidence": None if explanation.evidence is None else _name_evidence(explanation, explanation.evidence),
        "warnings": list(explanation.warnings),
        "provenance": explanation.provenance,
    }


def _list_kinds(explanation: Explanation, row: int) -> dict[str, Any]:
    """Shares of what is heard, read and asked, for a model that was asked a question."""
    if "asked" not in explanation.provenance:
        return {}
    shares = explanation.kind_shares(row)
    return {"kinds": [{"kind": name, "share": share, "half_width": half} for name, share, half in shares]}


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
        "instead": find_instead(explanation, column) or None,
        "attribution": value,
        "standard_error": float(explanation.standard_errors[row, column]),
        "degrees_of_freedom": min(float(explanation.degrees_of_freedom[row, column]), 1e9),
        "interval": [value - half, value + half],
        "significant": bool(explanation.significant[row, column]),
        "unseen": explanation.unseen.get(column),
    }


def _list_interactions(explanation: Explanation, interactions: Interactions, row: int) -> dict[str, Any]:
    """By scale: what pairs explain, the share of each modality, and the significant pairs; or that they were left out."""
    left_out = explanation.find_left_out(row)
    if left_out is not None:
        return {"left_out": left_out}
    by_space: dict[str, Any] = {}
    place = interactions.find_row(row)
    for number, space in enumerate(interactions.spaces):
        pairs = explanation.top_pairs(MOST_PAIRS, row, space)
        by_space[space] = {
            "explained": float(interactions.explained[number, place]),
            "parts": [
                {"part": part, "share": share, "interval": [max(share - half, 0.0), min(share + half, 1.0)]}
                for part, share, half in interactions.shares(row, space)
            ],
            "pairs_looked_at": len(interactions.columns),
            "significant_pairs": int(interactions.significant[number, place].sum()),
            "pairs": [
                {"components": [first.name, second.name], "interaction": value, "interval": [value - half, value + half]}
                for first, second, value, half in pairs
            ],
        }
    return by_space


def _name_evidence(explanation: Explanation, evidence: Evidence) -> dict[str, Any]:
    """The two sets by name, None where none was found, and the smallest edit in words."""
    items = explanation.components.items
    sets = {
        name: None if columns is None else [items[column].name for column in columns]
        for name, columns in (("keeping", evidence.keeping), ("flipping", evidence.flipping))
    }
    edit = None
    if evidence.edit is not None:
        columns = evidence.edit.columns
        edit = asdict(evidence.edit) | {
            "columns": None if columns is None else [items[column].name for column in columns],
            "said": None if columns is None else say_edit(explanation),
        }
    return asdict(evidence) | sets | {"edit": edit}


def list_rows(explanation: Explanation) -> list[dict[str, Any]]:
    """Rows by class, then by column; `low` to `high` is the interval. Values that don't apply are None."""
    return explanation.to_rows()


def to_csv(explanation: Explanation) -> str:
    """All rows as CSV with a header."""
    rows, buffer = list_rows(explanation), StringIO()
    writer = csv.DictWriter(buffer, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def write_parquet(explanation: Explanation, path: str | Path) -> None:
    """All rows as Parquet. InputError where pyarrow isn't installed."""
    with needing("musiclime_torch[corpus]"):
        import pyarrow
        from pyarrow import parquet
    kinds = {"line": pyarrow.int32(), "significant": pyarrow.bool_()}
    numbers = ("start", "end", "attribution", "standard_error", "low", "high")
    names = ("class", "component", "kind", "stem", "start", "end", "word", "line", *numbers[2:], "significant", "unseen")
    kinds |= dict.fromkeys(numbers, pyarrow.float64())
    schema = pyarrow.schema([(name, kinds.get(name, pyarrow.string())) for name in names])
    with writing_atomically(Path(path)) as partial:
        parquet.write_table(pyarrow.Table.from_pylist(list_rows(explanation), schema), partial, compression="zstd")


#: 24 bits: both formats have them, and no mix needs more.
SUBTYPE = "PCM_24"

_TEXTS: dict[str, tuple[str, Callable[[Explanation], str]]] = {
    "audacity": ("labels.txt", to_audacity),
    "sonic-visualiser": ("regions.csv", to_sonic_visualiser),
    "csv": ("attributions.csv", to_csv),
}


def write_mixes(
    explanation: Explanation, track: Track, out: str | Path, form: str = "wav", baseline: AudioBaseline | None = None
) -> list[Path]:
    """Write `song`, and `keeping`, `flipping` and `edited` where they were found, at the song's rate; `form` is "wav" or
    "flac".

    All get the same loudness (BS.1770) by gain alone, so that none clips. `baseline` is needed where it was another song.

    Raises:
        InputError: another format, another track, or a folder that can't be written to.
    """
    if form not in ("wav", "flac"):
        raise InputError(f"form must be wav or flac, got {form!r}.", argument="form")
    versions = [version for version in make_versions(explanation, track, baseline) if version.sound is not None]
    gains = match_loudness([version.sound for version in versions if version.sound is not None], track.sample_rate)
    paths = []
    try:
        Path(out).mkdir(parents=True, exist_ok=True)
        for version, gain in zip(versions, gains, strict=True):
            assert version.sound is not None, "silent versions were left out"
            path = Path(out) / f"{version.name}.{form}"
            samples = (version.sound * 10 ** (gain / 20)).T.contiguous().numpy()
            with writing_atomically(path) as partial:
                soundfile.write(partial, samples, track.sample_rate, SUBTYPE, format=form.upper())
            paths.append(path)
    except (OSError, soundfile.LibsndfileError) as error:
        raise InputError(f"{str(out)!r} can't be written to ({error}): give another out folder.", argument="out") from error
    return paths


def write_exports(
    explanation: Explanation, track: Track, names: Sequence[str], out: Path, baseline: AudioBaseline | None
) -> None:
    """Write each of `names`, which the command line lists. InputError where an extra is missing or the disk is full."""
    for name in names:
        if name in _TEXTS:
            file, make = _TEXTS[name]
            write_atomically(make(explanation).encode(), out / file, "out")
        elif name == "jams":
            record = to_jams(explanation, track.seconds, offset=track.offset)
            write_atomically(record.dumps(indent=1).encode(), out / "explanation.jams", "out")
        elif name == "parquet":
            write_parquet(explanation, out / "attributions.parquet")
        else:
            write_mixes(explanation, track, out / "mixes", name, baseline)
