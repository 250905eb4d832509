"""Sound files for tests: smooth noise, written by soundfile, by lameenc, and by FFmpeg through PyAV."""

import json
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile


def make_noise(seconds: float, rate: int, channels: int = 2, seed: int = 0) -> np.ndarray:
    """(channel, frame) float32, low-passed so that lossy codecs keep it."""
    white = np.random.default_rng(seed).standard_normal((channels, round(seconds * rate) + 31))
    return (0.2 * np.stack([np.convolve(row, np.hanning(32) / 4, "valid") for row in white])).astype(np.float32)


def write(path: Path, samples: np.ndarray, rate: int, **how: str) -> Path:
    soundfile.write(path, samples.T, rate, **how)
    return path


def encode(
    path: Path, samples: np.ndarray, rate: int, codec: str, format: str, *, bits: int | None = 128_000, **mux: str
) -> Path:
    """(channel, frame) by one of FFmpeg's encoders and muxers, whose options are `mux`, at a bit rate or FFmpeg's own."""
    import av

    layout = "mono" if len(samples) == 1 else "stereo"
    with av.open(str(path), "w", format=format, options=mux) as container:
        stream = container.add_stream(codec, rate=rate, layout=layout)
        if bits is not None:
            stream.bit_rate = bits
        coder = stream.codec_context
        resampler = av.AudioResampler(coder.format, layout, rate, frame_size=coder.frame_size or 1152)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), "fltp", layout)
        frame.sample_rate, frame.pts = rate, 0
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    return path


def encode_lame(samples: np.ndarray, rate: int, bit_rate: int | None = 128) -> bytes:
    """An mp3 without a header, as `demucs --mp3` writes it; of variable bit rate for None."""
    import lameenc

    encoder = lameenc.Encoder()
    encoder.silence()
    encoder.set_in_sample_rate(rate)
    encoder.set_out_sample_rate(rate)
    encoder.set_channels(len(samples))
    if bit_rate is None:
        encoder.set_vbr(4)
        encoder.set_vbr_quality(2)
    else:
        encoder.set_bit_rate(bit_rate)
    return bytes(encoder.encode((samples.T * 32767).astype("<i2").tobytes()) + encoder.flush())


def find_lag(sound: np.ndarray, original: np.ndarray) -> int:
    """Frames by which one channel of sound is later than another, by their correlation."""
    size = 1 << (len(sound) + len(original)).bit_length()
    product = np.fft.irfft(np.fft.rfft(sound, size) * np.conj(np.fft.rfft(original, size)), size)
    lag = int(product.argmax())
    return lag if lag < size // 2 else lag - size


def write_mp4(
    path: Path, streams: Sequence[np.ndarray], rate: int, titles: Sequence[str] = (), names: Sequence[str] = ()
) -> Path:
    """Streams of (2, frame) as AAC; ``titles`` are handler names, ``names`` go into a Native Instruments stem atom."""
    import av

    with av.open(str(path), "w", format="mp4") as container:
        opened = [container.add_stream("aac", rate=rate, layout="stereo", bit_rate=256_000) for _ in streams]
        for stream, title in zip(opened, titles, strict=False):
            stream.metadata["handler_name"] = title
        for stream, samples in zip(opened, streams, strict=True):
            for at in range(0, samples.shape[1], 1024):
                frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples[:, at : at + 1024]), "fltp", "stereo")
                frame.sample_rate, frame.pts = rate, at
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    if names:
        _add_stem_atom(path, names)
    return path


def _add_stem_atom(path: Path, names: Sequence[str]) -> None:
    """Put moov/udta/stem into a file whose moov is its last atom, as FFmpeg writes it."""
    data = path.read_bytes()
    at = data.rindex(b"moov") - 4
    size = struct.unpack(">I", data[at : at + 4])[0]
    assert at + size == len(data)
    text = json.dumps({"version": 1, "stems": [{"name": name, "color": "#fff"} for name in names]}).encode()
    stem = struct.pack(">I", 8 + len(text)) + b"stem" + text
    # FFmpeg has written a udta of its own, which is made the one with the atom.
    old = data.rindex(b"udta") - 4
    length = struct.unpack(">I", data[old : old + 4])[0]
    udta = struct.pack(">I", length + len(stem)) + data[old + 4 : old + length] + stem
    moov = data[at:old] + udta + data[old + length :]
    path.write_bytes(data[:at] + struct.pack(">I", len(moov)) + moov[4:])


def id3(*frames: tuple[bytes, bytes]) -> bytes:
    body = b"".join(name + struct.pack(">I", len(content)) + b"\0\0" + content for name, content in frames)
    size = len(body)
    return b"ID3\x03\0\0" + bytes([size >> 21 & 127, size >> 14 & 127, size >> 7 & 127, size & 127]) + body
