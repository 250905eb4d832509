"""Files that want to run something when they are read: every loader gets them, and a marker never appears."""

import io
import json
import pickle
import shutil
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from safetensors.torch import save
from tiny_hub import save_ast
from watchdog import time_limit

from musiclime_torch.basics.errors import InputError
from musiclime_torch.commands.models import load_model
from musiclime_torch.explanation.explanation import Explanation
from musiclime_torch.models.ast_roberta import AstRoberta
from musiclime_torch.models.checkpoints import read_bundle, read_state
from musiclime_torch.models.contract import TokenBatch
from musiclime_torch.models.tagger import Tagger
from musiclime_torch.song.stems.separation import cached_stems
from musiclime_torch.song.stems.weights import folder_weights
from musiclime_torch.training.fitting import CHECKPOINTS, Recipe, find_checkpoint, fit
from musiclime_torch.training.songs import Batch


class Touch:
    """Unpickled, it writes a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.marker,)


def make_pickles(marker: Path) -> Iterator[bytes]:
    """The ways in which a pickle gets to `torch.load`."""
    held: tuple[Any, ...] = (
        Touch(marker),
        {"a": Touch(marker)},
        {"state_dict": {"a": Touch(marker)}},
        [torch.ones(2), Touch(marker)],
    )
    for protocol in (0, 2, 4):
        yield from (pickle.dumps(one, protocol=protocol) for one in held)
    for modern in (True, False):
        for one in held:
            buffer = io.BytesIO()
            torch.save(one, buffer, _use_new_zipfile_serialization=modern)
            yield buffer.getvalue()
    buffer = io.BytesIO()
    np.savez(buffer, a=np.array([Touch(marker)], dtype=object))
    yield buffer.getvalue()
    buffer = io.BytesIO()
    np.save(buffer, np.array([Touch(marker)], dtype=object), allow_pickle=True)
    yield buffer.getvalue()
    # A TorchScript archive, by its parts' names.
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(Touch(marker)))
        archive.writestr("archive/constants.pkl", pickle.dumps(Touch(marker)))
        archive.writestr("archive/version", "3\n")
        archive.writestr("archive/code/__torch__.py", f"open({str(marker)!r}, 'w')")
    yield buffer.getvalue()


def make_lying() -> Iterator[bytes]:
    """safetensors whose header says what isn't so."""
    whole = save({"a": torch.ones(4)}, {"klass": "os.system"})
    size = struct.unpack("<Q", whole[:8])[0]
    for claim in (0, 1, size - 1, size + 1, 2**31, 2**63, 2**64 - 1):
        yield struct.pack("<Q", claim) + whole[8:]
    header = json.loads(whole[8 : 8 + size])
    for offsets in ([0, 2**40], [16, 0], [-16, 0], [0, 15], [8, 24]):
        text = json.dumps({"a": {**header["a"], "data_offsets": offsets}}).encode()
        yield struct.pack("<Q", len(text)) + text + whole[8 + size :]
    for shape in ([2**62, 4], [-4], [0], [1e9]):
        text = json.dumps({"a": {**header["a"], "shape": shape}}).encode()
        yield struct.pack("<Q", len(text)) + text + whole[8 + size :]
    yield from (b"", b"{}", whole[:20], whole[:-1], b"\xff" * 4000)


def refuse(load: Callable[[], Any], marker: Path) -> None:
    """One sentence, in time, and nothing run. (An explanation and the like can't come of any of these.)"""
    with time_limit(60), pytest.raises(InputError) as caught:
        load()
    assert "\n" not in str(caught.value)
    assert not marker.exists()


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".bin", ".ckpt", ".th", ".safetensors", ".npz"])
def test_state_dicts(tmp_path: Path, suffix: str):
    marker, path = tmp_path / "ran", tmp_path / f"a{suffix}"
    for data in (*make_pickles(marker), *(make_lying() if suffix == ".safetensors" else ())):
        path.write_bytes(data)
        refuse(lambda: read_state(path), marker)


