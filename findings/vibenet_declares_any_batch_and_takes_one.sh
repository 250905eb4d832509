#!/bin/sh
# VibeNet 0.1.0 ships an ONNX file whose input has a batch axis with a name (s77), as files have that take any number of songs.
# It takes one: inside, a Reshape to (1, 1280) was fixed when the file was exported, and two songs end in an error there. Even
# the declared output says (1, 7). Who trusts the input's shape and sends a batch fails; songs have to be sent one by one.
#
# Seen with onnxruntime 1.32.0: input ['s77', 128, 's53'], output [1, 7]; one song gives (1, 7), two raise Fail at node_view.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q onnxruntime==1.32.0 numpy==2.4.6
"$folder/venv/bin/pip" install -q --no-deps vibenet==0.1.0
cat >"$folder/ask.py" <<'PY'
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnxruntime

# The file is read; the package's own code isn't run.
path = next(Path(find_spec("vibenet").origin).parent.rglob("*.onnx"))
onnxruntime.set_default_logger_severity(4)
session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
(given,), (answer,) = session.get_inputs(), session.get_outputs()
print("input", given.shape, "output", answer.shape)
assert isinstance(given.shape[0], str), "the batch axis is no longer open"
mels = np.random.default_rng(0).normal(size=(2, 128, 500)).astype(np.float32)
one = session.run(None, {given.name: mels[:1]})[0]
print("one song:", one.shape)
assert one.shape == (1, 7)
try:
    two = session.run(None, {given.name: mels})[0]
except Exception as error:
    print("two songs:", type(error).__name__, "at", str(error).split("Name:'")[1].split("'")[0])
    assert "Reshape" in str(error)
else:
    raise SystemExit(f"two songs give {two.shape} now")
PY
"$folder/venv/bin/python" "$folder/ask.py"
