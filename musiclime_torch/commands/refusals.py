"""What is wrong with a call, as far as that shows before anything heavy is imported: a slip is answered at once.

Everything here is checked again where it is used; the library doesn't depend on these checks.
"""

import math
import os
import re
from collections.abc import Mapping, Sequence
from os.path import isdir, isfile
from pathlib import Path
from typing import Any

from musiclime_torch.basics.arguments import read_separator, split_units, suggest
from musiclime_torch.basics.choices import NEURAL
from musiclime_torch.basics.errors import InputError
from musiclime_torch.commands.baselines import split_baseline
from musiclime_torch.commands.models import check_name
from musiclime_torch.commands.options import gather
from musiclime_torch.explanation.settings import SETTINGS, Settings, read_settings

#: Options with another name than their argument.
_OTHERWISE = {"max_seconds": "--max-duration", "path": "--out"}


def name_flag(argument: str) -> str:
    """The option for an argument.

    >>> name_flag("n_samples"), name_flag("max_seconds")
    ('--n-samples', '--max-duration')
    """
    return _OTHERWISE.get(argument, "--" + argument.replace("_", "-"))


def say_error(error: InputError) -> str:
    """What went wrong, with the option's name where the library's sentence has the argument's.

    >>> say_error(InputError("n_samples must be at least 1, got 0.", argument="n_samples"))
    '--n-samples must be at least 1, got 0.'
    >>> say_error(InputError("'/tmp/out' can't be written to: give another out folder.", argument="out"))
    "'/tmp/out' can't be written to: give another --out folder."
    """
    if error.argument is None:
        return str(error)
    # What is quoted stays as it is: a path or a name may hold the argument's word. An apostrophe within a word quotes
    # nothing.
    quoted = r"(?<!\w)'[^']*'(?!\w)|(?<!\w)\"[^\"]*\"(?!\w)"
    argument = rf"\b{re.escape(error.argument)}\b(?!\()"
    return re.sub(f"{quoted}|{argument}", lambda match: _name(match[0], error.argument or ""), str(error))


def _name(text: str, argument: str) -> str:
    return name_flag(argument) if text == argument else text


def refuse_early(options: Mapping[str, Any], loading: Mapping[str, Any], *files: Path) -> None:
    """InputError for settings, models, files and numbers that can't be right; `files` are the songs."""
    refuse_settings(options)
    for name in ("model", "audio_model", "text_model"):
        if options.get(name):
            check_name(options[name])
    for path in options.get("like") or ():
        refuse_missing(Path(path), "the song to compare with, ")
    given = [loading[name] for name in ("stems", "lyrics") if name in loading]
    if given:
        # All that reads lyrics takes a third of the time that the command line needs to start.
        from musiclime_torch.song.lyrics.files import asks_to_transcribe

        given = [path for path in given if not asks_to_transcribe(path)]
    for path in (*files, *given, *list_takes(options)):
        refuse_missing(path, "the lyrics " if path == loading.get("lyrics") else "")
    segments = split_units(options.get("segments") or "")[1]
    if segments and segments != NEURAL:
        refuse_missing(Path(segments), "the labels ")
    _refuse_loading(loading)


def refuse_for_model(model: Any, options: Mapping[str, Any]) -> None:
    """InputError for settings that this model can't meet, before a song is read and its stems are separated."""
    from musiclime_torch.explanation.planning import describe_asked, plan_sampling

    # Separating stems takes minutes, and a slip in a class's name would be told only after it.
    settings = refuse_settings(options)
    subject, _ = describe_asked(model, settings)
    # A song has components on as many sides as the model takes, or on fewer, which are refused no more than these.
    plan_sampling(subject, (int("audio" in subject.modalities), int("lyrics" in subject.modalities)), settings)


def refuse_segments(song: Path, options: Mapping[str, Any], loading: Mapping[str, Any]) -> None:
    """InputError for segments that this song can't be cut into, before a model is loaded and its stems are separated."""
    # Beats are found in the sound, and fit it; a song of stems isn't separated. What is left is told by the song's length
    # and lyrics.
    segments = options.get("segments")
    if segments is None or split_units(segments)[0] not in ("", "lyrics") or isdir(song):
        return
    from musiclime_torch.song.track import load_track
    from musiclime_torch.variants.components import list_components

    given = {name: value for name, value in loading.items() if name not in ("stems", "align_stems", "separator")}
    track = load_track(song, separator="none", **given)
    list_components(track, segments, options.get("units") or Settings.units, ("audio",))


