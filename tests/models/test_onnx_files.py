"""ONNX files: what a graph says of itself, batches of any and of a certain size, and what is refused."""

import hashlib
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from onnx_graphs import write_graph
from warm import run_warm

from musiclime_torch.basics.errors import InputError
from musiclime_torch.commands.models import load_model
from musiclime_torch.explanation.explainer import explain
from musiclime_torch.models import onnx_files
from musiclime_torch.models.onnx_files import OnnxModel, read_metadata
from musiclime_torch.models.subject import describe_model
from musiclime_torch.song.lyrics.files import read_text
from musiclime_torch.song.track import Track

RATE = {"sample_rate": "8000"}
WEIGHTS = torch.tensor([1.0, -2.0, 0.5])


def draw(rows: int, channels: int = 1, frames: int = 4000) -> torch.Tensor:
    return torch.randn(rows, channels, frames, generator=torch.Generator().manual_seed(0))


def power(audio: torch.Tensor) -> torch.Tensor:
    return audio.square().sum((1, 2))[:, None] * WEIGHTS


@pytest.mark.parametrize("shape", [("batch", "frame"), (1, "frame"), (4, "frame"), ("frame",), ("batch", 1, "frame")])
def test_rows_are_run_as_many_at_a_time_as_the_graph_takes(shape, tmp_path: Path):
    rows = shape[0] if isinstance(shape[0], int) else 1 if len(shape) == 1 else "batch"
    model = OnnxModel(write_graph(tmp_path / "m.onnx", shape, rows=rows, metadata=RATE))
    audio = draw(6)
    torch.testing.assert_close(model(audio), power(audio), rtol=1e-5, atol=1e-3)
    assert (model.channels, model.modalities, model.max_frames) == (1, ("audio",), None)


def test_a_graph_that_is_made_for_one_row_inside_is_looped(tmp_path: Path):
    model = OnnxModel(write_graph(tmp_path / "m.onnx", baked=1, metadata=RATE))
    audio = draw(3)
    torch.testing.assert_close(model(audio), power(audio), rtol=1e-5, atol=1e-3)
    torch.testing.assert_close(model(audio[:1]), power(audio[:1]), rtol=1e-5, atol=1e-3)


def test_an_output_of_one_row_means_one_row(tmp_path: Path):
    assert OnnxModel(write_graph(tmp_path / "m.onnx", rows=1, metadata=RATE))._rows == 1
    with pytest.raises(InputError, match="have 1 and 2 rows: export one batch"):
        OnnxModel(write_graph(tmp_path / "n.onnx", (2, "frame"), words=(1,)))


def test_channels_and_lengths_are_read_off_the_shape(tmp_path: Path):
    model = OnnxModel(write_graph(tmp_path / "m.onnx", ("batch", 2, 4000), metadata=RATE))
    assert (model.channels, model.max_frames) == (2, 4000)
    assert describe_model(model, sample_rate=None, classes=None, output_kind=None, modalities=None).max_seconds == 0.5
    audio = draw(2, 2, 3000)
    torch.testing.assert_close(model(audio), power(audio), rtol=1e-5, atol=1e-3)
    with pytest.raises(InputError, match=r"m\.onnx takes 4000 frames at a time, got 5000"):
        model(draw(1, 2, 5000))


def test_a_rate_that_the_caller_gives_makes_the_length_of_a_window(tmp_path: Path):
    model = OnnxModel(write_graph(tmp_path / "m.onnx", ("batch", 4000)))
    about = {"classes": None, "output_kind": None, "modalities": None}
    assert describe_model(model, sample_rate=4000, **about).max_seconds == 1.0
    with pytest.raises(InputError, match="give sample_rate, such as 16000"):
        describe_model(model, sample_rate=None, **about)
    with pytest.raises(InputError, match=r"max_frames=4000, 0\.042 s at 96000 Hz"):
        describe_model(model, sample_rate=96000, **about)


