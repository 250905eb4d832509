"""--baseline: edits by their names, songs and takes by their files. Nothing heavy is imported before a song is loaded."""

import os
from os.path import exists, isdir
from pathlib import Path
from typing import Any

from musiclime_torch.basics.edits import find_edit, read_edit, split_stems


def split_baseline(text: Any) -> dict[str, str | Path]:
    """What --baseline names, by stem, or under "" for all of them: edits in their one form, and files.

    InputError for what is neither an edit nor looks like a file.

    >>> split_baseline("lowpass 1 kHz"), split_baseline("vocals=-12dB,drums=noise")
    ({'': 'low-pass 1000 Hz'}, {'vocals': '-12 dB', 'drums': 'noise'})
    """
    if not isinstance(text, str):
        return {}
    parts = split_stems(text) if "=" in text and not exists(text) else {"": text}
    return {stem: _read_stand_in(part) for stem, part in parts.items()}


def _read_stand_in(text: str) -> str | Path:
    named = exists(text) or os.sep in text or bool(Path(text).suffix)
    return Path(text) if named and find_edit(text) is None else str(read_edit(text))


def load_baseline(options: dict[str, Any], device: str, loading: dict[str, Any]) -> None:
    """Where the baseline is a song, replace its path by the loaded track; a take of a single stem isn't taken apart."""
    from musiclime_torch.song.track import load_track

    parts = split_baseline(options["baseline"])
    if list(parts) == [""]:
        song = parts[""]
        options["baseline"] = load_track(song, device=device, **loading) if isinstance(song, Path) else song
    elif parts:
        length = {name: value for name, value in loading.items() if name == "max_seconds"}
        options["baseline"] = {
            stem: load_track(part, separator=None if isdir(part) else "none", device=device, **length)
            if isinstance(part, Path)
            else part
            for stem, part in parts.items()
        }
