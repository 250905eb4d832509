#!/bin/sh
# transformers 5.24.0 says that accelerate 1.1.0 or later is enough (`accelerate>=1.1.0` in its extras, and its own check when a
# Trainer is made). Its Trainer asks accelerate for an argument that came with 1.3.0: with 1.1.0 and 1.2.1 fine-tuning a music
# tagger ends in a TypeError at once, though pip and transformers are content with what is installed.
#
# Seen with torch 2.14.1 and an Audio Spectrogram Transformer: accelerate 1.2.1 raises "Accelerator.unwrap_model() got an
# unexpected keyword argument 'keep_torch_compile'"; 1.3.0 trains a step.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torch==2.14.1 numpy==2.4.6 transformers==5.24.0 accelerate==1.2.1
"$folder/venv/bin/pip" check
cat >"$folder/tune.py" <<'PY'
import sys

import accelerate
import torch
from transformers import ASTConfig, ASTForAudioClassification, Trainer, TrainingArguments

config = ASTConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, max_length=64, num_mel_bins=32)
songs = [{"input_values": torch.randn(64, 32), "labels": torch.tensor(number % 2)} for number in range(4)]
given = TrainingArguments(sys.argv[1], max_steps=1, report_to=[], save_strategy="no", use_cpu=True, disable_tqdm=True)
try:
    trained = Trainer(ASTForAudioClassification(config), given, train_dataset=songs).train()
except TypeError as error:
    print("accelerate", accelerate.__version__, "TypeError:", error)
    assert accelerate.__version__ == "1.2.1", "newer ones should train"
    assert "keep_torch_compile" in str(error)
else:
    print("accelerate", accelerate.__version__, "steps:", trained.global_step)
    assert accelerate.__version__ == "1.3.0", "1.2.1 trains now"
PY
"$folder/venv/bin/python" "$folder/tune.py" "$folder/out"
"$folder/venv/bin/pip" install -q accelerate==1.3.0
"$folder/venv/bin/python" "$folder/tune.py" "$folder/out"
