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


@pytest.mark.parametrize(
    "wrap",
    [
        lambda outputs: outputs.numpy(),
        lambda outputs: {"scores": outputs},
        lambda outputs: {"scores": outputs.numpy(), "names": ["a", "b"]},
        lambda outputs: (outputs.numpy(), None),
    ],
    ids=["numpy", "a dict of one", "a dict of one array", "a tuple of arrays"],
)
def test_arrays_and_dicts_of_one_are_taken(track: Track, wrap: Callable[[torch.Tensor], Any]):
    def judge(audio: torch.Tensor) -> torch.Tensor:
        return torch.stack([audio.abs().mean((1, 2)), audio.square().mean((1, 2))], 1)

    given = {"modalities": ("audio",), "sample_rate": 8000, "segments": 2, "n_samples": 16}
    plain, wrapped = explain(judge, track, **given), explain(lambda audio: wrap(judge(audio)), track, **given)
    assert torch.equal(plain.attributions, wrapped.attributions)


@pytest.mark.parametrize(
    ("wrap", "said"),
    [
        (
            lambda outputs: {"a": outputs, "b": outputs},
            "a dict, not a tensor (batch, class): it has 'a', 'b', so return the one",
        ),
        (
            lambda outputs: SimpleNamespace(scores=outputs),
            "a SimpleNamespace, not a tensor (batch, class): it has scores, so return the one",
        ),
        (
            lambda outputs: outputs.tolist(),
            "a list, not a tensor (batch, class): torch.as_tensor makes one",
        ),
        (lambda outputs: None, "returned a NoneType, not a tensor"),
    ],
)
def test_the_way_out_is_named_for_other_outputs(track: Track, wrap: Callable[[torch.Tensor], Any], said: str):
    def judge(audio: torch.Tensor) -> Any:
        return wrap(torch.stack([audio.mean((1, 2)), -audio.mean((1, 2))], 1))

    with pytest.raises(InputError) as refused:
        explain(judge, track, modalities=("audio",), sample_rate=8000, n_samples=16)
    assert said in str(refused.value)


def test_a_failure_with_two_arguments_names_the_modalities(track: Track):
    def listen(audio: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        return audio.mean((1, 2)) * mask.sum()

    with pytest.raises(InputError, match=r"called with sound and lyrics: .* give modalities=\(\"audio\",\)"):
        explain(listen, track, sample_rate=8000, n_samples=16)
    listen.modalities = ("audio", "lyrics")
    with pytest.raises(InputError) as refused:
        explain(listen, track, sample_rate=8000, n_samples=16)
    assert "called with sound and lyrics" not in str(refused.value)
