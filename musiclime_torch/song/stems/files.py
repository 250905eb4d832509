"""Stems that come with a song: a folder of audio files, or the streams of a ``.stem.mp4``.

In a folder each audio file is a stem by its file name, but for one called mix, mixture, song or master, which is the
song. In a stem file the first stream is the song and the others are stems, named by the ``stem`` atom of its header
(Native Instruments' format), else by the streams' own titles, else drums, bass, other and vocals where there are four.
Stems at another sample rate than the song's, or than the highest of theirs, are resampled, with a warning. All must share
one channel layout; lengths may differ by 50 ms, made up with silence. Stems that lie earlier or later than their song by an
encoder's delay are found by correlation and moved back.
"""

import json
import struct
from dataclasses import dataclass, replace
from os.path import isdir, isfile  # pathlib's raise for folders without permission
from pathlib import Path
from typing import Any, BinaryIO

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from musiclime_torch.basics.errors import InputError
from musiclime_torch.song.audio.decoding import check_file, open_audio, open_container
from musiclime_torch.song.audio.recording import Recording, read_audio, resample
from musiclime_torch.song.manifest import FOUR_STEMS, SOUND_FILES

_MIX = ("mix", "mixture", "song", "master")
#: Seconds by which lengths may differ: encoders pad.
_SLACK = 0.05
#: Seconds by which the lengths of songs differ, and those of one song's stems don't.
_OTHER_SONG = 1.0
#: Bytes; the atom is a few lines of JSON.
_MOST_ATOM = 1 << 20


@dataclass(frozen=True)
class StemSet:
    """Stems of one length, and the song where it comes with them, of that length too."""

    stems: tuple[Recording, ...]
    names: tuple[str, ...]
    mix: Recording | None
    warnings: tuple[str, ...] = ()


def read_stems(
    path: str | Path,
    *,
    max_seconds: float,
    start: float | None = None,
    end: float | None = None,
    song: Recording | None = None,
    leave_out: Path | None = None,
    align: bool = False,
) -> StemSet:
    """Read a folder of stems or a stem file, or the part of it between ``start`` and ``end``.

    ``song`` is the mix where the caller has read it already; it takes the place of the one that comes with the stems,
    and ``leave_out``, the file it came from, isn't a stem even if it is among them. Stems that are late by an encoder's
    delay are moved back with ``align``, and told without.

    Raises:
        InputError: no stems, two of one name, channels or lengths that don't fit, or what `read_audio` refuses.
    """
    path = Path(path)
    named = _list_folder(path) if isdir(path) else _list_streams(path)
    if song is None and isdir(path):
        _refuse_songs(path, [file for _, file, _ in named])
    part: dict[str, Any] = {"max_seconds": max_seconds, "start": start, "end": end}
    # The song first: stems are compared with it.
    named.sort(key=lambda entry: entry[0] is not None)
    if song is not None:
        # Streams of the song's own file are its stems; the file itself isn't one.
        named = [entry for entry in named if entry[0] and not (leave_out and not entry[2] and entry[1].samefile(leave_out))]
    read = [(name, read_audio(file, stream=stream, **part)) for name, file, stream in named]
    mix = song or next((recording for name, recording in read if name is None), None)
    names = [name for name, _ in read if name is not None]
    stems = [recording for name, recording in read if name is not None]
    if not stems:
        raise InputError(
            f"there are no stems in {str(path)!r}: it needs a sound file for each (drums.wav, vocals.wav, ...)."
        )
    told = [warning for _, recording in read for warning in recording.warnings]
    rate = mix.sample_rate if mix else max(stem.sample_rate for stem in stems)
    told += [_tell_of_rate(name, stem, rate) for name, stem in zip(names, stems, strict=True) if stem.sample_rate != rate]
    stems = [_resample(stem, rate) for stem in stems]
    stems, notes = _place(stems, mix, path, align) if mix is not None else (stems, [])
    try:
        fitted, warnings = _fit([*([mix] if mix else []), *stems], ["song", *names] if mix else names, path)
    except InputError as error:
        # An encoder's delay and padding may be longer than what is made up with silence.
        raise InputError(notes[0], argument="align_stems") if notes and not align else error from None
    told += notes
    return StemSet(tuple(fitted[len(fitted) - len(stems) :]), tuple(names), fitted[0] if mix else None, (*told, *warnings))


def _resample(stem: Recording, rate: int) -> Recording:
    # The hash stays that of the file's own samples.
    return replace(stem, samples=resample(stem.samples, stem.sample_rate, rate), sample_rate=rate)


def _tell_of_rate(name: str, stem: Recording, rate: int) -> str:
    return f"{name} was resampled from {stem.sample_rate} Hz to {rate} Hz, the rate of the others."


