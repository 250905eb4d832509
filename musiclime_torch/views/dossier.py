"""A dossier for a label, a court or a reviewer: one page in plain words, its sounds and numbers, and an archive of all.

It says what was asked of which model and when, what the model decided, what keeps and what flips the decision, how certain
the numbers are, and how to repeat them. Every sentence is made from the explanation's own numbers. Nothing is said about
the music itself.
"""

import hashlib
import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from musiclime_torch.basics.errors import InputError
from musiclime_torch.basics.files import write_atomically
from musiclime_torch.explanation.answers import find_baseline_song
from musiclime_torch.explanation.explanation import Explanation
from musiclime_torch.explanation.sentences import (
    REMOVED,
    find_probabilities,
    say_changed,
    say_edit,
    say_end,
    say_percent,
    to_sentences,
)
from musiclime_torch.song.track import Track
from musiclime_torch.variants.sound import AudioBaseline
from musiclime_torch.views.exports.files import to_csv, to_json, write_mixes
from musiclime_torch.views.page.document import render
from musiclime_torch.views.page.origins import list_checks, list_origins, list_settings
from musiclime_torch.views.terminal import ROUNDING

#: Components and classes that the page lists at most; attributions.csv has all of them.
MOST_ROWS = 20

#: The sums of all other files, in the form that `sha256sum --check` reads.
SUMS = "SHA256SUMS"


@dataclass(frozen=True)
class Exhibit:
    """A set of components that the model was run on: what was done with them, and what it said then."""

    heading: str
    text: str
    names: tuple[str, ...]
    sound: str


def write_dossier(
    explanation: Explanation,
    track: Track,
    folder: str | Path,
    *,
    baseline: AudioBaseline | None = None,
    when: datetime | None = None,
) -> Path:
    """Write the page, its sounds, the numbers, how to repeat them, and `dossier.zip` with all of these; the archive's path.

    Args:
        explanation: made with ``evidence=True``, if the dossier is to say what keeps and what flips the decision.
        track: the track that was explained.
        folder: where the files go.
        baseline: the track whose stems replaced removed ones, if one was used.
        when: when the model was asked, None for now.

    Raises:
        InputError: another track, a missing baseline, or a folder that can't be written to.
    """
    out, moment = Path(folder), (when or datetime.now(UTC)).astimezone(UTC)
    sounds = [f"sounds/{path.name}" for path in write_mixes(explanation, track, out / "sounds", "flac", baseline)]
    page = _compose(explanation, sounds, moment)
    texts = {
        "dossier.html": page,
        "explanation.json": to_json(explanation) + "\n",
        "attributions.csv": to_csv(explanation),
        "HOW-TO-REPEAT.txt": "\n".join(tell_repetition(explanation)) + "\n",
    }
    for name, text in texts.items():
        write_atomically(text.encode(), out / name, "dossier")
    try:
        explanation.save(out / "explanation.safetensors")
    except OSError as error:
        message = f"{out} can't be written to ({error.strerror}): give another dossier folder."
        raise InputError(message, argument="dossier") from error
    files = sorted([*texts, *sounds, "explanation.safetensors"])
    # The archive can't hold its own sum: that one is printed, and kept elsewhere.
    sums = "".join(f"{hashlib.sha256((out / name).read_bytes()).hexdigest()}  {name}\n" for name in files)
    write_atomically(sums.encode(), out / SUMS, "dossier")
    write_atomically(_pack(out, [*files, SUMS], moment), out / "dossier.zip", "dossier")
    return out / "dossier.zip"


def _pack(folder: Path, names: Sequence[str], moment: datetime) -> bytes:
    """An archive of files, all dated when the model was asked."""
    # A zip file's dates begin in 1980 and have no time zone: these are UTC.
    date = max(moment, datetime(1980, 1, 1, tzinfo=UTC)).timetuple()[:6]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            entry = zipfile.ZipInfo(f"dossier/{name}", date_time=date)
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            archive.writestr(entry, (folder / name).read_bytes())
    return buffer.getvalue()


