"""Models that raise leave the process as it was; two runs of one seed give the same bytes on the CPU."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from models import Additive, Late
from soundfiles import make_noise, write

from musiclime_torch.explainer import explain
from musiclime_torch.track import Track

#: In a process of its own: beartype, which checks our tests, draws from Python's random numbers.
RAISING = """
import random, sys
import numpy as np, torch
sys.path.insert(0, {tests!r})
from models import Late
from musiclime_torch import MusicLIME, Track, explain
from musiclime_torch.captum import KernelShap, Lime
from musiclime_torch.reading.lyrics import parse_lyrics

class Restless(Late):
    '''Draws numbers wherever it is asked, and raises in one place at the third call.'''
    def __init__(self, part, error):
        super().__init__()
        self.inner = torch.nn.ModuleList([torch.nn.Dropout(), torch.nn.BatchNorm1d(3)])
        self.part, self.error, self.calls = part, error, 0
    def _draw(self, part):
        random.random(), np.random.rand(), torch.rand(2)
        assert not self.training and not torch.is_grad_enabled()
        self.calls += part == self.part
        if part == self.part and self.calls == (1 if part in ("tokenize", "embed_text") else 3):
            raise self.error
    def tokenize(self, text):
        random.random(), np.random.rand(), torch.rand(2)
        self._draw("tokenize")
        return super().tokenize(text)
    def embed_text(self, ids):
        self._draw("embed_text")
        return super().embed_text(ids)
    def encode_audio(self, audio):
        self._draw("encode_audio")
        return super().encode_audio(audio)
    def encode_text(self, text):
        self._draw("encode_text")
        return super().encode_text(text)
    def fuse(self, heard, read):
        self._draw("fuse")
        return super().fuse(heard, read)
    def forward(self, audio, text):
        self._draw("forward")
        return super().forward(audio, text)

def flags(model):
    found = [(name, part.training, len(part._forward_hooks), len(part._forward_pre_hooks), len(part._backward_hooks))
             for name, part in model.named_modules()]
    found += [(name, one.requires_grad, one.grad, one._backward_hooks) for name, one in model.named_parameters()]
    return found

def world():
    backends = torch.backends
    return (
        random.getstate(), np.random.get_state()[1].tobytes(), np.random.get_state()[2], torch.get_rng_state().tolist(),
        torch.get_default_dtype(), torch.get_num_threads(), torch.is_grad_enabled(), torch.is_inference_mode_enabled(),
        torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu"), torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(), torch.get_float32_matmul_precision(),
        backends.cudnn.enabled, backends.cudnn.benchmark, backends.cudnn.deterministic, backends.mkldnn.enabled,
        torch.get_default_device(), torch.is_anomaly_enabled(), np.geterr(), sys.getrecursionlimit(), sys.stdout, sys.stderr,
        len(torch.nn.modules.module._global_forward_hooks), len(torch.nn.modules.module._global_forward_pre_hooks),
    )

track = Track(torch.randn(2, 1, 8000), ("a", "b"), 8000, parse_lyrics("hold me now\\nlove me"))
errors = (RuntimeError("no"), KeyboardInterrupt(), SystemExit(3), torch.OutOfMemoryError("no"), GeneratorExit())
joint, precise = dict(design="joint"), dict(precision="bfloat16", baseline="noise", evidence=True)
tried = 0
for part in ("tokenize", "embed_text", "encode_audio", "encode_text", "fuse", "forward"):
    for error in errors:
        for more in ({{}}, joint, dict(weights="shapley"), precise):
            model = Restless(part, error)
            # Flags of parts need not all be the same.
            model.train()
            model.inner[1].eval()
            model.table.requires_grad_(False)
            before = world(), flags(model)
            try:
                explain(model, track, segments=2, n_samples=64, batch_size=8, **more)
            except BaseException as raised:
                tried += 1
            assert world() == before[0], (part, error, more)
            assert flags(model) == before[1], (part, error, more)
for method in (MusicLIME, Lime, KernelShap):
    for error in errors:
        layer = torch.nn.Sequential(torch.nn.Linear(4, 2), torch.nn.Dropout())
        calls = []
        def forward(x):
            random.random(), np.random.rand(), torch.rand(2)
            calls.append(1)
            if len(calls) == 4:
                raise error
            return layer(x)
        before = world(), flags(layer)
        try:
            method(forward).attribute(torch.ones(1, 4), target=0, n_samples=40)
        except BaseException:
            tried += 1
        if method is MusicLIME:
            assert world() == before[0], (method, error)
        assert flags(layer) == before[1], (method, error)
print(tried)
"""


@pytest.mark.slow
def test_a_model_that_raises_leaves_no_hook_no_flag_and_no_random_state_changed():
    script = RAISING.format(tests=str(Path(__file__).parent))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) > 100


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"design": "joint", "baseline": "noise", "until": "top 2"},
        {"design": "bernoulli", "weights": "lime", "ridge": 0.1},
        {"weights": "shapley"},
        {"weights": "shapley", "design": "joint"},
        {"evidence": True, "units": "line", "foil": "calm", "target": "sad"},
        {"precision": "bfloat16"},
    ],
)
def test_one_seed_gives_the_same_bytes_twice(track: Track, tmp_path: Path, options: dict[str, Any]):
    for name in ("one", "two"):
        torch.manual_seed(hash(name) % 2**31)  # which nothing depends on
        explain(Late(), track, segments=3, n_samples=200, seed=11, **options).save(tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    explain(Late(), track, segments=3, n_samples=200, seed=12, **options).save(tmp_path / "other")
    assert (tmp_path / "one").read_bytes() != (tmp_path / "other").read_bytes()


def drop_times(table: Any) -> list[dict[str, Any]]:
    return table.drop_columns([name for name in table.column_names if name == "seconds"]).to_pylist()


def test_one_seed_gives_the_same_catalogue_twice(tmp_path: Path):
    from pyarrow import parquet

    from musiclime_torch.corpus.job import begin_job
    from musiclime_torch.corpus.running import run_here
    from musiclime_torch.corpus.shards import TABLES
    from musiclime_torch.reading.manifest import read_manifest

    for number in range(4):
        write(tmp_path / f"{number}.wav", make_noise(0.4, 8000, 1, seed=number), 8000)
    (tmp_path / "m.csv").write_text("id,audio,lyrics\n" + "".join(f"s{n},{n}.wav,hold me {n}\n" for n in range(4)))
    entries = read_manifest(tmp_path / "m.csv")
    written = []
    for name in ("one", "two"):
        options = {"segments": 2, "n_samples": 32, "seed": 3, "design": "joint"}
        job = begin_job(entries, tmp_path / name, options=options, loading={"separator": "none"}, shard_size=2)
        done = run_here(Additive(), job, workers=0)
        assert (done.explained, done.failed) == (4, 0)
        found = {path.relative_to(tmp_path / name): path for table in TABLES for path in (tmp_path / name / table).glob("*")}
        # What a song took is all that differs.
        written.append({key: drop_times(parquet.read_table(path)) for key, path in found.items()})
    assert len(written[0]) >= 4
    assert written[0] == written[1]
