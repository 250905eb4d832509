"""Whatever fails late leaves the explanation saved, and shown."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from musiclime_torch.basics.errors import InputError
from musiclime_torch.basics.progress import Forecast, Stages
from musiclime_torch.commands.check import say_check
from musiclime_torch.commands.cli import cli
from musiclime_torch.commands.corpus import say_corpus
from musiclime_torch.commands.output import EXPORTS, say_separation, say_wait
from musiclime_torch.explanation.explanation import Explanation
from musiclime_torch.explanation.settings import Settings
from musiclime_torch.views.exports import files
from musiclime_torch.views.page import song as page


def run(out: Path, *more: str) -> Result:
    return CliRunner().invoke(
        cli, ["demo", "--n-samples", "64", "--segments", "2", "--units", "line", "--out", str(out), *more]
    )


def fail(error: Exception) -> Callable[..., None]:
    def raise_it(*arguments: Any, **more: Any) -> None:
        raise error

    return raise_it


def check_kept(done: Result, out: Path, said: str) -> None:
    assert isinstance(done.exception, InputError)
    assert said in str(done.exception)
    assert f"The explanation is saved as {out / 'explanation.safetensors'}." in str(done.exception)
    assert "anthem" in done.stdout
    assert Explanation.load(out / "explanation.safetensors").target == 5
    assert {"explanation.json", "explanation.txt"} <= {path.name for path in out.iterdir()}


@pytest.mark.parametrize("name", EXPORTS)
def test_an_export_that_fails_leaves_everything_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str):
    """The disk is full, say, or the export's library is broken."""
    write = files.write_exports

    def write_or_fail(explanation: Any, track: Any, names: list[str], *more: Any) -> None:
        if names == [name]:
            raise InputError("out can't be written to (No space left on device): give another out folder.", argument="out")
        write(explanation, track, names, *more)

    monkeypatch.setattr(files, "write_exports", write_or_fail)
    done = run(tmp_path / "out", "--no-report", "--export", f"{name},csv" if name != "csv" else "csv,audacity")
    check_kept(done, tmp_path / "out", "No space left")
    assert (tmp_path / "out" / ("labels.txt" if name == "csv" else "attributions.csv")).exists()


def test_a_page_that_fails_leaves_everything_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(page, "write_report", fail(InputError("the page can't be drawn.")))
    done = run(tmp_path / "out", "--export", "csv")
    check_kept(done, tmp_path / "out", "the page can't be drawn")
    assert (tmp_path / "out" / "attributions.csv").exists()


def test_a_bug_in_a_page_is_a_bug_but_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(page, "write_report", fail(KeyError("x")))
    assert isinstance(run(tmp_path / "out").exception, KeyError)
    assert Explanation.load(tmp_path / "out" / "explanation.safetensors").target == 5


def test_a_folder_that_is_gone_or_full_is_made_up_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    save, other = Explanation.save, tmp_path / "tmp"
    other.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(other))

    def save_elsewhere(self: Explanation, path: Path) -> None:
        if other not in path.parents:
            raise OSError(28, "No space left on device")
        save(self, path)

    monkeypatch.setattr(Explanation, "save", save_elsewhere)
    done = run(tmp_path / "out")
    (kept,) = other.rglob("*.safetensors")
    assert str(done.exception) == (
        f"{tmp_path / 'out'} can't be written to (No space left on device): the explanation is saved as {kept}."
    )
    assert "anthem" in done.stdout
    assert Explanation.load(kept).target == 5


PART = "horter with a part of the song (--start, --end)"