def _compose(explanation: Explanation, sounds: Sequence[str], moment: datetime) -> str:
    origins, settings = list_origins(explanation), list_settings(explanation)
    values: dict[str, Any] = {
        "title": explanation.provenance.get("title") or "untitled song",
        "model": explanation.provenance.get("model", ""),
        "target": explanation.classes[explanation.target],
        "moment": f"{moment:%d %B %Y, %H:%M} UTC".lstrip("0"),
        "asked": tell_question(explanation),
        "sentences": to_sentences(explanation),
        "outputs": list_outputs(explanation),
        "space": explanation.space,
        "end": say_end(explanation),
        "exhibits": list_exhibits(explanation, sounds),
        "original": next((path for path in sounds if Path(path).stem == "song"), ""),
        "no_evidence": _tell_missing(explanation),
        "rows": list_effects(explanation),
        "value": explanation.value,
        "certainty": tell_certainty(explanation),
        "limits": tell_limits(explanation),
        "origins": [*origins["shown"], *origins["folded"]],
        "settings": [*settings["given"], *settings["defaults"]],
        "checks": list_checks(explanation),
        "repetition": tell_repetition(explanation),
    }
    # Sounds lie beside the page, and a page opened as a file has no origin.
    return render("dossier.html.j2", (), "'self' file:", values)


def tell_question(explanation: Explanation) -> str:
    """What was asked, as a question."""
    known = explanation.provenance
    title, name = known.get("title") or "this recording", explanation.classes[explanation.target]
    if known.get("asked"):
        return f"The model was asked “{known['asked']}” about {title}. Why does it answer as it does?"
    if known.get("output_kind") == "similarity":
        return f"Why does the model place {title} where it does beside {name}?"
    if known.get("output_kind") in ("regression", "embedding"):
        return f"Why is the model’s output “{name}” what it is for {title}?"
    return f"Why does the model decide as it does about “{name}” for {title}?"


def list_outputs(explanation: Explanation) -> list[tuple[str, str, str, str]]:
    """(class, output on the song, output with everything removed, probability or ""), largest first."""
    chances = find_probabilities(explanation)
    order = explanation.output_song.argsort(descending=True, stable=True).tolist()
    # The explained class first, whatever its output: it is what the dossier is about.
    first = [explanation.target, *(row for row in order if row != explanation.target)][:MOST_ROWS]
    return [
        (
            explanation.classes[row],
            f"{float(explanation.output_song[row]):.3g}",
            f"{float(explanation.output_empty[row]):.3g}",
            say_percent(chances[row]) if chances is not None and row < len(chances) else "",
        )
        for row in first
    ]


def list_exhibits(explanation: Explanation, sounds: Sequence[str]) -> list[Exhibit]:
    """What keeps the decision alone, and what flips it by its absence, each as the model was run on it."""
    evidence = explanation.evidence
    if evidence is None or not evidence.variants:
        return []
    name, known = explanation.classes[explanation.target], {Path(path).stem: path for path in sounds}
    told = (
        ("keeping", evidence.keeping, evidence.output_keeping, evidence.chance_keeping),
        ("flipping", evidence.flipping, evidence.output_flipping, evidence.chance_flipping),
    )
    exhibits = []
    for kind, columns, output, chance in told:
        if columns is None or output is None:
            continue
        said = f"{explanation.space} {output:.3g}" + ("" if chance is None else f" ({say_percent(chance)})")
        keeps, edited = kind == "keeping", say_end(explanation) != REMOVED
        heading = "What keeps the decision" if keeps else "What flips the decision"
        did = "With everything else removed" if keeps else "With these removed and all else kept"
        if edited:
            changed = say_end(explanation, "else") if keeps else f"{say_changed(explanation, columns)} and all else as it is"
            did = f"{changed[:1].upper()}{changed[1:]}"
        if not columns:
            end = say_end(explanation)
            did = f"{end[:1].upper()}{end[1:]}" if keeps else "With nothing removed"
        outcome = "the decision is the same" if keeps else "the decision is another"
        text = f"{did}, the model gives “{name}” {said}: {outcome}."
        names = tuple(explanation.components.items[column].name for column in columns)
        exhibits.append(Exhibit(heading, text, names, known.get(kind, "")))
    return [*exhibits, *_show_edit(explanation, known)]


def _show_edit(explanation: Explanation, sounds: Mapping[str, str]) -> list[Exhibit]:
    """The smallest edit that flips the decision, where it was searched for and found."""
    edit = None if explanation.evidence is None else explanation.evidence.edit
    if edit is None or edit.columns is None or edit.output is None:
        return []
    said = f"{explanation.space} {edit.output:.3g}" + ("" if edit.chance is None else f" ({say_percent(edit.chance)})")
    changed, name = say_edit(explanation), explanation.classes[explanation.target]
    text = f"It is {changed}. The model then gives “{name}” {said}: the decision is another."
    names = tuple(explanation.components.items[column].name for column in edit.columns)
    return [Exhibit("The smallest edit that was found to flip it", text, names, sounds.get("edited", ""))]


