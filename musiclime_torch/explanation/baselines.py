"""What becomes of removed stems, as `explain` takes it: read into one form, listed, and named."""

from collections.abc import Mapping
from typing import Any

from musiclime_torch.basics.edits import KNOWN, Edit, read_edit, split_stems
from musiclime_torch.basics.errors import InputError


def read_baseline(baseline: Any) -> Any:
    """What becomes of removed stems, in one form: an edit or several by stem as text, a track, or a mapping with tracks.

    >>> read_baseline("lowpass 1 kHz"), read_baseline({"vocals": "-12dB", "drums": "noise"})
    ('low-pass 1000 Hz', 'vocals=-12 dB, drums=noise')
    """
    if isinstance(baseline, str):
        return read_baseline(split_stems(baseline)) if "=" in baseline else str(read_edit(baseline))
    from musiclime_torch.song.track import Track  # imports torch, which the command line's help must not

    if isinstance(baseline, Track):
        return baseline
    if not isinstance(baseline, Mapping) or not baseline:
        raise InputError(
            f"baseline {baseline!r} is not known: use {KNOWN}, another song's track, or a mapping of stems to these.",
            argument="baseline",
        )
    stems = {str(name): other if isinstance(other, Track) else _read_stem(other) for name, other in baseline.items()}
    if any(isinstance(other, Track) for other in stems.values()) or any({",", "="} & set(name) for name in stems):
        return stems
    return ", ".join(f"{name}={other}" for name, other in stems.items())


def _read_stem(edit: Any) -> str:
    if not isinstance(edit, str):
        raise InputError(
            f"baseline {edit!r} for a stem is not known: use {KNOWN}, or a track from load_track.", argument="baseline"
        )
    return str(read_edit(edit))


def list_edits(baseline: Any) -> list[Edit]:
    """The edits in a baseline, songs left out."""
    if isinstance(baseline, str):
        return [read_edit(edit) for edit in (split_stems(baseline).values() if "=" in baseline else [baseline])]
    return [read_edit(edit) for edit in baseline.values() if isinstance(edit, str)] if isinstance(baseline, Mapping) else []


def name_baseline(baseline: Any) -> str:
    """The baseline in words, songs by their titles: "silence", "-12 dB", "vocals=-12 dB, drums=Another Song".

    >>> name_baseline({"vocals": "-12 dB"})
    'vocals=-12 dB'
    """
    if isinstance(baseline, str):
        return baseline
    if isinstance(baseline, Mapping):
        return ", ".join(f"{name}={name_baseline(other)}" for name, other in baseline.items())
    return str(baseline.title)
