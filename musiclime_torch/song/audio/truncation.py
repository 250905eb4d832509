"""Whether a file holds what its own headers say: decoders return a shorter song without a warning.

Files that end too soon (`cut_short`) are distinguished from those whose numbers contradict each other (`contradicts`): a
wrong header, or a packet that was damaged and skipped. Each format is checked by what it offers: sizes of chunks, chains of
packets, checksums of pages (`chunks`, `packets`). Sizes that writers to a pipe put in for "unknown" don't count as a cut.
"""

from pathlib import Path
from typing import BinaryIO

from musiclime_torch.song.audio.chunks import goes_on, lay_out
from musiclime_torch.song.audio.packets import (
    Chain,
    chain_adts,
    chain_mp3,
    chain_ogg,
    last_flac_frame,
    measure_matroska,
    skip_id3,
)

#: Frames by which an mp3 may be shorter than its packets: the delay and the padding that a LAME tag has room for.
_GAPLESS = 2 * 4095


def cut_short(path: str | Path) -> str | None:
    """A sentence if the file was cut short, else None: intact, another format, or no way to tell."""
    path = Path(path)
    size = path.stat().st_size
    with path.open("rb") as file:
        if file.read(4) == b"OggS":
            pages = chain_ogg(file, size)
            if pages.broken is not None or pages.sound:
                return None
            return f"{path.name!r} was cut short: its Ogg stream has no end. What is there was read."
        promised = _measure(file)
    if promised <= size:
        return None
    return f"{path.name!r} was cut short: {size} of {promised} bytes are there ({100 * size / promised:.0f}%) and were read."


def contradicts(path: str | Path, kind: str, frames: int | None) -> str | None:
    """A sentence if headers of a file that wasn't cut contradict each other, its packets or the frames that it is read as.

    `kind` is the format that the decoder takes it for.
    """
    path = Path(path)
    with path.open("rb") as file:
        reason = _find_contradiction(file, path.stat().st_size, kind, frames)
    return None if reason is None else f"{path.name!r} is damaged: {reason}. What can be read was read; get it again."


def guesses(path: Path, kind: str, frames: int) -> bool:
    """Whether a decoder's number of frames is a guess: that of an mp3 with no header, whose packets hold others."""
    if kind != "MP3":
        return False
    with path.open("rb") as file:
        chain = chain_mp3(file)
    return chain is not None and chain.declared is None and abs(chain.frames - frames) >= 1152


def _measure(file: BinaryIO) -> int:
    """Bytes that the headers promise, 0 where they don't say."""
    layout = lay_out(file)
    if layout is not None:
        # A padding byte, which one writer counts and another doesn't, isn't sound.
        return max((layout.whole or 1) - 1, layout.end or 0)
    chain = _chain(file)
    if chain is not None:
        return max(chain.end, chain.promised)
    return measure_matroska(file) or 0


def _chain(file: BinaryIO) -> Chain | None:
    file.seek(0)
    head = file.read(1 << 16)
    start = skip_id3(head)
    file.seek(start)
    # Both kinds of stream begin with eleven or twelve ones; the layer bits tell raw AAC (00) from mp3 (01).
    first = file.read(4096).lstrip(b"\0")[:2] if start else head.lstrip(b"\0")[:2]
    if len(first) < 2 or first[0] != 0xFF:
        return None
    return chain_adts(file) if first[1] & 0xF6 == 0xF0 else chain_mp3(file) if first[1] & 0xE6 == 0xE2 else None


def _find_contradiction(file: BinaryIO, size: int, kind: str, frames: int | None) -> str | None:
    head = file.read(4)
    if head == b"OggS":
        pages = chain_ogg(file, size)
        return f"a page at byte {pages.end} fails its checksum" if pages.broken is not None else None
    if head == b"fLaC":
        last = last_flac_frame(file)
        if frames and last is not None and last != frames:
            return f"its header says {frames} frames and its last packet {last}"
        return None
    layout = lay_out(file)
    if layout is not None:
        if goes_on(file, layout, size):
            return "it goes on beyond the sound that its header declares"
        if frames and layout.frames is not None and abs(frames - layout.frames) > layout.slack * layout.frames:
            return f"one number in its header makes it {layout.frames:g} frames, another {frames}"
        return None
    chain = chain_mp3(file) if kind in ("MP3", "mp3") else chain_adts(file) if kind == "aac" else None
    return None if chain is None else _compare(chain, frames)


def _compare(chain: Chain, frames: int | None) -> str | None:
    if chain.broken is not None:
        return f"there is no packet of sound at byte {chain.broken}"
    if not chain.sound:
        return "its Info header fails its checksum"
    if chain.declared is not None and chain.declared != chain.frames:
        return f"its header says {chain.declared} frames and it holds {chain.frames}"
    # A decoder takes delay and padding off at both ends, and never adds anything.
    if frames and not chain.frames - _GAPLESS <= frames <= chain.frames:
        return f"it holds {chain.frames} frames and is read as {frames}"
    return None