def _tell_missing(explanation: Explanation) -> list[str]:
    """What of the evidence isn't there, and why."""
    evidence = explanation.evidence
    if evidence is None:
        return ["No evidence was looked for, or these outputs decide nothing that could be kept or flipped."]
    if not evidence.variants:
        end = say_end(explanation)
        return [f"The decision ({evidence.decision}) stays {end}: nothing of the song is its evidence."]
    said = []
    if evidence.keeping is None:
        said.append("No set of parts was found that keeps the decision alone. Not every set was tried.")
    if evidence.flipping is None:
        said.append("No set of parts was found whose removal flips the decision. Not every set was tried.")
    return said


def list_effects(explanation: Explanation) -> list[tuple[str, str, str, str]]:
    """(component, attribution, low, high) of the largest that are significant."""
    return [
        (component.name, f"{value:+.3g}", f"{value - half:+.3g}", f"{value + half:+.3g}")
        for component, value, half in explanation.top(MOST_ROWS)
    ]


def tell_certainty(explanation: Explanation) -> list[str]:
    """How certain the numbers are, sentence by sentence."""
    row, total = explanation.target, len(explanation.components)
    significant, fidelity = int(explanation.significant[row].sum()), float(explanation.fidelity[row])
    largest = float(explanation.attributions[row].abs().max()) if total else 0.0
    said = [f"The model was run on {explanation.n_variants:,} variants of the song ({explanation.design})."]
    if explanation.stopped:
        said.append(f"{explanation.stopped[:1].upper()}{explanation.stopped[1:]}.")
    if not total or float(explanation.half_width[row].max()) <= ROUNDING * largest:
        said.append("Sampling left no error in the numbers of this class beyond rounding.")
    else:
        said.append(
            f"Other variants would have given slightly other numbers. The intervals allow for that: at least "
            f"{100 * explanation.confidence:g}% of such intervals contain the number that running all variants would give."
        )
    counted = f"{significant} of {total} parts are distinguishable from zero"
    said.append(f"{counted}; at most {100 * explanation.risk:.2g}% of such findings are expected to be false.")
    if explanation.unseen:
        said.append(f"{len(explanation.unseen)} parts can’t be noticed by the model, and count as exactly zero.")
    if fidelity > 0:
        said.append(
            f"Adding up single parts explains {100 * fidelity:.0f}% of how the output varies. The rest is what parts do "
            "together."
        )
    else:
        said.append("Adding up single parts doesn’t describe how the output varies: parts act together here.")
    if explanation.evidence is not None and explanation.evidence.variants:
        said.append(
            "What keeps and what flips the decision was not estimated: the model was run on each of these versions. No "
            "single part of such a set can be left out. Quite different sets may do the same."
        )
    return said


def tell_limits(explanation: Explanation) -> list[str]:
    """What the dossier doesn't say, and what its reader has to take into account; the explanation's own warnings last."""
    known, song, end = explanation.provenance, find_baseline_song(explanation.provenance), say_end(explanation)
    removed = f"the stems of {song['title']!r}" if song else str(known["settings"]["baseline"])
    became = f"A removed stem became: {removed}" if end == REMOVED else f"Parts were not removed but compared {end}"
    said = [
        "It is about one model and one recording. It says nothing about other songs or other models.",
        "It says what the model depends on. It doesn’t say whether the model is right, nor what the music is.",
    ]
    if explanation.components.n_audio:
        said += [
            f"Stems: {known.get('stems') or 'as given'}. What is wrong with the stems is wrong here too.",
            f"{became}. Something else in its place asks another question.",
        ]
    return [*said, *(f"{warning[:1].upper()}{warning[1:].rstrip('.')}." for warning in explanation.warnings)]


def tell_repetition(explanation: Explanation) -> list[str]:
    """How to check the files, and how to get the same numbers again."""
    known = explanation.provenance
    versions = " ".join(f"{name.replace('_', '-')}=={number}" for name, number in known.get("versions", {}).items())
    # In the order of the work: are these the files, is it the same software, and then the same question about the same song.
    said = [f"1. Check that no file was changed: sha256sum --check {SUMS}", f"2. Install the same versions: {versions}"]
    if known.get("command"):
        said.append(f"3. Run the same command on the same files: {known['command']}")
    else:
        given = ", ".join(f"{name}={known['settings'][name]!r}" for name in known.get("given", []))
        said.append(f"3. Call in Python with the same model and track: explain(model, track{', ' + given if given else ''})")
    sound = known.get("audio_hash") or "unknown, for the track was made by hand"
    said.append(f"4. The sound is the same if its samples have this SHA-256 (track.audio_hash): {sound}")
    weights = known.get("model_hash") or "unknown, for the model is a plain function"
    said.append(f"5. The model is the same if its weights have this SHA-256: {weights}")
    said.append("6. Compare explanation.json. On another kind of machine the last digits may differ.")
    return said
