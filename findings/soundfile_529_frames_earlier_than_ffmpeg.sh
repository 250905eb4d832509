#!/bin/sh
# soundfile 0.14.0 (libsndfile with mpg123) and FFmpeg (PyAV 18.1.0) place the same mp3 529 frames apart, if its Xing header
# has no LAME extension, as encoders older than LAME 3.90 and several others write it. mpg123 takes the decoder's delay of 529
# frames away, which the format asks for only together with an encoder's delay that this header doesn't state; FFmpeg takes
# nothing away. Stems read by one and the song by the other are 12 ms apart, and leave a residual as loud as themselves.
#
# Seen: 2 s at 44.1 kHz: 89,856 frames by FFmpeg, 89,327 by soundfile, and the first is the second moved by 529.
# With the extension both give 88,200 frames, and the same ones.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q soundfile==0.14.0 av==18.1.0 numpy==2.4.2
"$folder/venv/bin/python" - <<'PY'
import io

import av
import numpy as np
import soundfile

rate = 44100
sound = 0.3 * np.sin(2 * np.pi * 440 * np.arange(2 * rate) / rate).astype(np.float32)
written = io.BytesIO()
with av.open(written, "w", format="mp3") as container:
    stream = container.add_stream("libmp3lame", rate=rate, layout="mono", bit_rate=128_000)
    frame = av.AudioFrame.from_ndarray(sound[None], format="fltp", layout="mono")
    frame.sample_rate, frame.pts = rate, 0
    container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def read_both(data):
    read = soundfile.read(io.BytesIO(data), dtype="float32")[0]
    with av.open(io.BytesIO(data)) as container:
        decoded = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
    return read, decoded


whole = written.getvalue()
# The LAME extension is the 36 bytes after the header's own 120: flags, frames, bytes, 100 of a table, quality.
header = whole.find(b"Info")
plain = bytearray(whole)
plain[header + 120 : header + 156] = bytes(36)
read, decoded = read_both(whole)
print(f"with the extension: soundfile {len(read):,} frames, FFmpeg {len(decoded):,}")
assert len(read) == len(decoded) == len(sound)
read, decoded = read_both(bytes(plain))
apart = float(np.abs(decoded[529 : 529 + len(read)] - read).max())
print(f"without it: soundfile {len(read):,} frames, FFmpeg {len(decoded):,}; moved by 529 they differ by {apart:.1e} at most")
assert len(decoded) - len(read) == 529, "both place such files alike now"
assert apart < 1e-3
PY
