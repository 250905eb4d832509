"""Sound files that are broken in known ways, made from seeds: cut, with flipped bits, with headers that lie, and bombs."""

import struct
import wave
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np
import soundfile
from soundfiles import make_noise, write, write_mp4

#: Formats by name: suffix, rate, and how soundfile writes it; m4a and what follows it are PyAV's.
FORMATS: dict[str, tuple[str, int, dict[str, str]]] = {
    "wav16": (".wav", 44100, {"subtype": "PCM_16"}),
    "wav-float": (".wav", 22050, {"subtype": "FLOAT"}),
    "wav24": (".wav", 8000, {"format": "WAVEX", "subtype": "PCM_24"}),
    "wav-ulaw": (".wav", 8000, {"subtype": "ULAW"}),
    "rf64": (".wav", 16000, {"format": "RF64"}),
    "w64": (".w64", 16000, {}),
    "aiff": (".aiff", 22050, {}),
    "caf": (".caf", 22050, {}),
    "au": (".au", 16000, {}),
    "flac": (".flac", 44100, {}),
    "ogg": (".ogg", 44100, {}),
    "opus": (".opus", 48000, {"format": "OGG", "subtype": "OPUS"}),
    "mp3": (".mp3", 44100, {}),
    "m4a": (".m4a", 44100, {}),
    "aac": (".aac", 44100, {"format": "adts", "codec": "aac"}),
    "webm": (".webm", 48000, {"format": "webm", "codec": "libopus"}),
}
SECONDS = 0.5
#: Frames that packets hold beyond the song: an encoder's delay, and what fills the last packet up.
_PADDING = {"mp3": 4 * 1152, "m4a": 3 * 1024}


@dataclass(frozen=True)
class Broken:
    """A file to read: what it is called, its bytes, and the frames of the song that it was made from.

    `frames` is None where nobody can say, 0 where it must be refused; `intact` where it must be read without a warning.
    Whole packets of a lossy coder hold up to `padding` frames more, which are heard where the number to leave out is lost.
    """

    name: str
    data: bytes
    frames: int | None
    intact: bool = False
    padding: int = 0

    def judge(self, frames: int | None, warned: bool) -> str | None:
        """What is wrong about the answer: so many frames read (None for a refusal), with a warning or without."""
        if frames is None:
            return "refused" if self.intact else None
        if self.frames is None or (warned and self.frames and not self.intact):
            return None
        if self.frames == 0 or (self.intact and warned):
            return f"read as {frames} frames, warned: {warned}"
        return None if self.frames <= frames <= self.frames + self.padding else f"silently read as {frames} frames"


def write_intact(folder: Path, kind: str) -> Path:
    """Half a second of noise in one of the formats."""
    suffix, rate, how = FORMATS[kind]
    path, samples = folder / f"{kind}{suffix}", make_noise(SECONDS, rate)
    if kind == "m4a":
        return write_mp4(path, [samples], rate)
    return _encode(path, samples, rate, **how) if "codec" in how else write(path, samples, rate, **how)


def _encode(path: Path, samples: np.ndarray, rate: int, format: str, codec: str) -> Path:
    import av

    with av.open(str(path), "w", format=format) as container:
        stream = container.add_stream(codec, rate=rate, layout="stereo")
        resampler = av.AudioResampler(format=stream.codec_context.format, layout="stereo", rate=rate)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), "fltp", "stereo")
        frame.sample_rate, frame.pts = rate, 0
        fifo = av.AudioFifo()
        for part in resampler.resample(frame):
            fifo.write(part)
        while (part := fifo.read(960 if codec == "libopus" else 1024, partial=True)) is not None:
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    return path


def cut(kind: str, whole: bytes, frames: int, seed: int, count: int) -> Iterator[Broken]:
    """Cuts anywhere, headers too."""
    random = np.random.default_rng([seed, zlib.crc32(kind.encode())])
    ends = {1, 4, 13, 40, len(whole) - 1, *random.integers(44, len(whole) - 1, count - 5).tolist()}
    for end in sorted(ends):
        yield Broken(f"{kind}-cut-at-{end}{FORMATS[kind][0]}", whole[:end], frames)