def _refuse_songs(folder: Path, files: list[Path]) -> None:
    """InputError for a folder of songs, by the lengths in the headers of its files: stems have one."""
    lengths = []
    for file in files:
        with open_audio(file) as opened:
            lengths += [] if opened.frames is None else [(opened.frames / opened.sample_rate, file.name)]
    if lengths and max(lengths)[0] - min(lengths)[0] > _OTHER_SONG:
        (short, first), (long, last) = min(lengths), max(lengths)
        raise InputError(
            f"{str(folder)!r} is a folder of {len(files)} sound files of different lengths ({first!r} {short:.1f} s, "
            f"{last!r} {long:.1f} s), not of one song's stems: give one of the files, or a folder of stems of one length."
        )


def _place(stems: list[Recording], mix: Recording, path: Path, align: bool) -> tuple[list[Recording], list[str]]:
    """The stems where the song has them, if asked to align them, and what is said about it."""
    delay = find_delay(stems, mix)
    if not delay:
        return stems, []
    where = f"the stems in {path.name!r} are {describe_delay(delay, mix.sample_rate)}"
    if not align:
        return stems, [f"{where}; set align_stems to move them."]
    return [move(stem, delay, mix.samples.shape[-1]) for stem in stems], [f"{where}, and were moved."]


def is_stem_file(path: str | Path) -> bool:
    """Whether a file is one of several streams: by its name (``.stem.mp4``, ``.stem.m4a``) or its ``stem`` atom."""
    path = Path(path)
    if not isfile(path):
        return False
    return [suffix.lower() for suffix in path.suffixes[-2:-1]] == [".stem"] or _read_atom(path) is not None


def list_stems(path: Path) -> list[str]:
    """Names of the stems in a folder or a stem file; nothing is decoded."""
    entries = _list_streams(path) if isfile(path) else _list_folder(path)
    return [name for name, *_ in entries if name is not None]


def _list_folder(folder: Path) -> list[tuple[str | None, Path, int | None]]:
    """Name (None for the song), file and stream of each sound file, by name."""
    files = sorted(
        (file for file in folder.iterdir() if file.suffix.lower() in SOUND_FILES and not file.name.startswith(".")),
        key=lambda file: file.name.lower(),
    )
    entries: dict[str | None, Path] = {}
    for file in files:
        key = None if file.stem.lower() in _MIX else file.stem.lower()
        if key in entries:
            raise InputError(f"{entries[key].name!r} and {file.name!r} in {str(folder)!r} have the same name: remove one.")
        entries[key] = file
    return [(key and file.stem, file, None) for key, file in entries.items()]


def _list_streams(path: Path) -> list[tuple[str | None, Path, int | None]]:
    check_file(path)
    with open_container(path) as container:
        titles = [_read_title(stream) for stream in container.streams.audio]
    if len(titles) < 2:
        raise InputError(f"{str(path)!r} has {len(titles)} audio streams, so no stems: give it as a song, without stems.")
    count = len(titles) - 1
    names = _read_atom(path) or []
    if len(names) != count or not all(names):
        names = titles[1:]
        # "SoundHandler" five times over names nothing.
        if not all(names) or len(set(titles)) < len(titles):
            names = list(FOUR_STEMS) if count == 4 else [f"stem {number}" for number in range(1, count + 1)]
    entries: list[tuple[str | None, Path, int | None]] = [(None, path, 0)]
    entries += [(name, path, index) for index, name in enumerate(_tell_apart(names), start=1)]
    return entries


def _read_title(stream: Any) -> str:
    return str(stream.metadata.get("title") or stream.metadata.get("handler_name") or "").strip()


def _tell_apart(names: list[str]) -> list[str]:
    """The names, with a number after those that occurred before.

    >>> _tell_apart(["Synth", "Kick", "Synth"])
    ['Synth', 'Kick', 'Synth 2']
    """
    told: list[str] = []
    for name in names:
        number, own = 1, name
        while own in told:
            number += 1
            own = f"{name} {number}"
        told.append(own)
    return told


def _read_atom(path: Path) -> list[str] | None:
    """Names in the JSON of moov/udta/stem, in the order of the streams; None without it."""
    with path.open("rb") as file:
        span: tuple[int, int] | None = (0, path.stat().st_size)
        for name in (b"moov", b"udta", b"stem"):
            span = _find_atom(file, name, *span) if span else None
        if span is None or span[1] - span[0] > _MOST_ATOM:
            return None
        file.seek(span[0])
        data = file.read(span[1] - span[0])
    try:
        return [str(stem.get("name", "")).strip() for stem in json.loads(data)["stems"]]
    except (ValueError, LookupError, TypeError, AttributeError):
        return None


def _find_atom(file: BinaryIO, name: bytes, here: int, end: int) -> tuple[int, int] | None:
    """Where the content of the first atom of that name is, among those between two positions (ISO 14496-12, 4.2)."""
    while here + 8 <= end:
        file.seek(here)
        header = file.read(16)
        if len(header) < 8:
            return None
        size, body = struct.unpack(">I", header[:4])[0], 8
        if size == 1 and len(header) == 16:
            size, body = struct.unpack(">Q", header[8:])[0], 16
        stop = end if size == 0 else here + size
        if stop > end or stop < here + body:
            return None
        if header[4:8] == name:
            return here + body, stop
        here = stop
    return None