@pytest.mark.parametrize(
    ("forecast", "settings", "in_passing", "said"),
    [
        (Forecast(1280, 4.9), {}, False, ""),
        # Every rendering is asked about: only fewer of them are shorter.
        (
            Forecast(1280, 40),
            {},
            False,
            f"1,280 forward passes of mine: about 40 seconds. S{PART} or fewer stems (--separator hpss or none).",
        ),
        (
            Forecast(1280, 40, at_most=True),
            {},
            True,
            "Up to 1,280 forward passes of mine: at most about 40 seconds, and at most as long again to look for evidence. "
            f"S{PART}, fewer --segments or --until 'top 5'.",
        ),
        (
            Forecast(1280, 300, at_most=True),
            {"until": "top 3", "evidence": True},
            True,
            "Up to 1,280 forward passes of mine: at most about 5 minutes, and more to look for evidence. "
            f"S{PART} or fewer --segments.",
        ),
        (
            Forecast(1280, 5400),
            {"n_samples": 4096},
            False,
            "This takes long: 1,280 forward passes of mine, about 1 hour 30 minutes. Ctrl-C stops it; "
            f"s{PART}, fewer --segments, fewer --n-samples or --until 'top 5'.",
        ),
        (
            Forecast(1280, 5400),
            {"weights": "shapley"},
            False,
            "This takes long: 1,280 forward passes of mine, about 1 hour 30 minutes. Ctrl-C stops it; "
            f"s{PART} or fewer --segments.",
        ),
    ],
)
def test_the_wait_is_said_with_what_shortens_it(forecast: Forecast, settings: dict[str, Any], in_passing: bool, said: str):
    assert say_wait(Settings(**settings), "mine", in_passing, forecast) == said
    assert said.startswith("This takes long") == (forecast.seconds > 600)


def test_separation_is_foretold_too():
    assert say_separation(Forecast(1, 3)) == ""
    assert say_separation(Forecast(1, 90)) == (
        "Taking the song apart: about 2 minutes. Shorter with a part of the song (--start, --end), or with --separator none."
    )
    assert say_separation(Forecast(1, 1800)).startswith("This takes long: taking the song apart: about 30 minutes. Ctrl-C")


def test_checks_and_catalogues_are_foretold():
    assert say_check(Settings(), "mine", {"seeds": 0, "shuffled": ()}, 10, 1, Forecast(40, 2.0)) == ""
    # Three more seeds and a shuffled model: five explanations, all of whose renderings were run.
    assert say_check(Settings(), "mine", {}, 10, 1, Forecast(40, 20.0)) == (
        "5 explanations: 200 forward passes of mine, about 2 minutes. Shorter with --seeds 1, --no-shuffle or a part of the "
        "song (--start, --end)."
    )
    many = say_check(Settings(n_samples=512), "mine", {}, 1, 12, Forecast(512, 60.0))
    assert many.startswith("This takes long, and Ctrl-C stops it: 12 songs, explained 5 times each: ")
    assert say_corpus(Forecast(1, 400.0)) == ""
    assert say_corpus(Forecast(20, 400.0, at_most=True)) == (
        "20 songs, at most about 20 seconds each if they are like the first: at most about 7 minutes. Shorter with a part "
        "of every song (--start, --end), fewer --segments or --until 'top 5'."
    )
    long = say_corpus(Forecast(200, 4000.0))
    assert long.startswith("This takes long: 200 songs")
    assert long.endswith("Shorter with a part of every song (--start, --end) or fewer stems (--separator hpss or none).")


def test_what_is_written_has_a_bar_for_each_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    begun: list[str] = []
    begin = Stages.begin

    def note(self: Stages, name: str, *given: Any, **more: Any) -> None:
        begun.append(name)
        begin(self, name, *given, **more)

    monkeypatch.setattr(Stages, "begin", note)
    run(tmp_path / "out", "--export", "csv")
    assert [name for name in begun if name.startswith("writing")] == [
        "writing explanation.json",
        "writing explanation.txt",
        "writing the page",
        "writing csv files",
    ]


def test_a_dossier_has_its_evidence_unasked_and_its_sum_is_said(tmp_path: Path):
    folder = tmp_path / "dossier"
    short = ["--n-samples", "64", "--segments", "2", "--units", "line"]
    done = CliRunner().invoke(cli, ["demo", *short, "--dossier", str(folder)])
    assert done.exit_code == 0, done.output
    explanation = Explanation.load(folder / "explanation.safetensors")
    assert explanation.evidence is not None
    assert explanation.provenance["settings"]["evidence"]
    archive = folder / "dossier.zip"
    assert f"SHA-256 {hashlib.sha256(archive.read_bytes()).hexdigest()}" in done.stderr
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="dossier"):
        cli.main(["demo", *short, "--dossier", str(tmp_path / "file")], standalone_mode=False)