def flip(kind: str, whole: bytes, frames: int, seed: int, count: int) -> Iterator[Broken]:
    """One bit flipped: half of them in the first 100 bytes, a quarter in the last 1,000, a quarter anywhere."""
    random = np.random.default_rng([seed, 1, zlib.crc32(kind.encode())])
    for number in range(count):
        first, last = ((0, 100), (0, 100), (max(len(whole) - 1000, 0), len(whole)), (0, len(whole)))[number % 4]
        place, bit = int(random.integers(first, min(last, len(whole)))), int(random.integers(8))
        data = bytearray(whole)
        data[place] ^= 1 << bit
        yield Broken(f"{kind}-flip-{place}-{bit}{FORMATS[kind][0]}", bytes(data), frames)


def flip_header(kind: str, whole: bytes, frames: int, count: int) -> Iterator[Broken]:
    """Every bit of the first bytes, each in a file of its own."""
    for place, bit in product(range(count), range(8)):
        data = bytearray(whole)
        data[place] ^= 1 << bit
        # The number that says how wide au's samples are is one that nothing else in it contradicts.
        trusted = kind == "au" and place in range(12, 16)
        yield Broken(f"{place}-{bit}", bytes(data), None if trusted else frames, padding=_PADDING.get(kind, 0))


def lie(folder: Path) -> Iterator[Broken]:
    """Headers that say what isn't so, samples that are no numbers, bombs, and what isn't sound at all."""
    samples = make_noise(0.2, 8000)
    wav = write(folder / "plain.wav", samples, 8000).read_bytes()
    flac = write(folder / "plain.flac", samples, 8000).read_bytes()
    at = wav.index(b"data") + 4
    for claim in (4_000_000_000, 2_000_000_000, 100_000, 6401, 6399, 6396, 4, 2):
        yield Broken(f"wav-claims-{claim}.wav", wav[:at] + struct.pack("<I", claim) + wav[at + 4 :], 1600)
    for rate in (0, 1, 100, 3_999, 400_000, 4_000_000_000):
        yield Broken(f"wav-rate-{rate}.wav", wav[:24] + struct.pack("<II", rate, rate * 4 % 2**32) + wav[32:], 0)
    for channels in (0, 3, 255, 1_025, 65_535):
        yield Broken(f"wav-channels-{channels}.wav", wav[:22] + struct.pack("<H", channels) + wav[24:], 1600)
    for bits in (0, 1, 7, 12, 64, 65_535):
        yield Broken(f"wav-bits-{bits}.wav", wav[:34] + struct.pack("<H", bits) + wav[36:], 1600)
    for kind in (0, 2, 0x11, 0x31, 0x55, 0x160, 0xFFFF):
        yield Broken(f"wav-kind-{kind}.wav", wav[:20] + struct.pack("<H", kind) + wav[22:], 1600)
    for total in (0, 1, 1599, 1601, 8000 * 3600 * 10, 2**36 - 1):
        packed = bytes([flac[21] & 0xF0 | total >> 32]) + struct.pack(">I", total & 0xFFFF_FFFF)
        yield Broken(f"flac-claims-{total}.flac", flac[:21] + packed + flac[26:], 1600)
    yield Broken("no-frames.wav", write(folder / "none.wav", samples[:, :0], 8000).read_bytes(), 0)
    for bad in (np.nan, np.inf, -np.inf):
        spoilt = samples.copy()
        spoilt[1, 700] = bad
        for suffix in ("wav", "aiff", "caf", "au", "w64"):
            path = write(folder / f"spoilt.{suffix}", spoilt, 8000, subtype="FLOAT")
            yield Broken(f"holds-{bad}.{suffix}", path.read_bytes(), 0)
    huge = write(folder / "huge.wav", samples * np.float32(1e38), 8000, subtype="FLOAT")
    yield Broken("huge-samples.wav", huge.read_bytes(), 1600)
    yield from _mistake(folder, wav, flac)
    yield from _explode(folder)


