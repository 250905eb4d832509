#!/bin/sh
# torchaudio 2.11.1 can't be imported beside torch 2.11.0, the torch of its own version: its library asks for a symbol that only
# later releases of torch have. Neither package's metadata says so, and pip installs the two together without a word. With
# torchaudio 2.11.0 all is well. (Linux, x86-64, Python 3.11.)
#
# Seen: OSError: Could not load this library: .../torchaudio/lib/libtorchaudio.so, for an undefined symbol
# torch_exception_get_what_without_backtrace.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torch==2.11.0 torchaudio==2.11.1 numpy==2.4.2
"$folder/venv/bin/pip" check
cat >"$folder/load.py" <<'PY'
import sys

try:
    import torchaudio
except OSError as error:
    print(f"{error.__class__.__name__}: {str(error).split(':')[0]}; because of {str(error.__cause__).split(': ')[-1]}")
    sys.exit(1)
print("imported torchaudio", torchaudio.__version__)
PY
if "$folder/venv/bin/python" "$folder/load.py"; then
    echo "torchaudio 2.11.1 is imported beside torch 2.11.0 now"
    exit 1
fi
"$folder/venv/bin/pip" install -q torchaudio==2.11.0
"$folder/venv/bin/python" "$folder/load.py"
