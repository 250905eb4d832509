"""What one pass of a model may return and raise; batches and windows are in `test_asking.py`."""

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from models import Late
from pretended_cuda import pretended_cuda
from torch import nn
from transformers.modeling_outputs import SequenceClassifierOutput

from musiclime_torch.basics.errors import InputError
from musiclime_torch.explanation.explainer import explain
from musiclime_torch.models.contract import TokenBatch
from musiclime_torch.models.subject import describe_model
from musiclime_torch.song.track import Track
from musiclime_torch.variants.forward import fill_up, run_model
from musiclime_torch.variants.probe import Probe, Sources
from musiclime_torch.variants.sound import gate_stems


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


class Listening(Late):
    """A linear layer is what can be compiled in its encoder of sound."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.listen = nn.Linear(4, 4)

    def encode_audio(self, audio: torch.Tensor) -> torch.Tensor:
        return self.listen(super().encode_audio(audio))


class Shapes:
    """A compiler that keeps what it is given as it is, and notes the number of rows; `most` of them fit into memory."""

    def __init__(self, most: int = 1000) -> None:
        self.rows: list[int] = []
        self.most = most

    def __call__(self, graph: torch.fx.GraphModule, inputs: list[Any]) -> Callable[..., Any]:
        rows = next(
            len(value) for value in inputs if isinstance(value, torch.Tensor) and not isinstance(value, nn.Parameter)
        )
        self.rows.append(rows)

        def run(*given: Any) -> Any:
            if rows > self.most:
                raise torch.OutOfMemoryError("CUDA out of memory.")
            return graph(*given)

        return run


@pytest.fixture
def fresh_compiler() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@pytest.mark.usefixtures("fresh_compiler")
@pytest.mark.parametrize(
    ("design", "most", "shapes"), [("crossed", 1000, [12]), ("joint", 1000, [12]), ("crossed", 6, [12, 6])]
)
def test_a_compiled_encoder_meets_one_shape(track: Track, design: str, most: int, shapes: list[int]):
    """The two ends and every last batch are filled up: another number of rows would be compiled again."""
    compiled, plain, compiler = Listening(), Listening(), Shapes(most)
    compiled.listen.compile(backend=compiler, dynamic=False)
    size = (40, 16) if design == "crossed" else 40
    given = {"segments": 3, "design": design, "n_samples": size, "batch_size": 12}
    there, here = explain(compiled, track, **given), explain(plain, track, **given)
    assert compiler.rows == shapes
    assert torch.allclose(there.attributions, here.attributions, atol=1e-5)
    # Rows that only fill up are no passes.
    assert (there.audio_passes, there.n_variants) == (here.audio_passes, here.n_variants)


@pytest.mark.usefixtures("fresh_compiler")
def test_a_model_that_is_compiled_as_a_whole_meets_one_shape(track: Track):
    class Loudness(nn.Module):
        def forward(self, audio: torch.Tensor) -> torch.Tensor:
            return torch.stack([audio.abs().mean((1, 2)), audio.square().mean((1, 2))], 1)

    given = {"modalities": ("audio",), "sample_rate": 8000, "segments": 4, "n_samples": 40, "batch_size": 16}
    compiler = Shapes()
    compiled = explain(torch.compile(Loudness(), backend=compiler, dynamic=False), track, **given)
    assert compiler.rows == [16]
    assert torch.allclose(compiled.attributions, explain(Loudness(), track, **given).attributions, atol=1e-6)


def test_what_isnt_compiled_gets_no_row_more(track: Track):
    model = Listening()
    explanation = explain(model, track, segments=3, n_samples=(40, 16), batch_size=12)
    assert model.encoded["audio"] == explanation.audio_passes


def test_texts_and_token_batches_are_filled_up_with_their_last_row():
    batch = TokenBatch(torch.rand(2, 3, 4), torch.tensor([[True] * 3, [False] * 3]))
    filled = fill_up(batch, 5)
    assert torch.equal(filled.embeddings[:2], batch.embeddings)
    assert torch.equal(filled.embeddings[2:], batch.embeddings[1:].expand(3, -1, -1))
    assert filled.attended.tolist() == [[True] * 3] + [[False] * 3] * 4
    assert filled.positions is None
    placed = fill_up(TokenBatch(batch.embeddings, batch.attended, torch.tensor([[0, 1, 2], [0, 2, 3]])), 3)
    assert placed.positions.tolist() == [[0, 1, 2], [0, 2, 3], [0, 2, 3]]
    assert fill_up(["a", "b"], 4) == ["a", "b", "b", "b"]
    assert fill_up(["a", "b"], 2) == ["a", "b"]


@pytest.mark.parametrize(("benchmark", "rows"), [(True, 64), (False, 5)])
def test_cudnn_tries_its_kernels_out_for_one_shape(monkeypatch, benchmark: bool, rows: int):
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", benchmark)
    seen: list[int] = []

    def judge(audio: torch.Tensor) -> torch.Tensor:
        seen.append(len(audio))
        return audio.mean(2)

    subject = describe_model(judge, sample_rate=8000, classes=None, output_kind=None, modalities=("audio",))
    with pretended_cuda():
        stems = torch.randn(1, 1, 100, device="cuda")
        windows = gate_stems(stems, None, [0.0, 100 / 8000], 8000, None)
        probe = Probe(subject, Sources(windows, 1, 1, None, None, {}), (0,), 1, torch.device("cuda"), 64)
        outputs = run_model(probe, (stems.expand(5, -1, -1),), 5)
    assert (seen, len(outputs)) == ([rows], 5)
