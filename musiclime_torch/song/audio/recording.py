"""Sound as the pipeline takes it: float32 on the CPU, (channel, frame), one or two channels, at the file's own rate.

More than two channels are averaged into one. Times are seconds from the start of the file. A file is judged by
its header before it is decoded, and decoded block by block up to the length allowed: an hour of silence is a 600 KB
flac, and headers can be wrong.
"""

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr
import torch
from jaxtyping import Float
from torch import Tensor

from musiclime_torch.basics.errors import InputError
from musiclime_torch.song.audio.decoding import Opened, open_audio, open_stream
from musiclime_torch.song.audio.packets import Block
from musiclime_torch.song.audio.truncation import contradicts, cut_short

#: Hz; a rate outside of these is a broken header rather than music.
_RATES = (4_000, 384_000)
#: Seconds by which ``end`` may pass the end of the file: durations get rounded, and codecs pad.
_SLACK = 0.05


@dataclass(frozen=True)
class Recording:
    """Decoded sound; ``offset`` is the time of its first frame in the file, ``content_hash`` that of `hash_samples`."""

    samples: Float[Tensor, "channel frame"]
    sample_rate: int
    offset: float = 0.0
    warnings: tuple[str, ...] = ()
    content_hash: str = ""

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return self.samples.shape[-1] / self.sample_rate


def read_audio(
    path: str | Path, *, max_seconds: float, start: float | None = None, end: float | None = None, stream: int | None = None
) -> Recording:
    """Decode a sound file, or the part of it from ``start`` to ``end`` seconds.

    ``stream`` asks for one audio stream of a container. A file that was cut short is read as far as it goes, with a
    warning, except for flac, whose decoder refuses it.

    Raises:
        InputError: no such file, not audio, damaged, empty, longer than ``max_seconds``, a part outside the file,
            NaN or infinite samples, or an implausible rate.
    """
    path = Path(path)
    with open_audio(path) if stream is None else open_stream(path, stream) as opened:
        low, high = _RATES
        if not low <= opened.sample_rate <= high:
            raise InputError(
                f"{str(path)!r} has an implausible sample rate of {opened.sample_rate} Hz: "
                f"resample it to between {low} and {high} Hz."
            )
        first, stop = _choose_part(path, opened, start, end, max_seconds)
        blocks = list(_limit(path, opened, first, stop, max_seconds))
    frames = sum(block.shape[1] for block in blocks)
    if not frames:
        raise InputError(
            f"no audio could be read from {str(path)!r}{f' after {start:g} s' if start else ''}: is it complete?"
        )
    samples = torch.from_numpy(np.concatenate(blocks, axis=1))
    warnings = _collect_warnings(path, opened, stop - first - frames if stop is not None else 0, stream)
    return Recording(
        samples, opened.sample_rate, first / opened.sample_rate, warnings, hash_samples(samples, opened.sample_rate)
    )


def resample(samples: Float[Tensor, "*batch frame"], old_rate: int, new_rate: int) -> Float[Tensor, "*batch new_frame"]:
    """Bring sound to another rate, on the CPU, with soxr's high-quality filter; any pair of rates.

    Gives exactly ``round(frames * new_rate / old_rate)`` frames, float32. No gradients flow through.

    >>> resample(torch.zeros(2, 44100), 44100, 16000).shape
    torch.Size([2, 16000])
    """
    if old_rate == new_rate:
        return samples
    rows = samples.detach().cpu().reshape(-1, samples.shape[-1]).numpy()
    frames = round(samples.shape[-1] * new_rate / old_rate)
    resampled = np.zeros((len(rows), frames), dtype=np.float32)
    for row, target in zip(rows, resampled, strict=True):
        sound = soxr.resample(row.astype(np.float32, copy=False), old_rate, new_rate, quality="HQ")[:frames]
        target[: len(sound)] = sound
    return torch.from_numpy(resampled).reshape(*samples.shape[:-1], frames)


def hash_samples(samples: Float[Tensor, "*shape frame"], sample_rate: int) -> str:
    """SHA-256 over the rate, the shape and the samples."""
    digest = hashlib.sha256(f"{sample_rate} {tuple(samples.shape)}".encode())
    digest.update(samples.contiguous().numpy().data)
    return digest.hexdigest()


