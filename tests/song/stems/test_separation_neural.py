"""Demucs: safe loading, its laws, its cache. The network is a tiny one with random weights."""

import json
import pickle
import random
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from soundfiles import make_noise

from musiclime_torch.basics.errors import InputError
from musiclime_torch.models.care import keeping_random_states
from musiclime_torch.song.audio.recording import Recording, hash_samples
from musiclime_torch.song.stems import weights
from musiclime_torch.song.stems.separation import default_folder, separate

KWARGS = {
    "sources": ["drums", "bass", "other", "vocals"],
    "channels": 8,
    "t_layers": 1,
    "t_heads": 2,
    "bottom_channels": 32,
    "depth": 4,
    "t_sin_random_shift": 200,
    "segment": {"_type": "fraction", "numerator": 39, "denominator": 20},
}


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    from demucs.htdemucs import HTDemucs

    with keeping_random_states():
        torch.manual_seed(0)
        return HTDemucs(**{key: value for key, value in KWARGS.items() if key != "segment"}).state_dict()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, state: dict[str, torch.Tensor]) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    (folder / "config.json").write_text(json.dumps({"class": "HTDemucs", "kwargs": KWARGS}))
    save_file(state, folder / "weights.safetensors")
    return folder


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """A tiny network is a thousand tiny steps: on a busy machine two threads wait for each other after each of them."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def write_bag(folder: Path, state: dict[str, torch.Tensor], klass: str = "demucs.htdemucs.HTDemucs") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "htdemucs.yaml").write_text("models: ['abc123']\n")
    save_file(state, folder / "abc123.safetensors", {"klass": klass, "args": "[]", "kwargs": json.dumps(KWARGS)})
    return folder


@pytest.fixture(autouse=True)
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("MUSICLIME_CACHE", str(tmp_path / "kept"))
    return tmp_path / "hub"


def record(channels: int = 2, rate: int = 44100, seconds: float = 2.5) -> Recording:
    samples = torch.from_numpy(make_noise(seconds, rate, channels))
    return Recording(samples, rate, content_hash=hash_samples(samples, rate))


@pytest.mark.parametrize(("channels", "rate"), [(2, 44100), (1, 22050)])
def test_stems_sum_to_the_song(folder: Path, channels: int, rate: int, tmp_path: Path):
    song = record(channels, rate)
    stems, names, note = separate(song, f"demucs:{folder}", "cpu", tmp_path / "cache")
    assert names == ("drums", "bass", "other", "vocals", "residual")
    assert stems.shape == (5, *song.samples.shape)
    assert (stems.sum(0) - song.samples).abs().max() < 1e-6
    assert note == f"demucs from {folder.name!r}, as asked"


def test_equal_to_demucs_own_interface(folder: Path):
    from demucs.api import Separator

    song = record()
    model = weights.folder_weights(folder).load()
    own = Separator.__new__(Separator)
    own._model, own._samplerate, own._audio_channels = model, 44100, 2
    own.update_parameter(
        device="cpu",
        shifts=0,
        overlap=0.25,
        split=True,
        segment=None,
        jobs=0,
        progress=False,
        callback=None,
        callback_arg=None,
    )
    random.seed(0)
    # Demucs adds the song's mean to every stem; here it is the residual's.
    _, expected = own.separate_tensor(song.samples)
    stems, names, _ = separate(song, f"demucs:{folder}", "cpu", None)
    for name, stem in zip(names[:4], stems, strict=False):
        torch.testing.assert_close(stem, expected[name] - song.samples.mean(), rtol=1e-4, atol=1e-5)


def states() -> tuple[Any, ...]:
    return random.getstate(), np.random.get_state()[1].tobytes(), torch.get_rng_state().numpy().tobytes()


def test_random_states_stay_and_results_repeat(folder: Path, tmp_path: Path):
    # Beartype draws from Python's generator to pick what it checks, so its states are compared with it put aside.
    random.seed(5)
    song = record(seconds=1.0)
    first, _, _ = separate(song, f"demucs:{folder}", "cpu", tmp_path / "a")
    random.seed(6)
    torch.manual_seed(3)
    before = states()[1:]
    second, _, _ = separate(song, f"demucs:{folder}", "cpu", tmp_path / "b")
    assert states()[1:] == before
    assert torch.equal(first, second)


def test_silence_stays_finite(folder: Path):
    song = Recording(torch.zeros(2, 44100), 44100)
    stems, _, _ = separate(song, f"demucs:{folder}", "cpu", None)
    assert stems.isfinite().all()
    assert stems.sum(0).abs().max() < 1e-6


def count_loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    loads: list[str] = []
    build = weights._build
    monkeypatch.setattr(weights, "_build", lambda name, *rest: loads.append(name) or build(name, *rest))
    return loads


def test_stems_are_kept_and_told_apart(
    folder: Path, state: dict[str, torch.Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    loads = count_loads(monkeypatch)
    song, asked = record(seconds=1.0), f"demucs:{folder}"
    first, names, note = separate(song, asked, "cpu", None)
    again = separate(song, asked, "cpu", None)
    assert len(loads) == 1
    assert torch.equal(first, again[0])
    assert again[1:] == (names, note)
    assert [path.suffix for path in default_folder().iterdir()] == [".safetensors"]
    separate(record(seconds=1.1), asked, "cpu", None)
    assert len(loads) == 2
    other = write_bag(tmp_path / "other", {key: value * 1.01 for key, value in state.items()})
    separate(song, f"demucs:{other}", "cpu", None)
    assert len(loads) == 3
    assert len(list(default_folder().iterdir())) == 3


@pytest.mark.parametrize("harm", ["cut", "text", "shape", "nan", "names"])
def test_a_broken_cache_entry_is_made_again(folder: Path, monkeypatch: pytest.MonkeyPatch, harm: str):
    loads = count_loads(monkeypatch)
    song = record(seconds=1.0)
    first, _, _ = separate(song, f"demucs:{folder}", "cpu", None)
    (entry,) = default_folder().iterdir()
    names = json.dumps(KWARGS["sources"])
    good = {"stems": torch.zeros(4, 2, 44100)}
    if harm == "cut":
        entry.write_bytes(entry.read_bytes()[:1000])
    elif harm == "text":
        entry.write_text("hello")
    elif harm == "shape":
        save_file({"stems": torch.zeros(4, 2, 5)}, entry, {"names": names})
    elif harm == "nan":
        save_file({"stems": good["stems"] / 0}, entry, {"names": names})
    else:
        save_file(good, entry)
    again, _, _ = separate(song, f"demucs:{folder}", "cpu", None)
    assert len(loads) == 2
    assert torch.equal(first, again)


def test_a_cache_that_cannot_be_written_to_costs_a_warning(folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    (tmp_path / "file").write_text("in the way")
    stems, _, _ = separate(record(seconds=1.0), f"demucs:{folder}", "cpu", tmp_path / "file" / "cache")
    assert len(stems) == 5
    assert "weren't kept" in caplog.text


def test_cache_folder_by_environment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("MUSICLIME_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert default_folder() == Path("/x/musiclime_torch/stems")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_folder() == Path.home() / ".cache/musiclime_torch/stems"


class Trap:
    def __reduce__(self) -> tuple[Any, ...]:
        return pytest.fail, ("a pickle was run",)


def test_pickles_and_foreign_classes_are_not_run(tmp_path: Path, state: dict[str, torch.Tensor]):
    config = {"class": "HTDemucs", "kwargs": KWARGS}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "weights.th").write_bytes(pickle.dumps({"state": Trap()}))
    with pytest.raises(InputError):
        separate(record(seconds=0.2), f"demucs:{tmp_path}", "cpu", None)
    torch.save({"state": Trap()}, tmp_path / "weights.th")
    with pytest.raises(InputError, match="pickle of more than tensors"):
        separate(record(seconds=0.2), f"demucs:{tmp_path}", "cpu", None)
    for name in ("subprocess.Popen", "os.system", "demucs.demucs.Demucs", "evil.HTDemucs"):
        bag = write_bag(tmp_path / "bag", state, name)
        with pytest.raises(InputError, match="only HTDemucs and HDemucs"):
            separate(record(seconds=0.2), f"demucs:{bag}", "cpu", None)


def test_plain_tensors_in_a_pickle_are_loaded(tmp_path: Path, state: dict[str, torch.Tensor]):
    (tmp_path / "config.json").write_text(json.dumps({"class": "HTDemucs", "kwargs": KWARGS}))
    torch.save(state, tmp_path / "weights.th")
    loaded = weights.folder_weights(tmp_path).load()
    assert not loaded.training
    assert float(loaded.segment) == 1.95


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("readme.txt", "hello", "neither a config.json nor one bag"),
        ("config.json", json.dumps({"class": "HTDemucs", "kwargs": KWARGS}), "no weights.safetensors"),
        ("a.yaml", "models: ['zzz']", "lacks 'zzz.safetensors'"),
        ("a.yaml", "models: ['../../etc/passwd']", "names no models"),
        ("a.yaml", "models: !!python/object/apply:os.system ['false']", "can't be read"),
        ("a.yaml", "[", "can't be read"),
    ],
)
def test_folders_without_a_model_are_explained(tmp_path: Path, name: str, content: str, reason: str):
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=reason):
        separate(record(seconds=0.2), f"demucs:{tmp_path}", "cpu", None)


@pytest.mark.parametrize("config", ["{", "[]", "{}", '{"class": "HTDemucs", "kwargs": {"channels": 4, "sources": ["a"]}}'])
def test_configs_that_do_not_fit_are_explained(tmp_path: Path, config: str, state: dict[str, torch.Tensor]):
    (tmp_path / "config.json").write_text(config)
    save_file(state, tmp_path / "weights.safetensors")
    with pytest.raises(InputError, match="can't be loaded"):
        separate(record(seconds=0.2), f"demucs:{tmp_path}", "cpu", None)


def test_weights_in_the_hub_cache_are_the_default(
    hub: Path, state: dict[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch
):
    repository = hub / "models--adefossez--HTDemucs"
    write_bag(repository / "snapshots" / "c0ffee", state)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("c0ffee")
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: pytest.fail("asked the network"))
    for asked in (None, "demucs"):
        _, names, note = separate(record(seconds=0.5), asked, "cpu", None)
        assert names[:4] == ("drums", "bass", "other", "vocals")
        assert note.startswith("demucs (htdemucs), ")
    (repository / "snapshots" / "c0ffee" / "abc123.safetensors").unlink()
    assert weights.cached_weights() is None


@pytest.fixture
def silent_hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")
        monkeypatch.setattr(
            "huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE",
            f"http://127.0.0.1:{server.getsockname()[1]}/{{repo_id}}/resolve/{{revision}}/{{filename}}",
        )
        yield


def test_a_hub_that_does_not_answer_is_given_up_quickly(silent_hub: None, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("musiclime_torch.models.checkpoints.PATIENCE", 0.5)
    begun = time.monotonic()
    with pytest.raises(InputError, match="use separator hpss"):
        separate(record(seconds=0.2), "demucs", "cpu", None)
    assert time.monotonic() - begun < 5


def test_a_hub_that_cannot_be_reached_is_given_up_quickly(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(
        "huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", "http://127.0.0.1:9/{repo_id}/resolve/{revision}/{filename}"
    )
    begun = time.monotonic()
    with pytest.raises(InputError, match="can't be fetched"):
        separate(record(seconds=0.2), "demucs", "cpu", None)
    assert time.monotonic() - begun < 5


def test_every_piece_of_the_song_moves_the_bar(folder: Path, tmp_path: Path):
    shares: list[float] = []
    samples = 0.1 * torch.randn(2, 6 * 16000, generator=torch.Generator().manual_seed(0))
    separate(Recording(samples, 16000), f"demucs:{folder}", "cpu", tmp_path, shares.append)
    assert len(shares) >= 3
    assert sum(shares) == pytest.approx(1.0)
