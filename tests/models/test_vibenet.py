"""VibeNet against onnxruntime on real music, its front end against plain numpy, and its values explained.

Needs `pip install --no-deps vibenet==0.1.0 stempeg==0.2.6`, as CI does.
"""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from musiclime_torch.basics.errors import InputError
from musiclime_torch.commands.models import load_model
from musiclime_torch.explanation.explainer import explain
from musiclime_torch.models import vibenet
from musiclime_torch.models.vibenet import FILE, VibeNet, load_vibenet
from musiclime_torch.song.audio.recording import resample
from musiclime_torch.song.track import Track, load_track

needs_weights = pytest.mark.skipif(
    any(find_spec(name) is None for name in ("vibenet", "stempeg")), reason="vibenet or stempeg isn't installed"
)


def weights() -> Path:
    return Path(find_spec("vibenet").origin).parent / FILE


@pytest.fixture(scope="module")
def model() -> VibeNet:
    return load_vibenet()


@pytest.fixture(scope="module")
def song() -> Track:
    """Seven seconds of drums, bass, vocals and the rest."""
    return load_track(next((Path(find_spec("stempeg").origin).parent / "data").glob("*.stem.mp4")))


@pytest.fixture(scope="module")
def waves(song: Track) -> torch.Tensor:
    """The song, and each of its stems."""
    stems = resample(song.stems.mean(1), song.sample_rate, 16000)
    return torch.cat([stems.sum(0)[None], stems])


def slaney_bank() -> np.ndarray:
    """128 triangles between 0 and 8 kHz, even on Slaney's scale, each of area one."""
    mel = np.linspace(0, 15 + np.log(8) / (np.log(6.4) / 27), 130)
    edges = np.where(mel < 15, mel * 200 / 3, 1000 * np.exp((mel - 15) * np.log(6.4) / 27))
    frequencies = np.arange(513) * 16000 / 1024
    low, middle, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rise, fall = (frequencies - low) / (middle - low), (high - frequencies) / (high - middle)
    return np.clip(np.minimum(rise, fall), 0, None) * 2 / (high - low)


def hear(wave: np.ndarray) -> np.ndarray:
    wave = np.pad(wave.astype(np.float64), (0, max(640 - len(wave), 0)))
    frames = np.lib.stride_tricks.sliding_window_view(wave, 640)[::320]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(640) / 640)
    power = np.abs(np.fft.rfft(frames * window, 1024)) ** 2
    level = 10 * np.log10(np.maximum(slaney_bank() @ power.T, 1e-10))
    return np.maximum(level, level.max() - 80)


def judge(wave: np.ndarray) -> np.ndarray:
    """The file's own graph on these features, and what the package makes of its outputs."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(weights()), providers=["CPUExecutionProvider"])
    outputs = session.run(None, {"x": hear(wave)[None].astype(np.float32)})[0][0]
    return finish(outputs)


def finish(outputs: np.ndarray) -> np.ndarray:
    """Acousticness, instrumentalness and liveness are likelihoods; danceability, energy, speechiness and valence are cut."""
    likely = np.array([True, False, False, True, True, False, False])
    return np.where(likely, 1 / (1 + np.exp(-outputs)), np.clip(outputs, 0, 1))


@needs_weights
def test_features_are_those_of_plain_numpy(model: VibeNet, waves: torch.Tensor):
    for wave in (waves[0], waves[1, :500], torch.zeros(9000)):
        found = model.hear(wave[None])[0].numpy()
        expected = hear(wave.numpy())
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, atol=5e-3)


@needs_weights
def test_values_are_those_of_onnxruntime_on_real_music(model: VibeNet, waves: torch.Tensor):
    found = model(waves[:, None]).detach().numpy()
    expected = np.stack([judge(wave.numpy()) for wave in waves])
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert found.std(0).max() > 0.1  # stems differ, so that agreement says something


@needs_weights
def test_the_network_is_the_graph(model: VibeNet):
    import onnxruntime

    session = onnxruntime.InferenceSession(str(weights()), providers=["CPUExecutionProvider"])
    features = 20 * torch.randn(1, 128, 77, generator=torch.Generator().manual_seed(0)) - 40
    expected = session.run(None, {"x": features.numpy()})[0]
    np.testing.assert_allclose(model.judge(features).detach().numpy(), expected, atol=1e-4)


@needs_weights
def test_rows_do_not_depend_on_each_other(model: VibeNet, waves: torch.Tensor, monkeypatch: pytest.MonkeyPatch):
    alone = model(waves[:, None])
    monkeypatch.setattr(vibenet, "CPU_ROWS", 3)
    torch.testing.assert_close(model(waves[:, None]), alone, atol=1e-5, rtol=0)
    torch.testing.assert_close(model(waves.flip(0)[:, None]).flip(0), alone, atol=1e-5, rtol=0)


@needs_weights
def test_values_are_explained_in_their_own_units(song: Track, waves: torch.Tensor):
    model = load_model("vibenet")
    explanation = explain(model, song, segments=1, n_samples=16, target="acousticness")
    assert explanation.space == "raw"
    assert explanation.classes == vibenet.CLASSES
    expected = model(waves[:1, None])[0].detach().double()
    assert torch.allclose(explanation.output_song[:7], expected, atol=0.02)
    with pytest.raises(InputError, match="outputs that are regression can't be shown as probability: use raw"):
        explain(model, song, space="probability")


def test_outputs_beyond_the_values_are_brought_back(monkeypatch: pytest.MonkeyPatch):
    model, outputs = VibeNet(), torch.tensor([[-3.0] * 7, [3.0] * 7, [0.4] * 7])
    for row in outputs:
        monkeypatch.setattr(model, "judge", lambda features, row=row: row[None])
        np.testing.assert_allclose(model(torch.zeros(1, 1, 700))[0].numpy(), finish(row.numpy()), atol=1e-6)


@needs_weights
def test_no_random_state_is_moved():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    load_vibenet()
    assert torch.equal(torch.get_rng_state(), before)


def test_a_package_that_is_missing_or_broken_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(vibenet, "find_weights", lambda package, requirement: tmp_path)
    (tmp_path / FILE.parent).mkdir()
    with pytest.raises(InputError, match=r"efficientnet_model\.onnx' can't be read as ONNX"):
        load_vibenet()
    (tmp_path / FILE).write_bytes(b"no ONNX")
    with pytest.raises(InputError, match=r"efficientnet_model\.onnx' can't be read as ONNX"):
        load_vibenet()
    (tmp_path / FILE).write_bytes(b"")
    with pytest.raises(InputError, match=r"doesn't hold VibeNet's weights .*: run pip install --force-reinstall --no-deps"):
        load_vibenet()
    monkeypatch.undo()
    monkeypatch.setattr("musiclime_torch.models.checkpoints.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r'run pip install --no-deps "vibenet==0\.1\.0"'):
        load_model("vibenet")
