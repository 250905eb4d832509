"""Files that hold several streams one behind the other, and streams whose header is wrong or missing, read by soundfile.

Ogg calls this chaining (RFC 3533, section 4); joined mp3 and flac files are the same. libsndfile reads the first stream as
if that were all, and an mp3 without a header as far as it guesses. Here each stream becomes a file of its own, in memory.
"""

import io
import mmap
import re
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile
from jaxtyping import Float

from musiclime_torch.basics.errors import InputError
from musiclime_torch.song.audio.mpeg import read_mp3, rewrite
from musiclime_torch.song.audio.ogg import read_ogg
from musiclime_torch.song.audio.packets import Block, read_whole

_FLAC = re.compile(rb"fLaC[\x00\x80]\x00\x00\x22")


def list_streams(path: Path, kind: str, frames: int) -> tuple[tuple[bytes, ...], int]:
    """The streams of a file, each as a file; none where soundfile reads the file itself right, and its frames.

    `frames` are what soundfile says that it will read.
    """
    with path.open("rb") as file:
        if kind == "OGG":
            links = read_ogg(file, path.stat().st_size).links
            whole = read_whole(file) if len(links) > 1 else b""
            return tuple(whole[link.start : link.end] for link in links) if whole else (), frames
        if kind == "FLAC":
            return split_flac(file), frames
        found = read_mp3(file) if kind == "MP3" else None
    # Of damaged packets the decoder makes what it can.
    if (
        found is None
        or (found.broken is not None and not found.begins_within)
        or (len(found.streams) == 1 and found.streams[0].heard == frames)
    ):
        return (), frames
    if found.layer == 2:
        return (), found.frames
    return tuple(rewrite(found.data, stream) for stream in found.streams if stream.frames), frames


def is_chained(path: Path) -> bool:
    """Whether an Ogg file holds streams one behind the other."""
    with path.open("rb") as file:
        return len(read_ogg(file, path.stat().st_size).links) > 1


def split_flac(file: BinaryIO) -> tuple[bytes, ...]:
    """The files that a joined flac consists of; () for a single one."""
    # The mark, and a STREAMINFO block of 34 bytes, the last of the header or not: 64 bits that don't occur by chance.
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        starts = [match.start() for match in _FLAC.finditer(data)]
        return tuple(data[start:stop] for start, stop in pairwise([*starts, len(data)])) if len(starts) > 1 else ()


def open_streams(path: Path, streams: tuple[bytes, ...]) -> list[soundfile.SoundFile]:
    """The streams as open files; InputError where one can't be read, or has another rate than the first."""
    files = []
    for number, data in enumerate(streams, 1):
        try:
            files.append(soundfile.SoundFile(io.BytesIO(data)))
        except soundfile.LibsndfileError as error:
            raise InputError(
                f"{str(path)!r} holds {len(streams)} streams, and stream {number} can't be decoded: convert it to wav."
            ) from error
        if files[-1].samplerate != files[0].samplerate:
            raise InputError(f"{str(path)!r} changes its sample rate midway: convert it to wav or flac.")
    return files


def widen(block: Block, channels: int) -> Float[np.ndarray, "channel_out frame"]:
    """A block with more channels: a mono stream among stereo ones is in all of them."""
    return block if len(block) == channels else np.repeat(block.mean(0, keepdims=True), channels, 0)
