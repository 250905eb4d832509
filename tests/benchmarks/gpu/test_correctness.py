"""The checks fail where they should."""

import torch
from models import Late

from benchmarks.gpu import correctness
from benchmarks.worlds.subjects import make_track

CPU = torch.device("cpu")


def test_a_check_that_fails_or_raises_says_so():
    assert correctness.judge("a", lambda: correctness.expect(True, "fine")) == {
        "check": "a",
        "result": "holds",
        "figure": "fine",
    }
    assert correctness.judge("a", lambda: correctness.expect(False, "3 off"))["result"] == "FAILS"
    assert correctness.judge("a", lambda: [][1])["figure"].startswith("IndexError")


def test_captums_promises_hold_on_a_cpu():
    results = [correctness.judge(name, check) for name, check in correctness.list_promises(CPU).items()]
    assert [row["result"] for row in results] == ["holds"] * 5


class Drifting(Late):
    """Answers otherwise the second time: what a GPU that doesn't agree would look like."""

    calls = 0

    def fuse(self, heard, read):
        self.calls += 1
        return super().fuse(heard, read) * (1 + 0.01 * self.calls)


def test_a_device_that_doesnt_agree_is_told():
    rows = list(correctness.compare(Drifting(), make_track(1.0, lines=1), 24, CPU))
    assert [row["result"] for row in rows if "coefficients" in row["check"] or "twice" in row["check"]] == ["FAILS", "FAILS"]
    steady = [row["result"] for row in correctness.compare(Late(), make_track(1.0, lines=1), 24, CPU)]
    assert steady == ["holds"] * 4


def test_a_check_that_fails_without_a_word_is_a_row_too():
    def fail() -> str:
        raise AssertionError

    assert correctness.judge("a check", fail) == {"check": "a check", "result": "FAILS", "figure": "AssertionError: "}
