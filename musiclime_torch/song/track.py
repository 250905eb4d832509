"""A song taken apart: stems that sum to it exactly, and its lyrics."""

import hashlib
import math
from dataclasses import dataclass, replace
from os.path import isdir, isfile  # pathlib's raise for folders without permission
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from musiclime_torch.basics.arguments import read_separator
from musiclime_torch.basics.errors import InputError
from musiclime_torch.basics.progress import Stages, open_stages
from musiclime_torch.song.audio.recording import Recording, read_audio
from musiclime_torch.song.lyrics.files import asks_to_transcribe, embedded_lyrics, read_lyrics
from musiclime_torch.song.lyrics.lyrics import Lyrics, cut_lyrics
from musiclime_torch.song.stems.bands import describe_bands, is_band, split_bands
from musiclime_torch.song.stems.files import StemSet, is_stem_file, read_stems
from musiclime_torch.song.stems.separation import complete, separate

#: dB relative to the song at which a stem is too quiet to be a component of its own, or below.
QUIET = -30.0

#: dB below the song that a residual should be at most: a louder one casts doubt on whether the stems are this song's.
_DOUBT = -3.0


@dataclass(frozen=True)
class Track:
    """One song, or the part of it between two times.

    ``stems`` sum to the song (max abs error under 1e-6): what a separator loses is a stem of its own, "residual".
    ``offset`` is the place of the first frame in the recording, in seconds, so that names show the recording's times.
    ``source`` says where the stems come from, in words; ``audio_hash`` identifies the decoded samples. ``file`` and
    ``lyrics_file`` are the names of the files that were read, without their folders, "" where there was none.
    """

    stems: Float[Tensor, "stem channel frame"]
    stem_names: tuple[str, ...]
    sample_rate: int
    lyrics: Lyrics | None = None
    offset: float = 0.0
    title: str = ""
    source: str = ""
    audio_hash: str = ""
    warnings: tuple[str, ...] = ()
    file: str = ""
    lyrics_file: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.stems, Tensor):
            raise InputError(
                f"stems are a {type(self.stems).__name__}: give a float32 tensor (stem, channel, frame), such as "
                f"torch.as_tensor(stems, dtype=torch.float32)."
            )
        shape, names = tuple(self.stems.shape), ", ".join(map(str, self.stem_names))
        if self.stems.dtype != torch.float32:
            kind = str(self.stems.dtype).removeprefix("torch.")
            raise InputError(
                f"stems are {kind} of shape {shape}: give float32 (stem, channel, frame), such as stems.float()."
            )
        if len(shape) != 3:
            raise InputError(f"stems are of shape {shape}: give (stem, channel, frame), with one channel or two.")
        if not self.stems.numel():
            raise InputError(f"stems of shape {shape} hold no sound: give one or more of (stem, channel, frame).")
        if shape[1] > 2:
            raise InputError(f"stems of shape {shape} have {shape[1]} channels: give one or two, as (stem, channel, frame).")
        if not self.sample_rate > 0:
            raise InputError(f"sample_rate must be positive, got {self.sample_rate}: give the stems' own, such as 44100.")
        if len(self.stem_names) != len(self.stems):
            raise InputError(
                f"{len(self.stems)} stems don't fit {len(self.stem_names)} names ({names}): give each stem one."
            )
        if len(set(self.stem_names)) < len(self.stem_names):
            raise InputError(f"the stem names {names} are not all different: give each stem its own.")
        if not self.stems.isfinite().all():
            raise InputError("the stems hold NaN or infinite samples: repair or leave out what they came from.")
        if self.lyrics is not None and not isinstance(self.lyrics, Lyrics):
            raise InputError(
                f"lyrics are a {type(self.lyrics).__name__}: give parse_lyrics(text) from musiclime_torch.song."
            )

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return self.stems.shape[-1] / self.sample_rate


