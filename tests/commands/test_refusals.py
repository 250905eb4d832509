"""Wrong calls are answered before anything heavy is imported, and what a model can't do before a song is read."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from musiclime_torch.basics.errors import InputError
from musiclime_torch.commands import refusals
from musiclime_torch.commands.cli import cli, main

#: Calls, each with a part of its answer.
WRONG = [
    ("explain none.mp3", "'none.mp3' can't be read"),
    ("explain a.wav --lyrics none.lrc", "the lyrics 'none.lrc' can't be read"),
    ("explain a.wav --stems none", "'none' can't be read"),
    ("explain a.wav --baseline none.wav", "'none.wav' can't be read"),
    ("explain a.wav --baseline nosie", "--baseline 'nosie' is not known (did you mean 'noise'?)"),
    ("explain a.wav --baseline 0dB", "--baseline '0dB' changes nothing"),
    ("explain a.wav --baseline nandB", "the gain must be between -120 and 40 dB, got nan"),
    ("explain a.wav --baseline drums=none.wav", "'none.wav' can't be read"),
    ("explain a.wav --baseline drums=", "isn't STEM=EDIT"),
    ("explain a.wav --baseline drums=-3dB,vocals=0st", "'0st' changes nothing"),
    ("explain a.wav --lyrics-baseline sad=", "--lyrics-baseline replaces 'sad' by nothing"),
    ("explain a.wav --lyrics-baseline words", "lyrics baseline 'words' is not known"),
    ("check a.wav --edits", "--edits isn't measured by check"),
    ("corpus m.csv --out out --model demo --edits", "--foil, --evidence and --edits are questions about one song"),
    ("corpus m.csv --out out --model demo --baseline drums=a.wav", "belongs to one song"),
    ("corpus m.csv --out out --model demo --lyrics-baseline sad=happy", "belongs to one song's words"),
    ("explain a.wav --model demoo", "did you mean 'demo'"),
    ("explain a.wav --model ./models/mine", "no model folder './models/mine'"),
    ("explain a.wav --model nowhere:thing", "No module named 'nowhere'"),
    ("explain a.wav --model json:", "names no object"),
    ("explain a.wav --audio-model b --text-model c", "model 'b' is not known"),
    ("explain a.wav --segments 3x", "--segments '3x' are not understood"),
    ("explain a.wav --segments bar", "--segments 'bar' are not understood"),
    ("explain a.wav --segments a.pdf", "'a.pdf' have an ending that isn't known"),
    ("explain a.wav --segments none.txt", "the labels 'none.txt' can't be read"),
    ("explain a.wav --segments bars:none.jams", "the labels 'none.jams' can't be read"),
    ("explain a.wav --segments 0", "0 segments can't cover"),
    ("explain a.wav --segments -2s", "--segments '-2s' are not understood"),
    ("explain a.wav --n-samples 0", "--n-samples must be between 1"),
    ("explain a.wav --n-samples 64,x", "--n-samples '64,x' can't be read"),
    ("explain a.wav --until soon", "--until 'soon' is not understood"),
    ("explain a.wav --ridge -1", "--ridge must be zero or positive"),
    ("explain a.wav --confidence 95", "give 0.95"),
    ("explain a.wav --kernel-width 0", "--kernel-width must be above 0"),
    ("explain a.wav --weights shapley --ridge 1", "would not add up"),
    ("explain a.wav --design crossed --ridge 1", "can't be solved with a ridge penalty"),
    ("explain a.wav --start 5 --end 2", "--start (5 s) must be before --end (2 s)"),
    ("explain a.wav --start nan", "--start is nan s"),
    ("explain a.wav --max-duration 0", "--max-duration must be above 0"),
    ("explain a.wav --separator demux", "did you mean 'demucs'"),
    ("explain a.wav --separator demucs:nowhere", "'demucs:nowhere' names no folder"),
    ("explain a.wav --out a.wav", "--out a.wav is a file"),
    ("explain a.wav --out a.wav/deeper", "--out a.wav/deeper can't be written to"),
    ("explain a.wav --export csv", "give a folder for them with --out"),
    ("explain a.wav --answers none/answers", "lies in a folder that doesn't exist"),
    ("explain a.wav --foil sad --target 1 --model demoo", "did you mean 'demo'"),
    ("predict none.mp3", "'none.mp3' can't be read"),
    ("predict a.wav --lyrics none.lrc", "the lyrics 'none.lrc' can't be read"),
    ("demo --out a.wav/deeper", "--out a.wav/deeper can't be written to"),
    ("explain a.wav --export jams,midi --out out", "--export 'midi' is not known"),
    ("demo --seed -1", "--seed must be between 0"),
    ("check none.mp3", "'none.mp3' can't be read"),
    ("check none.csv", "no manifest 'none.csv'"),
    ("check a.wav a.wav --start 1", "--start is for one song, and 2 were given"),
    ("check a.wav --demo", "and not both"),
    ("check a.wav --out a.wav/deeper", "--out a.wav/deeper can't be written to"),
    ("check a.wav --evidence", "isn't measured by check"),
    ("corpus none.csv --model demo --out out", "no manifest 'none.csv'"),
    ("corpus m.csv --out out", "a catalogue needs a model"),
    ("corpus m.csv --model demo --out out --n-samples 0", "--n-samples must be between 1"),
    ("corpus m.csv --model demo --out a.wav", "--out a.wav is a file"),
    ("corpus m.csv --model demo --out a.wav/deeper", "--out a.wav/deeper can't be written to"),
    ("corpus m.csv --model demo --out out --foil sad", "are questions about one song"),
    ("corpus empty --model demo --out out", "there are no sound files in 'empty'"),
    ("global none", "'none' holds no run of musiclime corpus (there is no such folder)"),
    ("global . --plots a.wav", "--plots a.wav is a file"),
    ("compare . none", "'.' holds no run of musiclime corpus (it has no run.json)"),
    ("train none.csv --out out", "no manifest 'none.csv'"),
    ("train m.csv --out a.wav/deeper", "--out a.wav/deeper can't be written to"),
    ("train m.csv --out out --component-dropout demux", "did you mean 'demucs'"),
    ("app --model demoo", "did you mean 'demo'"),
    ("app --separator demux", "did you mean 'demucs'"),
]


def test_wrong_calls_are_answered_without_anything_heavy(tmp_path: Path):
    soundfile.write(tmp_path / "a.wav", np.zeros(8000), 8000)
    (tmp_path / "m.csv").write_text("id,audio\na,a.wav\n")
    (tmp_path / "empty").mkdir()
    script = """
