#!/bin/sh
# transformers 5.9 gave the parts of its Audio Spectrogram Transformer (AST) other names: encoder.layer.0.attention.attention.query
# became layers.0.attention.q_proj, and so on. `from_pretrained` renames what it reads and says nothing. A state dict that
# somebody saved with torch, as music models with an AST inside are published, isn't renamed: `load_state_dict` refuses every
# tensor of every layer, and with `strict=False` leaves them random without an error.
#
# Seen with transformers 5.8.0 and 5.24.0 (torch 2.14.1): 16 tensors of a layer's 16 are missing, 0 after from_pretrained; with
# strict=False the outputs differ.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for version in 5.8.0 5.24.0; do
    python3 -m venv "$folder/$version"
    "$folder/$version/bin/pip" install -q torch==2.14.1 numpy==2.4.6 "transformers==$version"
done
cat >"$folder/ask.py" <<'PY'
import sys

import torch
from transformers import ASTConfig, ASTModel

config = ASTConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, max_length=64, num_mel_bins=32)
torch.manual_seed(0)
heard = torch.randn(1, 64, 32)
if sys.argv[1] == "write":
    model = ASTModel(config).eval()
    model.save_pretrained(sys.argv[2])
    with torch.no_grad():
        torch.save([model.state_dict(), heard, model(heard).pooler_output], sys.argv[2] + "/state.pt")
    print("written:", next(name for name in model.state_dict() if "quer" in name or "q_proj" in name))
else:
    state, heard, expected = torch.load(sys.argv[2] + "/state.pt")
    torch.manual_seed(1)
    model = ASTModel(config).eval()
    missing = model.load_state_dict(state, strict=False).missing_keys
    own = [name for name in model.state_dict() if ".0." in name]
    renamed = ASTModel.from_pretrained(sys.argv[2]).eval()
    with torch.no_grad():
        by_torch, by_library = model(heard).pooler_output, renamed(heard).pooler_output
    print(f"load_state_dict: {len(missing)} of the layer's {len(own)} tensors missing, e.g. {missing[0]}")
    print(f"outputs off by {float((by_torch - expected).abs().max()):.2g}; after from_pretrained by "
          f"{float((by_library - expected).abs().max()):.2g}")
    assert sorted(missing) == sorted(own), "names are the same again"
    assert (by_torch - expected).abs().max() > 1e-3
    torch.testing.assert_close(by_library, expected)
PY
mkdir "$folder/model"
"$folder/5.8.0/bin/python" "$folder/ask.py" write "$folder/model"
"$folder/5.24.0/bin/python" "$folder/ask.py" read "$folder/model"