def _choose_part(
    path: Path, opened: Opened, start: float | None, end: float | None, max_seconds: float
) -> tuple[int, int | None]:
    """First frame and end of the part asked for; the end is None where neither header nor caller knows it."""
    for name, value in (("start", start), ("end", end)):
        if value is not None and not (math.isfinite(value) and value >= 0):
            raise InputError(f"{name} is {value:g} s: give seconds from the start of the song, 0 or more.")
    if start is not None and end is not None and start >= end:
        raise InputError(f"start ({start:g} s) must be before end ({end:g} s).")
    rate, frames = opened.sample_rate, opened.frames
    if frames == 0:
        raise InputError(f"{str(path)!r} has no sound in it (0 frames): is it complete?")
    if frames is not None:
        for name, value, slack in (("start", start, 0.0), ("end", end, _SLACK)):
            if value is not None and round((value - slack) * rate) > frames - (name == "start"):
                raise InputError(
                    f"{name} ({value:g} s) is outside {str(path)!r}, which is {frames / rate:.2f} s long: "
                    f"give a time within it."
                )
    first = 0 if start is None else round(start * rate)
    ends = [stop for stop in (frames, None if end is None else max(first + 1, round(end * rate))) if stop is not None]
    stop = min(ends) if ends else None
    if stop is not None and (stop - first) / rate > max_seconds:
        raise _refuse_length(path, f"{(stop - first) / rate:.1f} s", max_seconds)
    return first, stop


def _limit(path: Path, opened: Opened, first: int, stop: int | None, max_seconds: float) -> Iterator[Block]:
    """The blocks of the part, as at most two channels, and no more frames than the header or the limit allows."""
    most = int(max_seconds * opened.sample_rate) if stop is None else stop - first
    taken = 0
    for block in opened.blocks(first):
        if stop is None and taken + block.shape[1] > most:
            raise _refuse_length(path, "longer than its header says", max_seconds)
        part = block[:, : most - taken]
        _refuse_non_finite(path, part, (first + taken) / opened.sample_rate, opened.sample_rate)
        taken += part.shape[1]
        yield part.mean(axis=0, keepdims=True, dtype=np.float64).astype(np.float32) if len(part) > 2 else part
        if taken == most:
            return


def _refuse_length(path: Path, length: str, max_seconds: float) -> InputError:
    return InputError(
        f"{str(path)!r} is {length}, and {max_seconds:g} s are allowed: "
        f"name a part with start and end, or allow more with max_seconds.",
        argument="max_seconds",
    )


def _refuse_non_finite(path: Path, block: Block, time: float, rate: int) -> None:
    bad = ~np.isfinite(block)
    if not bad.any():
        return
    frame = int(bad.any(axis=0).argmax())
    channel = int(bad[:, frame].argmax())
    raise InputError(
        f"{str(path)!r} holds {block[channel, frame]} at {time + frame / rate:.4f} s in channel {channel + 1} "
        f"of {len(block)}: export it again without NaN or infinite samples."
    )


def _collect_warnings(path: Path, opened: Opened, missing: int, stream: int | None) -> tuple[str, ...]:
    warnings = []
    if sentence := cut_short(path):
        warnings.append(sentence)
    elif opened.format == "FLAC" and missing > _SLACK * opened.sample_rate:
        raise InputError(f"{str(path)!r} is cut short: {missing / opened.sample_rate:.2f} s are missing: get it again.")
    elif sentence := contradicts(path, opened.format, opened.frames):
        warnings.append(sentence)
    elif missing > _SLACK * opened.sample_rate:
        warnings.append(f"{path.name!r} ends {missing / opened.sample_rate:.2f} s earlier than its header says.")
    if opened.channels > 2:
        warnings.append(f"the {opened.channels} channels of {path.name!r} were averaged into one.")
    if stream is None and opened.streams > 1:
        warnings.append(f"{path.name!r} has {opened.streams} audio streams and the first was read.")
    return tuple(warnings)
