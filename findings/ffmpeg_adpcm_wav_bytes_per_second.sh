#!/bin/sh
# FFmpeg (PyAV 18.1.0) writes the bit rate that the caller asked for into the header of an ADPCM wav, and nought where none
# was asked for, though ADPCM has one bit rate by its nature. The field is the bytes per second, from which players and
# checks reckon the length: 8,192 bytes a second are really there at 16 kHz mono.
#
# Seen: adpcm_ms and adpcm_ima_wav say 0, 8,000 and 16,000 for bit rates of none, 64,000 and 128,000.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q av==18.1.0 numpy==2.4.2
"$folder/venv/bin/python" - <<'PY'
import io
import struct

import av
import numpy as np

for codec in ("adpcm_ms", "adpcm_ima_wav"):
    said = []
    for bit_rate in (None, 64_000, 128_000):
        out = io.BytesIO()
        with av.open(out, "w", format="wav") as container:
            stream = container.add_stream(codec, rate=16_000, layout="mono")
            if bit_rate:
                stream.bit_rate = bit_rate
            sound = (np.sin(np.arange(32_000) / 20) * 8000).astype(np.int16)[None]
            frame = av.AudioFrame.from_ndarray(sound, format="s16", layout="mono")
            frame.sample_rate = 16_000
            for packet in (*stream.encode(frame), *stream.encode(None)):
                container.mux(packet)
        data = out.getvalue()
        start = data.index(b"fmt ") + 8
        said.append(struct.unpack("<HHII", data[start : start + 12])[3])
        size = struct.unpack("<I", data[data.index(b"data") + 4 :][:4])[0]
    print(f"{codec}: bytes per second in the header {said}, really {size / 2:.0f}")
    assert said == [0, 8_000, 16_000]
    assert 8_000 < size / 2 < 8_500
PY