def load_track(
    song: str | Path,
    *,
    lyrics: str | Path | Lyrics | None = None,
    lyrics_encoding: str | None = None,
    stems: str | Path | None = None,
    align_stems: bool = False,
    separator: str | None = None,
    start: float | None = None,
    end: float | None = None,
    max_seconds: float = 900.0,
    device: torch.device | str = "cpu",
    cache_dir: str | Path | None = None,
    progress: bool | Stages = False,
) -> Track:
    """Read a song and its lyrics, and take the song apart.

    Args:
        song: an audio file, a ``.stem.mp4``, or a folder of stems, with the mix among them or without.
        lyrics: a text, .lrc or subtitle file, or `Lyrics`; None takes what the song's tags hold, if anything; "auto" what
            Whisper hears, with times ("auto:NAME" names another Whisper than tiny.en).
        lyrics_encoding: the encoding of the lyrics' file, as Python names it ("gb18030"); None finds out.
        stems: a folder of stems (or a stem file) of ``song``; what they leave of it becomes the residual.
        align_stems: move stems that are late or early by an encoder's delay, as ``demucs --mp3`` writes them.
        separator: how to take a song without stems apart, see `separation`; None picks. ``bands:200,2000`` also cuts given
            stems into frequency bands.
        start: seconds from the start of the file where the part to explain begins, None for its start. Lyrics with times
            are cut with the sound; those without are kept, and a warning says so.
        end: seconds from the start of the file where the part ends, None for its end.
        max_seconds: longest song, or part of it, that is read.
        device: where the separator runs; stems come back on the CPU.
        cache_dir: folder that keeps separated stems; None is the default of `separation.cache`.
        progress: show a bar for reading and one for separating on standard error, if that is a terminal.

    Raises:
        InputError: with one sentence that quotes what is wrong and names the way out.
    """
    path = Path(song)
    if not max_seconds > 0:
        raise InputError(f"max_seconds must be positive, got {max_seconds:g}.", argument="max_seconds")
    has_own_stems = isdir(path) or is_stem_file(path)
    base, edges = ("", ()) if separator is None else read_separator(separator)
    if base and (stems is not None or isdir(path)):
        raise InputError(
            f"separator {separator!r} and stems at once: a song that has its stems isn't separated; leave one out, or ask "
            "for bands of the stems (bands:0,200,2000).",
            argument="separator",
        )
    heard = str(lyrics) if asks_to_transcribe(lyrics) else ""
    # Lyrics are read first: a bad file is reported before minutes are spent on the audio.
    words, notes = (None, []) if heard else _find_lyrics(path, lyrics, lyrics_encoding)
    given = stems is not None or (has_own_stems and not base)
    part: dict[str, Any] = {"max_seconds": max_seconds, "start": start, "end": end}
    with open_stages(progress) as stages:
        stages.begin(f"reading {path.name}", unit="")
        if stems is None and given:
            track = _from_stems(read_stems(path, align=align_stems, **part), path)
        else:
            recording = read_audio(path, stream=0 if is_stem_file(path) else None, **part)
            if stems is not None:
                track = _from_stems(
                    read_stems(stems, song=recording, leave_out=path, align=align_stems, **part), Path(stems)
                )
            else:
                if separator != "none":
                    stages.begin(f"separating {path.name}", 1.0, unit="")
                separated, names, note = separate(recording, separator, device, cache_dir, stages.update)
                track = Track(
                    separated, names, recording.sample_rate, None, recording.offset, "", note, recording.content_hash
                )
            track = replace(track, warnings=(*recording.warnings, *track.warnings))
    if edges and given:
        split, names = split_bands(track.stems, track.stem_names, track.sample_rate, edges, device)
        track = replace(track, stems=split, stem_names=names, source=describe_bands(edges, track.source))
    if heard:
        from musiclime_torch.song.lyrics.transcribing import transcribe

        # The singer alone, where there is a stem of that name.
        voice = track.stem_names.index("vocals") if "vocals" in track.stem_names else None
        sound = track.stems.sum(0) if voice is None else track.stems[voice]
        words = transcribe(heard, sound, track.sample_rate, track.offset, device)
    elif words is not None and (start is not None or end is not None):
        words, note = _cut_lyrics(words, track.offset, track.offset + track.seconds)
        notes = [*notes, note]
    warnings = tuple(dict.fromkeys((*notes, *track.warnings)))
    read = Path(lyrics).name if isinstance(lyrics, str | Path) and not heard else ""
    named = path.resolve().name if isdir(path) else path.name
    return replace(track, lyrics=words, title=_name(path), warnings=warnings, file=named, lyrics_file=read)


