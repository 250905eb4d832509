"""Whatever fails late leaves the explanation saved, and shown."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from musiclime_torch.basics.errors import InputError
from musiclime_torch.basics.progress import Forecast
from musiclime_torch.commands.cli import cli
from musiclime_torch.commands.output import EXPORTS, say_wait
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


SHORTER = "horter with a part of the song (--start, --end), fewer --segments or --until 'top 5'."
SHORTER_THAN_UNTIL = "horter with a part of the song (--start, --end) or fewer --segments."


@pytest.mark.parametrize(
    ("seconds", "settings", "in_passing", "said"),
    [
        (4.9, {}, False, ""),
        (40, {}, False, f"1,280 forward passes of mine: about 40 seconds. S{SHORTER}"),
        (
            40,
            {},
            True,
            f"1,280 forward passes of mine: about 40 seconds, and at most as long again to look for evidence. S{SHORTER}",
        ),
        (
            300,
            {"until": "top 3", "evidence": True},
            True,
            "Up to 1,280 forward passes of mine: about 5 minutes, and more to look for evidence. S" + SHORTER_THAN_UNTIL,
        ),
        (
            5400,
            {"weights": "shapley"},
            False,
            "This takes long: 1,280 forward passes of mine, about 1 hour 30 minutes. Ctrl-C stops it; s"
            + SHORTER_THAN_UNTIL,
        ),
    ],
)
def test_the_wait_is_said_with_what_shortens_it(seconds: float, settings: dict[str, Any], in_passing: bool, said: str):
    assert say_wait(Settings(**settings), "mine", in_passing, Forecast(1280, seconds)) == said
    assert said.startswith("This takes long") == (seconds > 600)
