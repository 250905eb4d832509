"""Models that raise leave the process as it was; two runs of one seed give the same bytes on the CPU."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from models import Additive, Late
from soundfiles import make_noise, write

from musiclime_torch.explanation.explainer import explain
from musiclime_torch.song.track import Track

#: In a process of its own: beartype, which checks our tests, draws from Python's random numbers.
RAISING = """
import json, random, sys, threading, warnings
import captum.attr, numpy as np, torch
sys.path.insert(0, {tests!r})
from models import Late
from musiclime_torch import MusicLIME, Track, explain
from musiclime_torch.captum import KernelShap, Lime
from musiclime_torch.song.lyrics.lyrics import parse_lyrics

# What went wrong inside a model, where an assertion would be one more error of the model's.
faults = []

class Restless(Late):
    '''Draws numbers wherever it is asked, and raises in one place: what is asked once at once, else at the third call.'''
    def __init__(self, part, error):
        super().__init__()
        self.inner = torch.nn.ModuleList([torch.nn.Dropout(), torch.nn.BatchNorm1d(3)])
        self.part, self.error, self.calls = part, error, 0
    def _draw(self, part):
        random.random(), np.random.rand(), torch.rand(2)
        if any(one.training for one in self.modules()) or torch.is_grad_enabled():
            faults.append((part, self.part, "training, or with gradients"))
        self.calls += part == self.part
        if part == self.part and self.calls == (1 if part in ("tokenize", "embed_text") else 3):
            raise self.error
    def tokenize(self, text):
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
        # In training mode batch norm would move its buffers.
        return self.inner[1](self.inner[0](super().fuse(heard, read)))
    def forward(self, audio, text):
        self._draw("forward")
        return super().forward(audio, text)

def flags(model):
    found = [(name, part.training, len(part._forward_hooks), len(part._forward_pre_hooks), len(part._backward_hooks))
             for name, part in model.named_modules()]
    found += [(name, one.requires_grad, one.grad, one._backward_hooks) for name, one in model.named_parameters()]
    found += [(name, value.data_ptr(), value.tolist()) for name, value in model.state_dict().items()]
    return found

def draws():
    numpy = np.random.get_state()
    return random.getstate(), numpy[1].tobytes(), numpy[2], torch.get_rng_state().tolist()

def world():
    backends = torch.backends
    return (
        torch.get_default_dtype(), torch.get_num_threads(), torch.is_grad_enabled(), torch.is_inference_mode_enabled(),
        torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu"), torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(), torch.get_float32_matmul_precision(),
        backends.cudnn.enabled, backends.cudnn.benchmark, backends.cudnn.deterministic, backends.mkldnn.enabled,
        torch.get_default_device(), torch.is_anomaly_enabled(), np.geterr(), sys.getrecursionlimit(), sys.stdout, sys.stderr,
        [one.name for one in threading.enumerate()],
        len(torch.nn.modules.module._global_forward_hooks), len(torch.nn.modules.module._global_forward_pre_hooks),
    )

def stems_from(raised, error):
    '''Whether it is the model's error, or was raised from it; else something was refused before the model ran.'''
    while raised is not None and raised is not error:
        raised = raised.__cause__ or raised.__context__
    return raised is error

def try_out(run, error):
    try:
        run()
    except BaseException as raised:
        if not stems_from(raised, error):
            faults.append((repr(error), repr(raised)))
        return 1
    return 0

track = Track(torch.randn(2, 1, 8000), ("a", "b"), 8000, parse_lyrics("hold me now\\nlove me"))

def make_errors():
    return RuntimeError("no"), KeyboardInterrupt(), SystemExit(3), torch.OutOfMemoryError("no"), GeneratorExit()

options = {{
    "crossed": {{}},
    "joint": dict(design="joint"),
    "shapley": dict(weights="shapley", n_samples=256),
    "precise": dict(precision="bfloat16", baseline="noise", evidence=True),
}}
tried = {{}}
for part in ("tokenize", "embed_text", "encode_audio", "encode_text", "fuse", "forward"):
    tried[part] = {{}}
    for name, more in options.items():
        tried[part][name] = 0
        for error in make_errors():
            model = Restless(part, error)
            # Flags of parts need not all be the same.
            model.train()
            model.inner[0].eval()
            model.table.requires_grad_(False)
            before = draws(), world(), flags(model)
            given = dict(n_samples=64) | more
            tried[part][name] += try_out(lambda: explain(model, track, segments=2, batch_size=8, **given), error)
            assert draws() == before[0], (part, error, more)
            assert world() == before[1], (part, error, more)
            assert flags(model) == before[2], (part, error, more)