def test_metadata_names_what_a_graph_cannot_say(tmp_path: Path):
    said = {**RATE, "classes": '["sad", "glad", "mad"]', "output_kind": "multilabel", "shortest_seconds": "0.5"}
    model = OnnxModel(write_graph(tmp_path / "m.onnx", metadata={**said, "author": "me"}))
    assert (model.sample_rate, model.classes, model.output_kind) == (8000, ("sad", "glad", "mad"), "multilabel")
    assert (model.shortest_seconds, model.max_seconds) == (0.5, None)


@pytest.mark.parametrize(
    "said", [{"sample_rate": "fast"}, {"classes": "[1, 2]"}, {"output_kind": "vibes"}, {"classes": "a,,b"}, {"classes": "["}]
)
def test_metadata_that_cannot_be_read_is_named(said):
    (key, value), *_ = said.items()
    with pytest.raises(InputError) as caught:
        read_metadata("m.onnx", said)
    assert str(caught.value) == f"the metadata of m.onnx has {key}={value!r}, which can't be read."


def test_outputs_of_one_number_each_are_classes_by_name(tmp_path: Path):
    path = write_graph(tmp_path / "m.onnx", metadata=RATE, outputs=("sad", "glad", "mad"))
    model = OnnxModel(path)
    audio = draw(3)
    assert model.classes == ("sad", "glad", "mad")
    torch.testing.assert_close(model(audio), power(audio), rtol=1e-5, atol=1e-3)
    some = load_model(f"{path}#outputs=mad+sad")
    torch.testing.assert_close(some(audio), power(audio)[:, [2, 0]], rtol=1e-5, atol=1e-3)
    assert some.classes == ("mad", "sad")
    with pytest.raises(InputError, match="has no output 'glum': it has 'sad', 'glad', 'mad'"):
        load_model(f"{path}#outputs=glum")


def test_lyrics_as_strings(tmp_path: Path, track: Track):
    model = load_model(str(write_graph(tmp_path / "m.onnx", words=("batch",), metadata=RATE)))
    audio = draw(2)
    words = torch.tensor([[2.0], [3.0]])
    found = model(audio, ["hold me", "hold me now"])
    torch.testing.assert_close(found, power(audio) + words * WEIGHTS, rtol=1e-5, atol=1e-3)
    assert model.modalities == ("audio", "lyrics")
    column = OnnxModel(write_graph(tmp_path / "c.onnx", words=("batch", 1), metadata=RATE))
    torch.testing.assert_close(column(audio, ["hold me", "hold me now"]), found)
    alone = OnnxModel(write_graph(tmp_path / "n.onnx", None, ("batch",)))
    assert alone.modalities == ("lyrics",)
    # The graph's own splitting knows spaces alone.
    words = replace(track, lyrics=read_text("hold me now my love"))
    explanation = explain(alone, words, n_samples=64, output_kind="regression", target=0)
    assert torch.allclose(explanation.attributions[0], torch.ones(5, dtype=torch.float64), atol=1e-4)


def test_a_song_longer_than_the_graph_is_explained_in_windows(tmp_path: Path, track: Track):
    path = write_graph(tmp_path / "m.onnx", ("batch", 4000), metadata={**RATE, "output_kind": "regression"})
    explanation = explain(load_model(str(path)), track, segments=4, n_samples=128, target=0)
    assert explanation.provenance["model"] == "m.onnx"
    assert explanation.provenance["model_hash"] == hashlib.sha256(path.read_bytes()).hexdigest()
    expected = track.stems.square().sum((1, 2)).sum() / 4
    assert float(explanation.output_song[0]) == pytest.approx(float(power(track.stems.sum(0)[None])[0, 0]) / 4, rel=0.02)
    assert float(explanation.attributions[0].sum()) == pytest.approx(float(expected), rel=0.05)


def test_the_hash_covers_weights_that_lie_beside_the_file(tmp_path: Path):
    path = write_graph(tmp_path / "m.onnx", weights=np.linspace(0, 1, 3000))
    model = onnx.load(path)
    onnx.save(model, path, save_as_external_data=True, location="m.data", size_threshold=64)
    first = OnnxModel(path).weights_hash
    assert first != hashlib.sha256(path.read_bytes()).hexdigest()
    data = bytearray((tmp_path / "m.data").read_bytes())
    data[-1] ^= 1
    (tmp_path / "m.data").write_bytes(data)
    assert OnnxModel(path).weights_hash != first


