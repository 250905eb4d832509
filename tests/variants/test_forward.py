"""What one pass of a model may return and raise; batches and windows are in `test_asking.py`."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn
from transformers.modeling_outputs import SequenceClassifierOutput

from musiclime_torch.basics.errors import InputError
from musiclime_torch.explanation.explainer import explain
from musiclime_torch.song.track import Track


@pytest.mark.parametrize(
    "wrap",
    [
        lambda logits: SimpleNamespace(logits=logits, loss=None),
        lambda logits: SequenceClassifierOutput(logits=logits),
        lambda logits: SequenceClassifierOutput(loss=logits.sum(), logits=logits),
        lambda logits: {"loss": logits.sum(), "logits": logits},
        lambda logits: (logits, logits + 1),
        lambda logits: [logits],
    ],
)
def test_what_libraries_models_return_is_taken(track: Track, wrap: Callable[[torch.Tensor], Any]):
    def judge(audio: torch.Tensor) -> torch.Tensor:
        return torch.stack([audio.abs().mean((1, 2)), audio.square().mean((1, 2))], 1)

    given = {"modalities": ("audio",), "sample_rate": 8000, "segments": 2, "n_samples": 16}
    plain, wrapped = explain(judge, track, **given), explain(lambda audio: wrap(judge(audio)), track, **given)
    assert torch.equal(plain.attributions, wrapped.attributions)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize(
    "layers",
    [(nn.Flatten(), nn.Linear(16000, 2)), (nn.Conv1d(1, 2, 16000), nn.Flatten()), (nn.Flatten(), nn.LayerNorm(16000))],
)
def test_a_model_in_half_precision_is_told_how_to_cast(track: Track, layers: tuple[nn.Module, ...], dtype: torch.dtype):
    model = nn.Sequential(*layers).to(dtype)
    name = str(dtype).removeprefix("torch.")
    with pytest.raises(InputError, match=rf"its weights are {name} and it is given float32: cast its inputs"):
        explain(model, track, modalities=("audio",), sample_rate=8000, n_samples=16)


def test_a_model_in_single_precision_is_told_nothing_of_it(track: Track):
    with pytest.raises(InputError) as refused:
        explain(nn.Linear(3, 2), track, modalities=("audio",), sample_rate=8000, n_samples=16)
    assert "float" not in str(refused.value)
