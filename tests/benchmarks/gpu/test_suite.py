"""One part after the other: what fails says why, what is late is stopped, and whatever was measured is kept."""

import json
import sys
import time
from importlib.metadata import PackageNotFoundError

import pytest
import torch

from benchmarks.gpu import suite


class Part:
    """Stands for a part's module."""

    def __init__(self, *rows, ends=None):
        self.rows, self.ends = rows, ends

    def measure(self, job):
        yield from self.rows
        if self.ends is not None:
            self.ends()


class Pipe:
    def __init__(self):
        self.sent = []

    def send(self, message):
        self.sent.append(message)


def fail():
    raise RuntimeError("no [such] kernel\nand more")


def test_a_part_sends_its_rows_and_how_it_ended(monkeypatch):
    pipe = Pipe()
    monkeypatch.setattr(suite, "import_module", lambda name: Part({"a": 1}, {"b": 2.5}))
    suite.work("correctness", "cpu", True, 5.0, pipe)
    assert pipe.sent == [{"a": 1}, {"b": 2.5}, "done"]


@pytest.mark.parametrize(("device", "number"), [("cuda", 0), ("cuda:1", 1)])
def test_a_part_runs_on_one_card_by_its_number(monkeypatch, device, number):
    made, jobs = [], []

    class Noting(Part):
        def measure(self, job):
            jobs.append(job)
            return iter(())

    monkeypatch.setattr("torch.cuda.set_device", made.append)
    monkeypatch.setattr(suite, "import_module", lambda name: Noting())
    suite.work("sweep", device, False, 5.0, Pipe())
    assert made == [jobs[0].device] == [torch.device("cuda", number)]


def test_a_part_that_fails_says_why(monkeypatch):
    pipe = Pipe()
    monkeypatch.setattr(suite, "import_module", lambda name: Part({"a": 1}, ends=fail))
    with pytest.raises(RuntimeError):
        suite.work("correctness", "cpu", True, 5.0, pipe)
    assert pipe.sent == [{"a": 1}, "failed: RuntimeError: no [such] kernel"]


def pretend(monkeypatch, work):
    """Parts run by `work`, in processes that are forked from this one: a new one would import everything again."""
    context = suite.get_context("fork")
    context.set_forkserver_preload = lambda names: None
    monkeypatch.setattr(suite, "get_context", lambda method: context)
    monkeypatch.setattr(suite, "work", work)
    monkeypatch.setattr(suite, "describe", lambda: {"machine": {}, "versions": {}, "load": 0.0, "revision": "none"})


def late(name, device, small, seconds, pipe):
    pipe.send({"rows": 3})
    if name == "correctness":
        time.sleep(60)
    if name == "sweep":
        sys.exit(7)
    pipe.send("done")


def test_what_is_late_is_stopped_what_dies_is_told_and_the_next_one_runs(monkeypatch, tmp_path, capsys):
    pretend(monkeypatch, late)
    monkeypatch.setattr(suite, "GRACE", 0.2)
    monkeypatch.setattr(suite, "PARTS", {"correctness": 2, "sweep": 60, "original": 60, "dropin": 600})
    monkeypatch.setattr(suite, "PATIENCE", 0.0)
    outcomes = suite.run_all(["correctness", "sweep", "original"], "cuda:0", False, 3.0, tmp_path)
    states = [outcome.state for outcome in outcomes]
    assert states[0].startswith("stopped after ")
    assert states[1:] == ["failed: its process ended with code 7", "done"]
    assert [outcome.rows for outcome in outcomes] == [[{"rows": 3}]] * 3
    kept = json.loads((tmp_path / "gpu_correctness.cuda.json").read_text())
    assert (kept["name"], kept["figures"], kept["state"]) == ("gpu_correctness", [{"rows": 3}], states[0])
    assert states[0] in kept["printed"]
    assert "stopped after " in capsys.readouterr().out


def test_without_time_a_part_is_left_out_and_says_so(monkeypatch, tmp_path):
    pretend(monkeypatch, late)
    (outcome,) = suite.run_all(["songs"], "cpu", True, 0.05, tmp_path)
    assert outcome.state == "left out: 3 s were left"
    assert json.loads((tmp_path / "gpu_songs.cpu.json").read_text())["state"] == outcome.state


def test_the_whole_run_fits_into_six_minutes():
    assert sum(suite.PARTS.values()) + suite.GRACE <= 6 * 60


def test_a_table_shows_all_columns_and_errors_as_they_are():
    outcome = suite.Outcome(
        "sweep", [{"what": "a", "seconds": 0.123456}, {"what": "b", "note": "pip install 'x[y]'"}], "done"
    )
    text = suite.draw(outcome)
    assert all(part in text for part in ("seconds", "0.1235", "note", "'x[y]'"))
    assert "x[y]" in suite.draw(suite.Outcome("sweep", [], "failed: x[y]"))


def test_a_check_or_a_way_that_failed_counts_as_much_as_a_part():
    def ended(row, state="done"):
        return suite.has_failed(suite.Outcome("sweep", [{"a": 1}, row], state))

    assert not ended({"note": "left out: no time"})
    assert ended({"note": "failed: RuntimeError: CUDA graphs need a GPU"})
    assert ended({"check": "a", "result": "FAILS"})
    assert ended({}, "failed: its process ended with code 7")


def test_a_part_that_isnt_there_and_a_device_that_isnt(monkeypatch, capsys):
    for arguments, said in ((["songs", "singing"], "no part 'singing'"), (["--device", "cuda"], "try --device cpu --small")):
        monkeypatch.setattr("sys.argv", ["suite", *arguments])
        monkeypatch.setattr("torch.cuda.is_available", lambda: False)
        with pytest.raises(SystemExit):
            suite.main()
        assert said in capsys.readouterr().err


def test_a_checkout_that_isnt_installed_knows_its_version(monkeypatch, tmp_path):
    def lack(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(suite, "version", lack)
    monkeypatch.setenv("PYTHONPATH", "here")
    monkeypatch.setattr(sys, "path", list(sys.path))
    suite.tell_version(tmp_path)
    (metadata,) = tmp_path.glob("musiclime_torch-*.dist-info/METADATA")
    assert "Name: musiclime_torch" in metadata.read_text()
    assert suite.os.environ["PYTHONPATH"].startswith(str(tmp_path))
    assert sys.path[-1] == str(tmp_path)