def _mistake(folder: Path, wav: bytes, flac: bytes) -> Iterator[Broken]:
    """Wrong suffixes, and files that aren't sound."""
    for suffix in ("flac", "mp3", "ogg", "m4a", "au", "raw", "vox", "txt", "nothing"):
        yield Broken(f"wav-as.{suffix}", wav, 1600, intact=True)
        yield Broken(f"flac-as.{suffix}", flac, 1600, intact=True)
    noise = np.random.default_rng(7).bytes(30_000)
    png = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + struct.pack(">IIBBBBB", 9, 9, 8, 0, 0, 0, 0) + bytes(4)
    contents = {
        "empty": b"",
        "one-byte": b"R",
        "zeros": bytes(50_000),
        "noise": noise,
        "text": b"la la la\n" * 4000,
        "image": png + noise,
        "html": b"<!doctype html><title>404</title>" * 90,
        "zip": b"PK\x03\x04" + noise,
        "playlist": b"#EXTM3U\n#EXTINF:9,\n/etc/passwd\n",
        "concat": b"ffconcat version 1.0\nfile /etc/passwd\n",
        "sdp": b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 9 RTP/AVP 0\r\n",
    }
    for name, data in contents.items():
        for suffix in ("wav", "mp3", "au", "vox", "m4a", "ogg"):
            yield Broken(f"{name}.{suffix}", data, 0)
    for suffix in ("wav", "aiff", "flac", "ogg", "mp3", "caf", "w64", "m4a"):
        for number, head in enumerate(
            (b"RIFF\xff\xff\xff\xffWAVEfmt ", b"fLaC\0\0\0\x22", b"OggS\0\2", b"\xff\xfb\x90\0", b"FORM")
        ):
            yield Broken(f"head-{number}-on-noise.{suffix}", head + noise, None)


def _explode(folder: Path) -> Iterator[Broken]:
    """A few kilobytes that are minutes of sound where seconds are allowed, and many channels."""
    for suffix, how in (("flac", {}), ("ogg", {}), ("opus", {"format": "OGG", "subtype": "OPUS"})):
        path = folder / f"bomb.{suffix}"
        with soundfile.SoundFile(path, "w", 8000, 1, **how) as file:
            for _ in range(4):
                file.write(np.zeros(60 * 8000))
        yield Broken(path.name, path.read_bytes(), 0)
    # The same without a length: it has to be decoded to be found too long.
    flac = (folder / "bomb.flac").read_bytes()
    yield Broken("bomb-of-unknown-length.flac", flac[:21] + bytes([flac[21] & 0xF0]) + bytes(4) + flac[26:], 0)
    many = write(folder / "many.wav", np.zeros((1024, 400), np.float32), 8000)
    yield Broken(many.name, many.read_bytes(), 400)
    with wave.open(str(folder / "wide.wav"), "wb") as file:
        file.setnchannels(30_000)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(30_000 * 2 * 4))
    yield Broken("wide.wav", (folder / "wide.wav").read_bytes(), 4)


def break_all(folder: Path, seed: int, cuts: int, flips: int) -> Iterator[Broken]:
    """Every format cut and flipped, and everything in `lie`."""
    from musiclime_torch.song.audio.recording import read_audio

    for kind, (suffix, _, _) in FORMATS.items():
        path = write_intact(folder, kind)
        whole, frames = path.read_bytes(), read_audio(path, max_seconds=10).samples.shape[-1]
        yield Broken(f"{kind}-whole{suffix}", whole, frames, intact=True)
        for broken in (*cut(kind, whole, frames, seed, cuts), *flip(kind, whole, frames, seed, flips)):
            yield replace(broken, padding=_PADDING.get(kind, 0))
    yield from lie(folder)