def fold_quiet(track: Track) -> Track:
    """The track with stems that are 30 dB or more below the song added to the loudest one, and switched with it.

    What separation leaves, or a singer's stem without singing, would be a third of the components, and nearly nothing of
    the sound. Frequency bands stay: their levels say little about what is heard. A warning and `source` name what was
    added; a track without such stems is returned as it is.
    """
    song = track.stems.sum(0)
    levels = [_compare(stem, song) for stem in track.stems]
    loudest = max(range(len(levels)), key=levels.__getitem__)
    kept = [
        number
        for number, (name, level) in enumerate(zip(track.stem_names, levels, strict=True))
        if number == loudest or level > QUIET or (is_band(name) and not name.startswith("residual"))
    ]
    if len(kept) == len(levels):
        return track
    names = " and ".join(
        f"{name} ({-level:.0f} dB below the song)"
        for number, (name, level) in enumerate(zip(track.stem_names, levels, strict=True))
        if number not in kept
    )
    stems, home = track.stems[kept], track.stem_names[loudest]
    # What the others leave of the song, so that stems sum to it as exactly as before.
    stems[kept.index(loudest)] = song - sum(track.stems[number] for number in kept if number != loudest)
    are, alone = ("is", "by itself") if len(kept) == len(levels) - 1 else ("are", "by themselves")
    said = f"{names} {are} too quiet to be explained {alone}, and stay{'s' * (are == 'is')} with {home}"
    return replace(
        track,
        stems=stems,
        stem_names=tuple(track.stem_names[number] for number in kept),
        source=f"{track.source}; {names} with {home}".removeprefix("; "),
        warnings=(*track.warnings, f"{said}: ask for residual to explain {'it' if are == 'is' else 'them'} too."),
    )


def _name(song: Path) -> str:
    return song.resolve().name if isdir(song) else song.stem.removesuffix(".stem")


def _find_lyrics(song: Path, lyrics: str | Path | Lyrics | None, encoding: str | None) -> tuple[Lyrics | None, list[str]]:
    if isinstance(lyrics, Lyrics):
        return lyrics, []
    if lyrics is not None:
        return read_lyrics(lyrics, lyrics_encoding=encoding), []
    embedded = embedded_lyrics(song) if isfile(song) else None
    if embedded is None:
        return None, []
    return embedded, [f"the lyrics are those in the tags of {song.name!r}: pass lyrics to use others."]


def _cut_lyrics(lyrics: Lyrics, start: float, end: float) -> tuple[Lyrics | None, str]:
    """The lyrics of a part of the song, and what to say about it."""
    part = f"between {start:g} and {end:g} s"
    cut = cut_lyrics(lyrics, start, end)
    if cut is lyrics:
        return lyrics, f"the lyrics have no times: those of the whole song are kept, not only what is sung {part}."
    if cut is None:
        return None, f"no line of the lyrics is sung {part}: this part has none."
    return cut, f"of the lyrics, {len(cut.lines)} of {len(lyrics.lines)} lines are sung {part}, and only these are kept."


def _from_stems(found: StemSet, path: Path) -> Track:
    """A track of given stems. Without a mix their sum is the song."""
    stacked, names = torch.stack([stem.samples for stem in found.stems]), found.names
    source, warnings = f"{len(names)} stems from {path.name!r}", list(found.warnings)
    if found.mix is None:
        source += ", whose sum is the song"
    else:
        stacked, names = complete(found.mix.samples, stacked, names)
        if len(names) > len(found.names):
            level = _compare(stacked[-1], found.mix.samples)
            source += f", and what they leave of the song ({level:.0f} dB)"
            if level > _DOUBT and not any("later than" in told or "earlier than" in told for told in warnings):
                warnings.append(
                    f"the stems in {path.name!r} leave a residual of {level:.0f} dB relative to the song: are they this "
                    "song's, of the same master and not moved in time?"
                )
    first: Recording = found.mix or found.stems[0]
    parts = [*([found.mix] if found.mix else []), *found.stems]
    digest = hashlib.sha256("".join(part.content_hash for part in parts).encode()).hexdigest()
    return Track(stacked, names, first.sample_rate, None, first.offset, "", source, digest, tuple(warnings))


def _compare(part: Tensor, whole: Tensor) -> float:
    """Power of a part relative to that of the whole, in dB."""
    power, reference = (float(sound.square().mean(dtype=torch.float64)) for sound in (part, whole))
    return 10 * math.log10(max(power, 1e-20) / max(reference, 1e-20))
