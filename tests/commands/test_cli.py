"""The command line as people run it: in processes of their own, on real files; one starts Python anew, the others fork."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from warm import run_warm

from musiclime_torch.explanation.explanation import Explanation

QUICK = ["--n-samples", "1", "--segments", "2", "--separator", "hpss", "--device", "cpu"]


def run(*arguments: object, folder: Path) -> subprocess.CompletedProcess[str]:
    return run_warm(arguments, folder)


@pytest.fixture
def song(tmp_path: Path) -> Path:
    """Two seconds of a chord with clicks, stereo."""
    time = np.arange(2 * 22050) / 22050
    chord = sum(np.sin(2 * np.pi * f * time) for f in (220, 277, 330)) / 8
    chord[::5512] += 0.5
    soundfile.write(tmp_path / "song.wav", np.stack([chord, 0.5 * chord], 1), 22050)
    (tmp_path / "song.lrc").write_text("[00:00.10]hold me now\n[00:01.00]love is my love\n")
    return tmp_path / "song.wav"


@pytest.mark.slow
def test_explain_writes_json_alone_to_standard_output_and_a_folder(song: Path, tmp_path: Path):
    done = run(
        "explain",
        song,
        "--lyrics",
        tmp_path / "song.lrc",
        *QUICK,
        "--evidence",
        "--format",
        "json",
        "--out",
        "out",
        folder=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    keys = {"name", "kind", "stem", "start", "end", "word", "line", "attribution", "standard_error"}
    assert all(keys <= set(component) for component in record["components"])
    assert {c["word"] for c in record["components"] if c["line"] == 1} == {"hold", "me", "now"}
    assert {c["stem"] for c in record["components"] if c["kind"] == "audio"} == {"harmonic", "percussive"}
    sizes = [abs(component["attribution"]) for component in record["components"]]
    assert sizes == sorted(sizes, reverse=True)
    assert record["target"] in record["classes"]
    assert "demonstration model" in done.stderr
    assert "hpss" in done.stderr
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "explanation.json",
        "explanation.safetensors",
        "explanation.txt",
        "index.html",
    ]
    assert "index.html in a browser" in done.stderr
    assert record["evidence"]["decision"]
    assert json.loads((tmp_path / "out" / "explanation.json").read_text()) == record
    assert len(Explanation.load(tmp_path / "out" / "explanation.safetensors").components) == len(record["components"])


@pytest.mark.slow
def test_a_model_of_ones_own_and_every_option(song: Path, tmp_path: Path):
    (tmp_path / "mine.py").write_text(
        "import torch\n"
        "class Loud(torch.nn.Module):\n"
        "    sample_rate, modalities = 8000, ('audio',)\n"
        "    def forward(self, audio):\n"
        "        level = audio.square().mean((1, 2))\n"
        "        return torch.stack([level, -level], 1)\n"
    )
    options = (
        "--model mine:Loud --classes loud,quiet --target QUIET --start 0.5 --end 1.5 --segments 0.25s --baseline noise "
        "--seed 3 --design bernoulli --n-samples 60 --weights lime --kernel-width 0.5 --ridge 0.1 --space log-odds "
        "--confidence 0.9 --batch-size 7 --separator midside --device cpu --format json"
    )
    done = run("explain", song, *options.split(), folder=tmp_path)
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["target"] == "quiet"
    assert record["space"] == "log-odds"
    assert {c["stem"] for c in record["components"]} == {"mid", "side"}
    assert {c["start"] for c in record["components"]} == {0.5, 0.75, 1.0, 1.25}
    assert record["n_variants"] == 60


@pytest.mark.slow
def test_the_demo_crosses_contrasts_stops_and_shows_evidence(tmp_path: Path):
    options = "--target anthem --foil 'love song' --until 'top 2' --evidence --n-samples 600 --device cpu --format json"
    done = run("demo", *shlex.split(options), folder=tmp_path)
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["target"] == "anthem rather than love song"
    assert record["design"].startswith("crossed")
    assert "top 2" in record["stopped"]
    assert record["evidence"]["decision"].startswith("anthem above love song")
    assert record["interactions"]["probability"]["pairs_looked_at"] > 1000
    assert "No --model was given" not in done.stderr
    sides = run("demo", "--n-samples", "88,208", "--device", "cpu", folder=tmp_path)
    counts = re.search(r"(\d+) masks of the sound × (\d+) of the lyrics", " ".join(sides.stdout.split()))
    assert counts is not None
    assert [int(count) // least for count, least in zip(counts.groups(), (88, 208), strict=True)] == [1, 1]
    assert "Share of the decision" in sides.stdout


@pytest.mark.slow
def test_a_model_that_prints_does_not_spoil_the_json(song: Path, tmp_path: Path):
    (tmp_path / "loud.py").write_text(
        "print('made')\ndef model(audio):\n    print('called')\n    return audio.mean((1, 2))\n"
    )
    options = (
        "--model loud:model --modalities audio --output-kind regression --sample-rate 8000 --separator none --format json"
    )
    done = run("explain", song, *options.split(), "--out", "out", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["space"] == "raw"
    assert "called" in done.stderr
    # What decides nothing has no evidence, and a page all the same.
    assert json.loads(done.stdout)["evidence"] is None
    assert (tmp_path / "out" / "index.html").exists()
    done = run("explain", song, *options.split(), "--out", "without", "--no-report", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "without" / "index.html").exists()


@pytest.mark.slow
def test_paper_preset_and_table(song: Path, tmp_path: Path):
    done = run(
        "explain", song, "--preset", "paper", "--n-samples", 100, "--separator", "hpss", "--space", "logit", folder=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert "LIME coefficient" in done.stdout
    assert "logit" in done.stdout
    assert "not of the model or over other songs" in " ".join(done.stdout.split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["explain", "none.wav"], "none.wav"),
        (["explain", "song.wav", "--lyrics", "none.lrc"], "none.lrc"),
        (["explain", "song.wav", "--stems", "none"], "none"),
        (["explain", "song.wav", "--model", "nowhere:thing"], "nowhere:thing"),
        (["explain", "song.wav", "--model", "nonsense"], "package.module:object"),
        (["explain", "song.wav", "--target", "opera"], "choose one of"),
        (["explain", "song.wav", "--segments", "many"], "'many'"),
        (["explain", "song.wav", "--separator", "magic"], "magic"),
        (["explain", "song.wav", "--device", "warp"], "try cpu"),
        (["explain", "song.wav", "--max-duration", "1"], "1 s are allowed"),
        (["explain", "song.wav", "--start", "5"], "start (5 s)"),
        (["explain", "song.wav", "--out", "song.wav"], "is a file"),
        (["explain", "song.wav", "--units", "syllable"], "syllable"),
        (["explain", "song.wav", "--kernel-width", "0.001", "--weights", "lime", "--separator", "hpss"], "effective size"),
        (["explain", "song.lrc"], "song.lrc"),
        (["explain", "song.wav", "--n-samples", "many"], "'many'"),
        (["explain", "song.wav", "--n-samples", "1,2,3", "--separator", "hpss"], "--n-samples must be one number or two"),
        (["explain", "song.wav", "--until", "soon", "--separator", "hpss"], "'soon'"),
        (["explain", "song.wav", "--foil", "opera", "--separator", "hpss"], "choose one of"),
        (["demo", "--weights", "shapley", "--ridge", "1"], "would not add up"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(song: Path, tmp_path: Path, arguments: list[str], message: str):
    before = sorted(tmp_path.rglob("*"))
    done = run(*arguments, folder=tmp_path)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not done.stdout
    assert sorted(tmp_path.rglob("*")) == before
    if "--units" not in arguments:
        assert [line for line in done.stderr.splitlines() if line.startswith("musiclime: ")] == done.stderr.splitlines()[-1:]


@pytest.mark.parametrize(
    ("lacking", "arguments", "said"),
    [
        ("pyarrow", ["corpus", "m.csv", "--model", "demo", "--out", "out"], "pip install 'musiclime_torch[corpus]'"),
        ("duckdb", ["global", "out"], "this needs duckdb"),
        ("gradio", ["app"], "this needs gradio, which isn't installed: run pip install 'musiclime_torch[app]'"),
        ("accelerate", ["train", "m.csv", "--model", "tagger", "--out", "out"], "pip install 'musiclime_torch[train]'"),
    ],
)
def test_packages_that_are_missing_are_named_with_the_extra_that_has_them(tmp_path, lacking, arguments, said):
    soundfile.write(tmp_path / "a.wav", np.zeros(8000), 8000)
    (tmp_path / "m.csv").write_text("id,audio,lyrics,label,split\na,a.wav,la,x,train\nb,a.wav,lo,y,train\n")
    script = (
        f"import sys; sys.modules[{lacking!r}] = None; sys.argv[1:] = {arguments!r}\n"
        "from musiclime_torch.commands.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_predict_lists_the_largest_outputs(song: Path, tmp_path: Path):
    (tmp_path / "mine.py").write_text(
        "import torch\n"
        "sample_rate, modalities, classes = 8000, ('audio',), ('loud', 'quiet')\n"
        "def model(audio):\n    level = audio.square().mean((1, 2))\n    return torch.stack([level, -level], 1)\n"
        "model.sample_rate, model.modalities, model.classes = sample_rate, modalities, classes\n"
    )
    done = run("predict", song, "--model", "mine:model", "--start", "0.5", "--device", "cpu", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split()[-1] for line in lines] == ["logits", "loud", "quiet"]
    assert "%" in lines[1]
    record = json.loads(run("predict", song, *["--model", "mine:model", "--format", "json"], folder=tmp_path).stdout)
    assert [row["class"] for row in record["classes"]] == ["loud", "quiet"]
    assert sum(row["probability"] for row in record["classes"]) == pytest.approx(1)