def test_the_pickles_would_run_if_they_were_let(tmp_path: Path):
    """Or nothing here means anything."""
    marker = tmp_path / "ran"
    ran = 0
    for data in make_pickles(marker):
        try:
            torch.load(io.BytesIO(data), weights_only=False)
        except Exception:
            continue
        finally:
            ran += marker.exists()
            marker.unlink(missing_ok=True)
    assert ran >= 15


@pytest.mark.parametrize("state", ["weights.th", "weights.safetensors"])
def test_demucs_folders(tmp_path: Path, state: str):
    marker = tmp_path / "ran"
    (tmp_path / "config.json").write_text(json.dumps({"class": "HTDemucs", "kwargs": {"sources": ["a"]}}))
    for data in (*make_pickles(marker), *make_lying()):
        (tmp_path / state).write_bytes(data)
        refuse(lambda: folder_weights(tmp_path).load(), marker)
    (tmp_path / state).write_bytes(save({"a": torch.ones(1)}))
    for name in ("os.system", "subprocess.Popen", "demucs.htdemucs.HTDemucs.__init__", "__import__"):
        (tmp_path / "config.json").write_text(json.dumps({"class": name, "kwargs": {"args": f"touch {marker}"}}))
        refuse(lambda: folder_weights(tmp_path).load(), marker)
    (tmp_path / "config.json").unlink()
    (tmp_path / "bag.yaml").write_text(f"models: !!python/object/apply:os.system ['touch {marker}']")
    refuse(lambda: folder_weights(tmp_path).load(), marker)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.safetensors", "tf_model.h5", "flax_model.msgpack"])
def test_folders_of_the_hub(tmp_path: Path, name: str):
    marker, folder = tmp_path / "ran", save_ast(tmp_path / "ast")
    (folder / "model.safetensors").unlink()
    for data in [*make_pickles(marker)][::4] + [*make_lying()][::4]:
        (folder / name).write_bytes(data)
        refuse(lambda: load_model(str(folder), "cpu"), marker)


@pytest.mark.parametrize("type_", ["audio-spectrogram-transformer", "none_of_ours", "clap"])
def test_code_that_comes_with_a_folder_is_not_run(tmp_path: Path, type_: str):
    marker, folder = tmp_path / "ran", save_ast(tmp_path / "ast")
    code = f"open({str(marker)!r}, 'w')\nfrom transformers import ASTConfig as Config, ASTModel as Model\n"
    (folder / "trap.py").write_text(code)
    names = ("AutoConfig", "AutoModel", "AutoModelForAudioClassification", "AutoModelForSequenceClassification")
    names += ("AutoTokenizer", "AutoFeatureExtractor")
    for file in ("config.json", "preprocessor_config.json", "tokenizer_config.json"):
        said = json.loads((folder / file).read_text()) if (folder / file).exists() else {}
        said |= {"auto_map": {name: "trap.Config" if "Config" in name else "trap.Model" for name in names}}
        said |= {"model_type": type_, "trust_remote_code": True} if file == "config.json" else {}
        (folder / file).write_text(json.dumps(said))
    refuse(lambda: load_model(str(folder), "cpu"), marker)


@pytest.mark.parametrize("kind", [Tagger, AstRoberta])
def test_folders_of_our_own(tmp_path: Path, kind: Any):
    marker = tmp_path / "ran"
    described = {"model_type": kind.model_type, "auto_map": {"AutoTokenizer": "trap.Model"}, "classes": ["a"]}
    (tmp_path / "config.json").write_text(json.dumps(described))
    (tmp_path / "trap.py").write_text(f"open({str(marker)!r}, 'w')")
    for data in [*make_pickles(marker)][::3] + [*make_lying()][::3]:
        for name in ("model.safetensors", "pytorch_model.bin"):
            (tmp_path / name).write_bytes(data)
        refuse(lambda: load_model(str(tmp_path), "cpu"), marker)