def list_takes(options: Mapping[str, Any]) -> list[Path]:
    """Files of songs and takes in --baseline; InputError for what is neither such a file nor an edit."""
    return [part for part in split_baseline(options.get("baseline")).values() if isinstance(part, Path)]


def refuse_stand_ins(model: Any, song: Path, options: Mapping[str, Any], loading: Mapping[str, Any]) -> None:
    """InputError for words that aren't in the song's lyrics, and stems that it won't have, before these are separated."""
    modalities = refuse_settings(options).modalities or getattr(model, "modalities", None) or ("audio", "lyrics")
    words = options.get("lyrics_baseline")
    if words is not None and "=" in words and "lyrics" in modalities:
        from musiclime_torch.song.lyrics.files import embedded_lyrics, read_lyrics
        from musiclime_torch.variants.swaps import refuse_missing_words

        file, encoding = loading.get("lyrics"), loading.get("lyrics_encoding")
        lyrics = read_lyrics(file, lyrics_encoding=encoding) if file else embedded_lyrics(song) if isfile(song) else None
        refuse_missing_words(lyrics, words)
    named = [stem for stem in split_baseline(options.get("baseline")) if stem]
    stems = _foresee_stems(song, loading) if named and "audio" in modalities else []
    unknown = next((stem for stem in named if stem not in (*stems, "residual")), None)
    if stems and unknown is not None:
        raise InputError(
            f"--baseline names the stem {unknown!r}{suggest(unknown, stems)}, and the song's are {', '.join(stems)}: name "
            "these."
        )


def _foresee_stems(song: Path, loading: Mapping[str, Any]) -> list[str]:
    """The stems that the song will have, as far as that is known without its sound; [] where it isn't."""
    from musiclime_torch.song.stems.bands import name_bands
    from musiclime_torch.song.stems.files import list_stems

    base, edges = read_separator(loading["separator"]) if "separator" in loading else ("", ())
    folder = loading.get("stems") or (song if isdir(song) else None)
    if folder is not None:
        stems = list_stems(Path(folder))
    else:
        stems = list(SEPARATED.get(base.partition(":")[0] or ("none" if edges else ""), ()))
    bands = name_bands(edges) if edges else ()
    return [band if stem == "mix" else f"{stem} {band}" for stem in stems for band in bands] or stems


#: Stems by separator.
SEPARATED = {
    "demucs": ("drums", "bass", "other", "vocals"),
    "hpss": ("harmonic", "percussive"),
    "midside": ("mid", "side"),
    "none": ("mix",),
}


def refuse_settings(options: Mapping[str, Any]) -> Settings:
    """Settings from the options; InputError for one that no model and no song could be explained with."""
    given = gather(dict(options))
    # Files of songs aren't loaded yet.
    edits = {stem: edit for stem, edit in split_baseline(given.pop("baseline", None)).items() if isinstance(edit, str)}
    if edits:
        given["baseline"] = edits.get("", edits)
    return read_settings({name: value for name, value in given.items() if name in SETTINGS})


def refuse_missing(path: Path, what: str = "") -> None:
    """InputError for a path where nothing is, or where nobody may look."""
    # Not `exists`, which says no to a folder that may not be looked into, and nothing of why.
    try:
        os.stat(path)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise InputError(f"{what}{str(path)!r} can't be read: {reason}.") from error


def refuse_other_folders(folders: Sequence[Path]) -> None:
    """InputError for a folder that `musiclime corpus` didn't write."""
    for folder in folders:
        if not isfile(folder / "run.json"):
            why = "it has no run.json" if isdir(folder) else "there is no such folder"
            raise InputError(f"{str(folder)!r} holds no run of musiclime corpus ({why}): give the --out folder of one.")


def _refuse_loading(loading: Mapping[str, Any]) -> None:
    start, end, longest = (loading.get(name) for name in ("start", "end", "max_seconds"))
    for name, value in (("start", start), ("end", end)):
        if value is not None and not (math.isfinite(value) and value >= 0):
            raise InputError(f"--{name} is {value:g} s: give seconds from the start of the song, 0 or more.")
    if start is not None and end is not None and start >= end:
        raise InputError(f"--start ({start:g} s) must be before --end ({end:g} s).")
    if longest is not None and not longest > 0:
        raise InputError(f"--max-duration must be above 0, got {longest:g}.")
    separator = loading.get("separator")
    if separator is not None:
        folder = read_separator(separator)[0].partition(":")[2]
        if folder and not isdir(Path(folder).expanduser()):
            raise InputError(f"--separator {separator!r} names no folder: give one with demucs' weights.")