@pytest.mark.parametrize(("last", "kind"), [("Softmax", "probabilities"), ("Sigmoid", "probabilities"), (None, "logits")])
def test_what_makes_the_outputs_says_what_they_are(last: str | None, kind: str, tmp_path: Path):
    model = OnnxModel(write_graph(tmp_path / "m.onnx", metadata=RATE, last=last))
    assert model.output_kind == kind
    said = {**RATE, "output_kind": "multilabel"}
    assert OnnxModel(write_graph(tmp_path / "n.onnx", metadata=said, last=last)).output_kind == "multilabel"


IDS = helper.make_tensor_value_info("ids", TensorProto.INT64, ["batch", "token"])
MELS = helper.make_tensor_value_info("mels", TensorProto.FLOAT, ["batch", 128, "time"])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"sound": ("batch", 128, "time")}, "takes float of shape (batch, 128, time), which is a spectrogram or features"),
        ({"sound": ("batch", "time", 96)}, "which is a spectrogram or features and not sound: export the model together"),
        ({"sound": ("batch", 768)}, "takes float of shape (batch, 768), which is a spectrogram or features"),
        ({"sound": ("batch", 1, 96, "time")}, "which is a spectrogram or features and not sound"),
        ({"extra": [IDS]}, "takes whole numbers as 'ids', such as token ids, and the file has no tokenizer"),
        ({"extra": [MELS]}, "several inputs that may be audio ('wave', 'mels'): say which, as m.onnx#audio=NAME"),
    ],
)
def test_other_inputs_are_refused_in_a_sentence(given, said, tmp_path: Path):
    with pytest.raises(InputError) as caught:
        OnnxModel(write_graph(tmp_path / "m.onnx", **given))
    assert said in str(caught.value)
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)


def test_inputs_can_be_named(tmp_path: Path):
    path = write_graph(tmp_path / "m.onnx", extra=[MELS])
    with pytest.raises(
        InputError, match=r"m\.onnx also takes 'mels', float of shape \(batch, 128, time\), which is neither"
    ):
        load_model(f"{path}#audio=wave")
    with pytest.raises(InputError, match="has no input 'sound': it has 'wave', 'mels'"):
        load_model(f"{path}#audio=sound")


@pytest.mark.parametrize("name", ["m.onnx", "vibenet"])
def test_a_missing_extra_is_named(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write_graph(tmp_path / "m.onnx")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("musiclime_torch.models.vibenet.find_weights", lambda *_: tmp_path)
    lacking = "onnx" if name == "vibenet" else "onnxruntime"
    monkeypatch.setitem(sys.modules, lacking, None)
    with pytest.raises(InputError) as caught:
        load_model(name)
    assert str(caught.value) == f"this needs {lacking}, which isn't installed: run pip install 'musiclime_torch[onnx]'."


def test_the_graph_runs_where_the_sound_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import onnxruntime

    asked = []
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"])
    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda path, options, providers: asked.append(providers))
    onnx_files._open(tmp_path / "m.onnx", "cuda:1")
    onnx_files._open(tmp_path / "m.onnx", "cpu")
    cpu = "CPUExecutionProvider"
    assert asked == [[("CUDAExecutionProvider", {"device_id": "1"}), cpu], [cpu]]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nowhere.onnx", "there is no file 'nowhere.onnx': give an ONNX file."),
        ("broken.onnx", "'broken.onnx' can't be loaded as ONNX ("),
        ("mels.onnx", "the input 'wave' of mels.onnx takes float of shape (batch, 128, time), which is a spectrogram"),
        ("mels.onnx#input=wave", "setting 'input' after # is not known: use audio, lyrics, outputs."),
    ],
)
def test_on_the_command_line(name, said, tmp_path: Path):
    write_graph(tmp_path / "mels.onnx", ("batch", 128, "time"))
    (tmp_path / "broken.onnx").write_bytes(b"\x00\x01")
    done = run_warm(("demo", "--model", name), tmp_path)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