def test_explanations_and_stems_kept(tmp_path: Path):
    marker = tmp_path / "ran"
    entry = "ab12"
    cached_stems(tmp_path / "cache", entry, (1, 4), lambda: (torch.ones(1, 1, 4), ("a",)))
    (kept,) = (path for path in (tmp_path / "cache").rglob("*") if path.is_file())
    for data in (*make_pickles(marker), *make_lying()):
        path = tmp_path / "a.safetensors"
        path.write_bytes(data)
        refuse(lambda path=path: Explanation.load(path), marker)
        kept.write_bytes(data)
        stems, _ = cached_stems(tmp_path / "cache", entry, (1, 4), lambda: (torch.zeros(1, 1, 4), ("a",)))
        assert not stems.any()
        assert not marker.exists()


class Words(torch.nn.Module):
    """As little as can be trained."""

    modalities, output_kind, classes = ("lyrics",), "logits", ("calm", "wild")

    def __init__(self) -> None:
        super().__init__()
        self.table, self.head = torch.nn.Embedding(8, 4), torch.nn.Linear(4, 2)

    def embed_text(self, ids: torch.Tensor) -> torch.Tensor:
        return self.table(ids)

    def forward(self, text: TokenBatch) -> torch.Tensor:
        return self.head((text.embeddings * text.attended[:, :, None]).mean(1))


class Eight:
    """Songs of two words."""

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> Batch:
        ids, label = torch.tensor([[index % 8, 3 * index % 8]]), torch.eye(2)[[index % 2]]
        return Batch(torch.zeros(1, 1, 0), ids, torch.ones_like(ids).bool(), label, torch.ones_like(label).bool())


def begin_run(folder: Path) -> Path:
    """A run that was killed at its fifth step of six; its last checkpoint."""
    from transformers import TrainerCallback

    class Kill(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step == 5:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(Words(), Eight(), None, RUN, folder, callbacks=(Kill(),))
    last = find_checkpoint(folder / CHECKPOINTS)
    assert last is not None
    assert last.name == "checkpoint-4"
    return last


RUN = Recipe(epochs=3, batch_size=4, save_every=2)


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that was killed."""
    folder = tmp_path_factory.mktemp("begun") / "run"
    begin_run(folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", ["optimizer.pt", "scheduler.pt", "rng_state.pth", "pytorch_model.bin"])
def test_runs_that_go_on(tmp_path: Path, begun: Path, name: str):
    marker, folder = tmp_path / "ran", tmp_path / "run"
    shutil.copytree(begun, folder)
    last = find_checkpoint(folder / CHECKPOINTS)
    assert last is not None
    if name == "pytorch_model.bin":
        (last / "model.safetensors").unlink()
    else:
        assert (last / name).is_file()
    for data in [b"", *make_pickles(marker)][::6]:
        (last / name).write_bytes(data)
        refuse(lambda: fit(Words(), Eight(), None, RUN, folder), marker)
    with pytest.raises(InputError, match=r"checkpoint-4' can't be resumed from .*: remove it, and the run resumes"):
        fit(Words(), Eight(), None, RUN, folder)
    shutil.rmtree(last)
    assert fit(Words(), Eight(), None, RUN, folder).steps == 6


@settings(deadline=None, max_examples=200)
@given(index=st.binary(max_size=200), data=st.binary(max_size=64), footer=st.booleans())
def test_any_bytes_as_a_tensorflow_checkpoint(
    tmp_path_factory: pytest.TempPathFactory, index: bytes, data: bytes, footer: bool
):
    prefix = tmp_path_factory.getbasetemp() / "bundle"
    magic = bytes.fromhex("57fb808b247547db") if footer else b""
    Path(f"{prefix}.index").write_bytes(index + magic)
    Path(f"{prefix}.data-00000-of-00001").write_bytes(data)
    try:
        with time_limit(20):
            read_bundle(str(prefix))
    except InputError as error:
        assert "TensorFlow" in str(error)  # noqa: PT017 - either answer will do
