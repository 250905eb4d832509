"""Opening audio files: what the header says, and the frames from any position on, block by block.

soundfile reads wav, flac, ogg, opus, mp3 and aiff; everything else (m4a, mp4, webm, ...) takes PyAV, the ``av``
extra. Neither decodes more than it is asked for, so that a file can be judged by its header first.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from os.path import abspath, isdir  # pathlib's raise for folders without permission
from pathlib import Path
from typing import Any

import soundfile

from musiclime_torch.basics.errors import InputError
from musiclime_torch.basics.files import refuse_devices
from musiclime_torch.song.audio.packets import Block
from musiclime_torch.song.audio.truncation import is_chained, list_streams, open_streams, widen

#: Values a block holds, whatever the number of channels (up to 1024).
_BLOCK = 1 << 20
#: Seconds decoded and thrown away before a position in a container: AAC and MP3 frames depend on those before them.
_RUN_UP = 0.25
#: The length that libsndfile gives files that don't say how long they are.
_UNKNOWN = 1 << 62
# Playlists (m3u8, concat, sdp) would make FFmpeg fetch other files, and from the network too.
_CONTAINERS = (
    "mov,matroska,webm,aac,ac3,eac3,mp3,ogg,flac,wav,w64,aiff,caf,asf,ape,wv,tta,dsf,mpc,mpc8,mpeg,mpegts,avi,flv,amr,au"
)
#: What soundfile may read: formats that `truncation` can check for completeness. It knows a dozen rare ones more,
#: and takes what it knows by nothing but the suffix (.au, .vox) for raw sound.
_CHECKED = ("WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "CAF", "FLAC", "OGG", "MP3")
#: Streams without a header: FFmpeg guesses their length, from the bytes or from the first and the last time stamp.
_ESTIMATED = ("mp3", "aac", "ac3", "eac3", "mpegts", "mpeg")


@dataclass(frozen=True)
class Opened:
    """An open audio file. ``frames`` is what its header promises, None where it doesn't say.

    ``blocks(first)`` yields the decoded frames from frame ``first`` to the end; it may be called once. ``streams``
    counts the audio streams of a container.
    """

    sample_rate: int
    channels: int
    frames: int | None
    format: str
    blocks: Callable[[int], Iterator[Block]]
    streams: int = 1


@contextmanager
def open_audio(path: Path) -> Iterator[Opened]:
    """Open a file with soundfile, or with PyAV where soundfile doesn't know it.

    Raises:
        InputError: missing, unreadable, a folder, empty, not audio, or damaged where it is decoded.
    """
    check_file(path)
    try:
        # A file called "-" would be standard input.
        file = soundfile.SoundFile(abspath(path))
    # A TypeError is what it has for the suffix .raw, whatever the file is.
    except (soundfile.LibsndfileError, TypeError):
        file = None
    if file is not None and file.format not in _CHECKED:
        file.close()
        file = None
    # Of a flac that was piped and doesn't know its length, soundfile can't read the last block: it seeks past it.
    if file is None or file.frames >= _UNKNOWN:
        with open_stream(path, 0) as opened:
            yield opened
        return
    with file:
        streams, frames = list_streams(path, file.format, file.frames)
        files = open_streams(path, streams) or [file]
        channels = max(file.channels for file in files)
        frames = sum(file.frames for file in files) if streams else frames
        yield Opened(
            file.samplerate, channels, frames, file.format, lambda first: _read_streams(files, path, first, channels)
        )


def _read_streams(files: list[soundfile.SoundFile], path: Path, first: int, channels: int) -> Iterator[Block]:
    """The blocks of streams that lie one behind the other."""
    for file in files:
        if first < file.frames:
            for block in _read_blocks(file, path, first):
                yield widen(block, channels)
        first = max(0, first - file.frames)


def _read_blocks(file: soundfile.SoundFile, path: Path, first: int) -> Iterator[Block]:
    size = max(1, _BLOCK // file.channels)
    try:
        # One seek on a fresh file: a second one lands wrong in Ogg Vorbis (libsndfile 1.2.2).
        if first:
            file.seek(first)
        while len(block := file.read(size, dtype="float32", always_2d=True)):
            yield block.T
    # A wrong header also makes soundfile ask numpy for a negative number of frames.
    except (soundfile.LibsndfileError, ValueError) as error:
        raise InputError(
            f"{str(path)!r} is cut short or damaged ({file.format} that can't be decoded beyond "
            f"{first / file.samplerate:g} s): get the file again, or name an intact part with start and end."
        ) from error


@contextmanager
def open_stream(path: Path, index: int) -> Iterator[Opened]:
    """Open one audio stream of a container through PyAV. Raises InputError as `open_audio` does."""
    check_file(path)
    with open_container(path) as container:
        streams = container.streams.audio
        if index >= len(streams):
            raise InputError(f"{str(path)!r} has no audio in it: give a sound file.")
        stream = streams[index]
        rate, frames = stream.codec_context.sample_rate if stream.codec_context else 0, None
        if not rate:
            raise InputError(f"{str(path)!r} has an audio stream that can't be decoded: convert it to wav or flac.")
        # Of several Ogg streams, one behind the other, FFmpeg knows the length of one.
        if container.format.name in _ESTIMATED or (container.format.name == "ogg" and is_chained(path)):
            frames = None
        elif stream.duration is not None:
            frames = round(stream.duration * stream.time_base * rate)
        elif container.duration is not None:
            frames = round(container.duration * rate / 1_000_000)
        yield Opened(
            rate,
            stream.codec_context.channels,
            frames,
            container.format.name,
            lambda first: _decode_blocks(container, stream, path, first),
            len(streams),
        )


@contextmanager
def open_container(path: Path) -> Iterator[Any]:
    """A file opened by PyAV that reads nothing but that file."""
    try:
        import av
    except ImportError as error:
        raise InputError(
            f"soundfile can't read {str(path)!r}: if it is audio (m4a, mp4, ...), "
            'pip install "musiclime_torch[av]", or convert it to wav or flac.'
        ) from error
    try:
        container = av.open(f"file:{path}", options={"protocol_whitelist": "file", "format_whitelist": _CONTAINERS})
    except (av.error.FFmpegError, ValueError) as error:
        raise InputError(f"{str(path)!r} isn't audio, or is damaged from the start: give a sound file.") from error
    with container:
        yield container


def _decode_blocks(container: Any, stream: Any, path: Path, first: int) -> Iterator[Block]:
    import av

    rate = stream.codec_context.sample_rate
    origin = stream.start_time or 0
    position = None
    is_late = _lift_skipping(stream.codec_context)
    # Interleaved: of planar frames with more than eight channels PyAV (18.1) reads planes that aren't there, and crashes.
    resampler = av.AudioResampler(format="flt")
    try:
        # Seeking lands on a packet at or before the requested time. Decoding a little ahead lets overlapping transforms
        # settle; what is too much is cut off below, by the time stamps. Those in milliseconds (asf, flv, Matroska) don't say
        # which frame it is: there everything is decoded.
        if first > _RUN_UP * rate and stream.time_base * rate <= 1:
            container.seek(origin + int((first / rate - _RUN_UP) / stream.time_base), stream=stream)
        for packed in container.decode(stream):
            if packed.sample_rate != rate:
                raise InputError(f"{str(path)!r} changes its sample rate midway: convert it to wav or flac.")
            # The first time stamp after a seek says where decoding really began, and with it how much to throw away.
            if position is None:
                position = 0 if packed.pts is None else round((packed.pts - origin) * packed.time_base * rate)
                # Two blocks, which the coder knows of once it has decoded one.
                position -= stream.codec_context.delay // 2 if is_late else 0
            for frame in resampler.resample(packed):
                block = frame.to_ndarray().reshape(frame.samples, -1).T
                skipped = max(0, min(first - position, block.shape[1]))
                position += block.shape[1]
                if skipped < block.shape[1]:
                    yield block[:, skipped:]
    except (av.error.FFmpegError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{str(path)!r} is cut short or damaged after {(position or 0) / rate:.2f} s: "
            f"get the file again, or name an intact part with start and end."
        ) from error


def _lift_skipping(coder: Any) -> bool:
    """Tell a decoder that would skip too much to skip nothing, and whether it did.

    FFmpeg drops two blocks at the start of a wma. The first is what an overlapping transform needs to begin with; the second
    is 46 ms of the song.
    """
    from av.codec.context import Flags2

    if not coder.name.startswith("wma"):
        return False
    coder.flags2 |= Flags2.skip_manual
    return True


def check_file(path: Path) -> None:
    """InputError unless ``path`` is a file that can be opened and isn't empty."""
    if isdir(path):
        raise InputError(f"{str(path)!r} is a folder where a sound file is expected.")
    refuse_devices(path)
    try:
        with path.open("rb") as file:
            empty = not file.read(1)
    except (OSError, ValueError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or str(error)
        raise InputError(f"{str(path)!r} can't be read: {reason}.") from error
    if empty:
        raise InputError(f"{str(path)!r} is empty (0 bytes): give a sound file.")