import io, json, sys
from contextlib import redirect_stderr
from musiclime_torch.commands.cli import main
answers = []
for call in json.loads(sys.argv[1]):
    sys.argv, said = ["musiclime", *call.split()], io.StringIO()
    with redirect_stderr(said):
        try:
            main()
        except SystemExit as end:
            heavy = {"torch", "scipy", "transformers", "duckdb"} & set(sys.modules)
            answers.append((end.code, said.getvalue(), sorted(heavy)))
print(json.dumps(answers))
"""
    calls = json.dumps([call for call, _ in WRONG])
    done = subprocess.run([sys.executable, "-c", script, calls], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for (call, expected), (code, said, heavy) in zip(WRONG, json.loads(done.stdout), strict=True):
        assert (code, heavy) == (2, []), call
        assert said.startswith("musiclime: "), call
        assert len(said.splitlines()) == 1, call
        assert expected in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.wav", "empty", "m.csv"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--target", "antem"], "has no class 'antem' \\(did you mean 'anthem'\\?\\)"),
        (["--foil", "lullabye"], "did you mean 'lullaby'"),
        (["--target", "99"], "no class 99"),
        (["--target", "anthem", "--foil", "5"], "the foil 'anthem' is the target itself"),
        (["--output-kind", "regression", "--evidence"], "evidence needs a classifier"),
        (["--space", "raw"], "can't be shown as raw"),
        (["--modalities", "audio", "--n-samples", "64,32"], "give one number"),
    ],
)
def test_what_a_model_cannot_do_is_said_before_a_song_is_read(tmp_path: Path, options: list[str], said: str):
    (tmp_path / "a.wav").write_bytes(b"no sound, which would be the next thing to be said")
    done = CliRunner().invoke(cli, ["explain", str(tmp_path / "a.wav"), *options])
    assert isinstance(done.exception, InputError)
    with pytest.raises(InputError, match=said):
        raise done.exception


@pytest.mark.parametrize(
    ("package", "arguments"),
    [
        ("jams", ["explain", "a.wav", "--out", "out", "--export", "csv,jams"]),
        ("pyarrow", ["demo", "--out", "out", "--export", "parquet"]),
        ("matplotlib", ["global", "run", "--plots", "plots"]),
        ("duckdb", ["compare", "run", "other"]),
        ("ray", ["corpus", "m.csv", "--model", "demo", "--out", "out", "--engine", "ray"]),
        ("accelerate", ["train", "m.csv", "--out", "out"]),
    ],
)
def test_a_missing_extra_is_named_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str, arguments: list[str]
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, package, None)
    soundfile.write("a.wav", np.zeros(8000), 8000)
    Path("m.csv").write_text("id,audio\na,a.wav\n")
    done = CliRunner().invoke(cli, arguments)
    assert isinstance(done.exception, InputError)
    assert str(done.exception).startswith(f"this needs {package}, which isn't installed: run pip install 'musiclime_torch[")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.wav", "m.csv"]


@pytest.mark.parametrize("name", ["-song.wav", "--top.wav", "-.wav", "-a b.flac"])
def test_a_file_named_like_an_option_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_bytes(b"no sound")
    monkeypatch.setattr(sys, "argv", ["musiclime", "explain", name, "--lyrics", "-gone.lrc"])
    given: list[list[str]] = []
    monkeypatch.setattr("musiclime_torch.commands.cli.cli", lambda arguments, **_: given.append(arguments))
    main()
    assert given == [["explain", f"./{name}", "--lyrics", "-gone.lrc"]]


def test_right_calls_pass(tmp_path: Path):
    refusals.refuse_early(
        {"preset": "paper", "classes": "a,b", "baseline": "noise"}, {"start": 0.0, "separator": f"demucs:{tmp_path}"}
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--segments", "2,80"], "must rise and be within 0 and 4 seconds"),
        (["--segments", "1000"], "a segment of 4 ms is too short"),
        (["--segments", "lyrics"], "there are no lyrics to take segments from"),
        (["--segments", "lyrics", "--lyrics", "plain.txt"], "the lyrics carry no times"),
        (["--segments", "labels.txt"], "isn't a file of labels"),
        (["--segments", "2", "--start", "10"], "is outside"),
        (["--segments", "2", "--lyrics", "a.wav"], "aren't text"),
        (["--answers", "labels.txt"], "answers can't be read"),
    ],
)
@pytest.mark.parametrize("command", ["explain", "check"])
def test_what_a_song_cannot_do_is_said_before_a_model_is_loaded_or_its_stems_are_separated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, options: list[str], said: str
):
    if command == "check" and "--answers" in options:
        return
    soundfile.write(tmp_path / "a.wav", 0.1 * np.random.default_rng(0).normal(size=32000), 8000)
    (tmp_path / "plain.txt").write_text("love me do")
    (tmp_path / "labels.txt").write_text("nothing")
    monkeypatch.chdir(tmp_path)

    def fail(*given: object, **more: object) -> None:
        pytest.fail("work has begun")

    monkeypatch.setattr("musiclime_torch.commands.models.load_model", fail)
    monkeypatch.setattr("musiclime_torch.song.stems.separation.split_harmonic", fail)
    done = CliRunner().invoke(cli, [command, "a.wav", *options])
    assert isinstance(done.exception, InputError), done.output
    with pytest.raises(InputError, match=said):
        raise done.exception


def test_a_baseline_is_read_before_the_song_is_taken_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    soundfile.write(tmp_path / "a.wav", 0.1 * np.random.default_rng(0).normal(size=32000), 8000)
    (tmp_path / "b.wav").write_bytes(b"no sound")
    monkeypatch.setattr("musiclime_torch.song.stems.separation.split_harmonic", lambda *given: pytest.fail("work has begun"))
    done = CliRunner().invoke(cli, ["explain", str(tmp_path / "a.wav"), "--baseline", str(tmp_path / "b.wav")])
    assert isinstance(done.exception, InputError)
    assert "isn't audio" in str(done.exception)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--baseline", "low-pass 9 kHz"], r"'low-pass 9000 Hz' changes nothing: the model takes sound up to 8000 Hz"),
        (["--separator", "hpss", "--baseline", "harmonci=-6 dB"], r"stem 'harmonci' \(did you mean 'harmonic'\?\), and"),
        (["--separator", "bands:500", "--baseline", "vocals=noise"], r"the song's are low \(0-500 Hz\), high"),
        (["--lyrics", "words.txt", "--lyrics-baseline", "nihgt=day"], r"'nihgt' isn't in the lyrics \(did you mean 'night'"),
        (["--lyrics-baseline", "night=day"], "there are no lyrics"),
    ],
)
def test_stand_ins_that_do_not_fit_are_told_before_the_song_is_taken_apart(
    options: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    soundfile.write(tmp_path / "a.wav", 0.1 * np.random.default_rng(0).normal(size=32000), 8000)
    (tmp_path / "words.txt").write_text("sad is the night")
    monkeypatch.chdir(tmp_path)
    for name in ("separation.split_harmonic", "separation.split_bands"):
        monkeypatch.setattr(f"musiclime_torch.song.stems.{name}", lambda *given: pytest.fail("work has begun"))
    done = CliRunner().invoke(cli, ["explain", "a.wav", *options])
    assert isinstance(done.exception, InputError), done.output
    with pytest.raises(InputError, match=said):
        raise done.exception


def test_edits_takes_and_other_words_on_the_command_line(tmp_path: Path):
    for name, frames in (("a.wav", 16000), ("take.wav", 8000)):
        soundfile.write(tmp_path / name, 0.1 * np.random.default_rng(0).normal(size=frames), 8000)
    (tmp_path / "words.txt").write_text("sad is the night")
    done = CliRunner().invoke(
        cli,
        [
            "explain", str(tmp_path / "a.wav"), "--separator", "hpss", "--segments", "2", "--lyrics",
            str(tmp_path / "words.txt"), "--baseline", f"harmonic=-12dB,percussive={tmp_path / 'take.wav'}",
            "--lyrics-baseline", "sad=happy", "--n-samples", "64", "--format", "json", "--out", str(tmp_path / "out"),
        ],
    )  # fmt: skip
    assert done.exception is None, done.output
    record = json.loads((tmp_path / "out" / "explanation.json").read_text())
    settings, names = record["provenance"]["settings"], {item["name"]: item["instead"] for item in record["components"]}
    assert settings["baseline"] == "harmonic=-12 dB, percussive=take"
    assert (names["harmonic 0:00-0:01"], names["percussive 0:00-0:01"]) == ("12 dB lower", "as in another take")
    assert names["sad (line 1)"] == "happy"
    assert record["empty"] == "with harmonic 12 dB lower, percussive as in another take and other words in the lyrics"
    assert "the take 'take' for percussive is repeated from 1.0 s to the song's 2.0 s." in record["warnings"]
    assert (tmp_path / "out" / "index.html").is_file()