# `Lime` and `KernelShap` draw from torch's global state, and leave a model's own draws, as Captum's do: nothing else moves.
# With a seed they draw nothing; then a model that draws nothing finds all states as they were.
for kind, seeded in ((MusicLIME, False), (Lime, False), (Lime, True), (KernelShap, False), (KernelShap, True)):
    name = kind.__name__ + (", a seed" if seeded else "")
    tried[name] = 0
    for error in make_errors():
        layer = torch.nn.Sequential(torch.nn.Linear(4, 2), torch.nn.Dropout(), torch.nn.BatchNorm1d(2))
        calls = []
        def forward(x):
            if not seeded:
                random.random(), np.random.rand(), torch.rand(2)
            if torch.is_grad_enabled():
                faults.append((name, "with gradients"))
            calls.append(1)
            if len(calls) == 4:
                raise error
            return layer[0](x)
        method = kind(forward, seed=0) if seeded else kind(forward)
        before = draws(), world(), flags(layer)
        tried[name] += try_out(lambda: method.attribute(torch.ones(1, 4), target=0, n_samples=40), error)
        if seeded or kind is MusicLIME:
            assert draws() == before[0], (name, error)
        assert world() == before[1], (name, error)
        assert flags(layer) == before[2], (name, error)

def draws_after(run):
    random.seed(5), np.random.seed(5), torch.manual_seed(5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run()
    return draws()

def draws_after_all(kind, n_samples):
    return draws_after(lambda: kind(lambda x: x.cumsum(1)).attribute(torch.ones(1, 9), target=3, n_samples=n_samples))

untouched, one_number = draws_after(lambda: None), draws_after(lambda: torch.empty((), dtype=torch.int64).random_())
# Torch's state is then what Captum's own class leaves. (Its lasso draws from numpy's besides, which least squares need not.)
assert draws_after_all(Lime, 40)[:-1] == untouched[:-1]
assert draws_after_all(Lime, 40)[-1] == draws_after_all(captum.attr.Lime, 40)[-1] != untouched[-1]
# Captum's `KernelShap` draws coalition after coalition. Ours takes one number for all, and none where every one fits.
assert draws_after_all(KernelShap, 40) == one_number != untouched
assert draws_after_all(KernelShap, 600) == untouched
assert not faults, faults
print(json.dumps(tried))
"""

ONCE, OFTEN, NEVER = (dict.fromkeys(("crossed", "joint", "shapley", "precise"), count) for count in (5, 4, 0))

#: How many of the five errors come out of a run. A lack of memory isn't one where a batch can be halved; and where sound and
#: lyrics are encoded apart `forward` is called once, for the song and the empty song, so that there is no third call.
RAISED: dict[str, Any] = {
    "tokenize": ONCE,
    "embed_text": ONCE,
    "encode_audio": OFTEN,
    "encode_text": OFTEN,
    "fuse": OFTEN,
    "forward": NEVER | {"joint": 4},
    "MusicLIME": 5,
    "Lime": 5,
    "Lime, a seed": 5,
    "KernelShap": 5,
    "KernelShap, a seed": 5,
}


@pytest.mark.slow
def test_a_model_that_raises_leaves_no_hook_no_flag_and_no_random_state_changed():
    script = RAISING.format(tests=str(Path(__file__).parents[1] / "support"))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout) == RAISED


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


#: Every set and dictionary on the way: components by type, evidence, pairs, what the lyrics and the stems are called.
SAVING = """
import sys
sys.path.insert(0, {tests!r})
import torch
from models import Late
from musiclime_torch import Track, explain
from musiclime_torch.faithfulness import check
from musiclime_torch.song.lyrics.lyrics import parse_lyrics

stems = 0.3 * torch.randn(3, 1, 16000, generator=torch.Generator().manual_seed(1))
lyrics = parse_lyrics("hold me now\\nlove is my love\\nnow hold my heart, never let it go")
track = Track(stems, ("drums", "vocals", "bass"), 8000, lyrics, title="noise")
for number, more in enumerate(
    (
        dict(units="type", baseline="noise", evidence=True),
        dict(units="type", design="joint", foil="calm", target="sad", until="top 2"),
        dict(units="line", weights="shapley"),
        dict(weights="lime", design="bernoulli", precision="bfloat16"),
    )
):
    explanation = explain(Late(), track, segments=3, n_samples=200, seed=11, **more)
    explanation.save("{folder}/" + str(number))
print(check(Late(), track, explanation, chances=2, seeds=1, held_out=20))
"""


def test_one_seed_gives_the_same_bytes_in_processes_that_hash_otherwise(tmp_path: Path):
    said, written = [], []
    for seed in ("1", "2"):
        folder = tmp_path / seed
        folder.mkdir()
        script = SAVING.format(tests=str(Path(__file__).parents[1] / "support"), folder=folder)
        environment = os.environ | {"PYTHONHASHSEED": seed}
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr[-2000:]
        said.append(done.stdout)
        written.append({path.name: path.read_bytes() for path in folder.iterdir()})
    assert len(written[0]) == 4
    assert written[0] == written[1]
    assert said[0] == said[1]


def drop_times(table: Any) -> list[dict[str, Any]]:
    return table.drop_columns([name for name in table.column_names if name == "seconds"]).to_pylist()


def test_one_seed_gives_the_same_catalogue_twice(tmp_path: Path):
    from pyarrow import parquet

    from musiclime_torch.corpus.runs.job import begin_job
    from musiclime_torch.corpus.runs.running import run_here
    from musiclime_torch.corpus.runs.shards import TABLES
    from musiclime_torch.song.manifest import read_manifest

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
