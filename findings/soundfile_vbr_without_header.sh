#!/bin/sh
# soundfile 0.14.0 (libsndfile with mpg123) reads less than half of a whole mp3 of variable bit rate that has no Xing header,
# and says nothing: the length is guessed from the first frames' bit rate, and reading ends there. lameenc writes such files,
# and so does whoever saves lameenc's stream (it has no way to write the header, which is known only at the end).
#
# Seen: 2 s at 44.1 kHz, one second of a faint tone, then noise: PyAV decodes 89,856 frames, soundfile 37,334.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q soundfile==0.14.0 lameenc==1.9.0 av==18.1.0 numpy==2.4.2
"$folder/venv/bin/python" - <<'PY'
import io

import av
import lameenc
import numpy as np
import soundfile

rate = 44100
time = np.arange(2 * rate) / rate
noise = 0.4 * np.random.default_rng(0).standard_normal(len(time))
sound = np.where(time < 1, 0.001 * np.sin(2 * np.pi * 220 * time), noise)
encoder = lameenc.Encoder()
encoder.set_in_sample_rate(rate)
encoder.set_channels(1)
encoder.set_vbr(4)
encoder.set_vbr_quality(2)
encoder.silence()
data = bytes(encoder.encode((sound.clip(-1, 1) * 32767).astype("<i2").tobytes()) + encoder.flush())
read, _ = soundfile.read(io.BytesIO(data))
with av.open(io.BytesIO(data)) as container:
    decoded = sum(frame.samples for frame in container.decode(audio=0))
print(f"written {len(sound)}, decoded by FFmpeg {decoded}, read by soundfile {len(read)}, no error")
assert decoded >= len(sound)
assert len(read) < decoded / 2, "soundfile reads headerless variable bit rates whole now"
PY
