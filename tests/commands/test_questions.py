"""--like and --query on the command line: two songs, a text, a taste, a catalogue."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner, Result
from tiny_hub import save_clap

from musiclime_torch.basics.errors import InputError
from musiclime_torch.commands.cli import cli
from musiclime_torch.commands.refusals import say_error
from musiclime_torch.explanation.explanation import Explanation

QUICK = ["--separator", "none", "--segments", "2", "--device", "cpu"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three songs of two seconds: two tones, and noise at another rate."""
    time = np.arange(2 * 16000) / 16000
    for name, sound, rate in (
        ("low", 0.2 * np.sin(2 * np.pi * 220 * time), 16000),
        ("high", 0.2 * np.sin(2 * np.pi * 1760 * time), 16000),
        ("noise", np.random.default_rng(0).normal(size=44100) / 10, 22050),
    ):
        soundfile.write(tmp_path / f"{name}.wav", sound, rate)
    return tmp_path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, list(map(str, arguments)))


def test_why_two_songs_are_near(folder: Path):
    low, noise = folder / "low.wav", folder / "noise.wav"
    done = run("explain", low, *QUICK, "--like", noise, "--both", "--format", "json", "--out", folder / "out", "--no-report")
    assert done.exit_code == 0, done.output
    for place, other in (("", "noise"), ("other", "low")):
        record = json.loads((folder / "out" / place / "explanation.json").read_text())
        assert list(record["classes"]) == [other]
        assert record["space"] == "cosine"
        saved = Explanation.load(folder / "out" / place / "explanation.safetensors")
        moved = float(saved.output_song[0] - saved.output_empty[0])
        assert sum(component["attribution"] for component in record["components"]) == pytest.approx(moved, abs=1e-5)


def test_a_foil_is_another_song(folder: Path):
    low, high, noise = (folder / f"{name}.wav" for name in ("low", "high", "noise"))
    done = run("explain", low, *QUICK, "--like", high, "--foil", noise, "--format", "json")
    assert done.exit_code == 0, done.output
    record = json.loads(done.stdout)
    assert list(record["classes"]) == ["high", "noise", "high rather than noise"]
    done = run("predict", low, "--like", low, "--like", noise, "--device", "cpu")
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[1].split() == ["1", "low"]


def test_clap_compares_a_song_with_a_text(folder: Path):
    clap = save_clap(folder / "clap", "rand_trunc")
    done = run(
        "explain", folder / "low.wav", *QUICK, "--model", clap, "--query", "calm", "--query", "wild", "--format", "json"
    )
    assert done.exit_code == 0, done.output
    assert list(json.loads(done.stdout)["classes"]) == ["calm", "wild"]


def test_a_catalogue_takes_a_reference(folder: Path):
    songs = folder / "songs"
    songs.mkdir()
    for name in ("low", "high"):
        (folder / f"{name}.wav").rename(songs / f"{name}.wav")
    options = ["--model", "demo", *QUICK, "--workers", "0", "--out", folder / "run"]
    done = run("corpus", songs, *options, "--like", folder / "noise.wav")
    assert done.exit_code == 0, done.output
    again = run("corpus", songs, *options, "--like", folder / "noise.wav")
    assert "2 done before" in again.stderr
    with pytest.raises(InputError, match="holds a run with other settings, like"):
        cli.main(["corpus", str(songs), *map(str, options), "--like", str(songs / "low.wav")], standalone_mode=False)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--like", "gone.wav"], "the song to compare with, 'gone.wav' can't be read: No such file or directory."),
        (["--like", "low.wav", "--foil", "gone"], "--foil 'gone' is none of the songs and texts compared with, and no file"),
        (
            ["--like", "low.wav", "--ask", "Sad?", "--answer", "Yes"],
            "--ask wants an answer, --like and --query a similarity",
        ),
        (["--like", "low.wav", "--query", "calm", "--both"], "--both explains two songs, each beside the other"),
        (["--query", "calm"], "demo can't compare songs with words"),
        (["--like", "taste.npz"], "'taste.npz' holds sound: a saved taste has audio or lyrics"),
        (["--like", "low.wav", "--audio-model", "demo", "--text-model", "demo"], "need one model that embeds songs"),
        (["--like", "low.wav", "--evidence"], "--evidence needs a decision: compare with a second song or text"),
    ],
)
def test_what_cannot_be_compared_is_one_sentence(
    folder: Path, options: list[str], message: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(folder)
    np.savez("taste.npz", sound=np.ones(3))
    with pytest.raises(InputError) as raised:
        cli.main(["explain", "low.wav", *QUICK, *options], standalone_mode=False)
    said = say_error(raised.value)
    assert message in said
    assert "\n" not in said


def test_the_demo_answers_a_question_and_says_what_was_planted():
    done = run("demo", "--ask", "is there a synth solo", "--n-samples", 112, "--device", "cpu", "--format", "json")
    assert done.exit_code == 0, done.output
    record = json.loads(done.stdout)
    assert record["target"] == "Yes rather than No"
    planted = done.stderr.splitlines()[-2:]
    assert planted[0] == "Planted in this song:"
    best = max(record["components"], key=lambda component: component["attribution"])
    assert planted[1].split() == [best["stem"], f"0:{best['start']:04.1f}-0:{best['end']:04.1f}"]
    with pytest.raises(InputError, match="choose one of 'Is there a synth solo"):
        cli.main(["demo", "--ask", "Is it sad?"], standalone_mode=False)


def test_two_questions_share_a_run():
    asked = ("--ask", "is there a synth solo", "--ask", "Is there a shouting crowd?")
    quick = ("--n-samples", 112, "--device", "cpu", "--format", "json")
    done = run("demo", *asked, *quick)
    assert done.exit_code == 0, done.output
    first, second = "Is there a synth solo?", "Is there a shouting crowd?"
    assert json.loads(done.stdout)["target"] == f"{first} Yes rather than {first} No"
    assert [line.split(" Planted")[0] for line in done.stderr.splitlines() if "Planted" in line] == [first, second]
    other = run("demo", *asked, *quick, "--target", f"{second} Yes", "--foil", "No")
    assert other.exit_code == 0, other.output
    record = json.loads(other.stdout)
    assert record["target"] == f"{second} Yes rather than {second} No"
    best = max(record["components"], key=lambda component: component["attribution"])
    line = next(line for line in reversed(other.stderr.splitlines()) if best["stem"] in line)
    assert f"0:{best['start']:04.1f}" in line
    with pytest.raises(InputError, match="--answer auto is the answer to one question"):
        cli.main(["demo", *asked, "--answer", "auto"], standalone_mode=False)