def _fit(recordings: list[Recording], names: list[str], path: Path) -> tuple[list[Recording], list[str]]:
    """Bring all to the length of the longest, with a warning; InputError if their channels or lengths differ."""
    first = recordings[0]
    for name, recording in zip(names, recordings, strict=True):
        if len(recording.samples) != len(first.samples):
            raise InputError(
                f"{name!r} has {len(recording.samples)} channel(s) and {names[0]!r} has {len(first.samples)} channel(s): "
                f"bring all that belongs to {str(path)!r} to one."
            )
    frames, longest = max((recording.samples.shape[-1], name) for name, recording in zip(names, recordings, strict=True))
    short = [name for name, recording in zip(names, recordings, strict=True) if recording.samples.shape[-1] < frames]
    for name, recording in zip(names, recordings, strict=True):
        if frames - recording.samples.shape[-1] > _SLACK * first.sample_rate:
            raise InputError(
                f"{name!r} is {recording.seconds:.2f} s long and {longest!r} {frames / first.sample_rate:.2f} s: "
                f"bring all that belongs to {str(path)!r} to one length."
            )
    if not short:
        return recordings, []
    padded = [
        replace(recording, samples=functional.pad(recording.samples, (0, frames - recording.samples.shape[-1])))
        for recording in recordings
    ]
    return padded, [f"{', '.join(short)} end up to 50 ms early and were made up with silence."]


# Encoders begin with silence of a length of their own, and files without a place for that number (raw AAC, and mp3 as
# `demucs --mp3` writes it) don't tell it. 25 ms are enough that a song minus its stems is louder than the song.

#: Frames by which the sound of an encoder is late where nothing tells a decoder.
_DELAYS = {
    1105: "an mp3 encoder (LAME, as demucs --mp3 uses it)",
    1024: "an AAC encoder (FFmpeg's)",
    2048: "an AAC encoder (Fraunhofer's)",
    2112: "an AAC encoder (Apple's)",
    481: "an MP2 encoder",
    256: "an AC-3 encoder",
    312: "an Opus encoder",
}
_REACH, _FRAMES = 0.1, 1 << 20
#: Power of a residual relative to the song below which nothing needs to be moved.
_LOW = 0.01
#: A delay of an unknown length must take three quarters of the residual away, a known one less.
_SURE, _KNOWN = 0.25, 0.9


def find_delay(stems: list[Recording], song: Recording) -> int:
    """Frames by which the stems' sum is later than the song, negative if earlier; 0 where moving it gains nothing."""
    frames = min([song.samples.shape[-1], *(stem.samples.shape[-1] for stem in stems), _FRAMES])
    mix = song.samples[:, :frames].mean(0)
    total = torch.stack([stem.samples[:, :frames].mean(0) for stem in stems]).sum(0)
    reach = min(round(_REACH * song.sample_rate), frames - 1)
    apart = _measure_residual(total, mix, 0)
    if reach < 1 or apart <= _LOW * float(mix.square().sum()):
        return 0
    delay = _correlate(total, mix, reach)
    gain = _SURE if abs(delay) not in _DELAYS else _KNOWN
    return delay if _measure_residual(total, mix, delay) < gain * apart else 0


def describe_delay(delay: int, rate: int) -> str:
    """How far the stems are from their song, in words: "1105 frames (25 ms) later than the song, by the ..."."""
    known = _DELAYS.get(abs(delay))
    named = f", by the delay of {known}" if known else ""
    side = "later" if delay > 0 else "earlier"
    return f"{abs(delay)} frames ({1000 * abs(delay) / rate:.0f} ms) {side} than the song{named}"


def move(stem: Recording, delay: int, frames: int) -> Recording:
    """A stem that many frames earlier, brought to a length with silence at the end."""
    samples = stem.samples[:, delay:] if delay > 0 else functional.pad(stem.samples, (-delay, 0))
    samples = samples[:, :frames]
    return replace(stem, samples=functional.pad(samples, (0, frames - samples.shape[-1])))


def _correlate(sound: Float[Tensor, " frame"], reference: Float[Tensor, " frame"], reach: int) -> int:
    size = 1 << (2 * len(sound) - 1).bit_length()
    spectrum = torch.fft.rfft(sound, size) * torch.fft.rfft(reference, size).conj()
    product = torch.fft.irfft(spectrum, size)
    # Lags below zero are at the end.
    near = torch.cat([product[-reach:], product[: reach + 1]])
    return int(near.argmax()) - reach


def _measure_residual(sound: Float[Tensor, " frame"], reference: Float[Tensor, " frame"], delay: int) -> float:
    late, early = max(delay, 0), max(-delay, 0)
    frames = len(sound) - late - early
    return float((sound[late : late + frames] - reference[early : early + frames]).square().sum())
