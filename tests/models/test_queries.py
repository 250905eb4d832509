"""Requests to a server that fails: pauses, retries, budget, login, and what is kept."""

import re
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from faulty_server import serving

from musiclime_torch.basics.errors import InputError
from musiclime_torch.models import queries
from musiclime_torch.models.queries import Ledger, Limits, Line, default_cache
from musiclime_torch.models.remote import encode_wave


class Clock:
    """Time that passes only in sleep."""

    def __init__(self) -> None:
        self.now, self.slept = 100.0, list[float]()

    def sleep(self, seconds: float) -> None:
        self.slept.append(round(seconds, 6))
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(queries, "time", SimpleNamespace(sleep=clock.sleep, monotonic=lambda: clock.now))
    return clock


def ask(line: Line, variants: int = 1) -> object:
    return line.ask({"lyrics": ["la"] * variants, "audio": [SILENCE] * variants}, variants, "")


SILENCE = encode_wave(torch.zeros(1, 8), 8000)


def test_pauses_double_until_the_server_answers(clock: Clock):
    with serving() as served:
        served.retry_after = "soon"
        served.faults = [500, 503, "hang up", "cut", "cut, unsized", 429]
        line = Line(served.address, Limits(tries=7))
        assert ask(line) == {"outputs": [[0.1, 0.3, -0.2]]}
    assert clock.slept == [1, 2, 4, 8, 16, 32]
    assert (line.sent, line.answered, served.requests) == (7, 1, 7)


def test_the_server_says_how_long_to_wait(clock: Clock):
    with serving() as served:
        line = Line(served.address, Limits())
        served.retry_after, served.faults = "7", [429]
        ask(line)
        assert clock.slept == [7]
        served.retry_after, served.faults = format_datetime(datetime.now(UTC) + timedelta(seconds=30)), [503]
        ask(line)
        assert 25 < clock.slept[1] <= 30
        served.retry_after, served.faults = "3600", [429]
        with pytest.raises(
            InputError, match=r"tried once, at last with HTTP 429 \(Too Many .*\), and asks to wait 3600 s\."
        ):
            ask(line)


def test_a_server_that_keeps_failing_is_left_alone(clock: Clock):
    with serving() as served:
        served.faults = [500] * 9
        line = Line(served.address, Limits(tries=3))
        with pytest.raises(
            InputError, match=r"/tagger was tried 3 times, at last with HTTP 500 \(Internal Server Error\)\."
        ):
            ask(line)
        assert served.requests == 3


def test_a_slow_answer_is_asked_for_again(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(queries, "_PAUSE", 0.01)
    with serving() as served:
        served.faults = ["slow", "slow"]
        line = Line(served.address, Limits(timeout=0.1, tries=2))
        with pytest.raises(InputError, match=r"tried 2 times, at last with no answer within 0\.1 s"):
            ask(line)


def test_the_rate_holds_between_all_requests(clock: Clock):
    with serving() as served:
        line = Line(served.address, Limits(per_second=4))
        for _ in range(4):
            ask(line)
        assert clock.slept == [0.25] * 3
        served.retry_after, served.faults = "soon", [500]
        ask(line)
        assert clock.slept[3:] == [0.25, 1.0]


def test_what_is_sent_again_counts_against_the_budget(clock: Clock):
    with serving() as served:
        served.faults = [500]
        line = Line(served.address, Limits(queries=5))
        ask(line, 2)
        assert (line.sent, line.answered, line.left) == (4, 2, 1)
        with pytest.raises(InputError, match=r"/tagger was sent 4 variants, as queries=5 allows: kept\."):
            line.ask({"lyrics": ["la"] * 2, "audio": [SILENCE] * 2}, 2, ": kept")
        assert len(served.came) == 4


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (401, "refused with HTTP 401 ('no entry'): set MUSICLIME_TOKEN to a token that it accepts."),
        (413, "ask for less at a time, with batch=1 or a part of the song."),
        (418, "refused with HTTP 418 ('no entry'): see what the server expects."),
    ],
)
def test_a_refusal_is_a_sentence_at_once(status: int, said: str, clock: Clock):
    with serving(status) as served, pytest.raises(InputError) as caught:
        Line(served.address, Limits()).describe()
    assert str(caught.value).endswith(said)
    assert not clock.slept


def test_an_address_without_a_server_is_told_at_once(clock: Clock):
    with serving() as served:
        pass
    with pytest.raises(InputError, match=r"/tagger can't be reached \(.*refused\)\."):
        Line(served.address, Limits()).describe()
    assert not clock.slept


@pytest.mark.parametrize("address", ["https://", "http://[::1/x", "http://a:port/x", "https://exämple.org/x", "http://:80"])
def test_an_address_that_cannot_be_read_is_a_sentence(address: str):
    with pytest.raises(InputError) as caught:
        Line(address, Limits())
    assert str(caught.value) == f"address {address!r} can't be read: give one such as https://example.org/tagger."


def test_an_address_with_a_space_is_told_at_once(clock: Clock):
    with pytest.raises(
        InputError, match=r"http://127\.0\.0\.1:9/a b can't be reached \(URL can't contain control characters"
    ):
        Line("http://127.0.0.1:9/a b", Limits()).describe()
    assert not clock.slept


def test_a_redirection_is_not_followed(clock: Clock, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MUSICLIME_TOKEN", "s3cret")
    with serving(302) as served, serving() as other:
        served.points_to = other.address
        said = f"refused with HTTP 302 ('no entry'): give the address that it points to, {other.address}."
        with pytest.raises(InputError, match=re.escape(said)):
            Line(served.address, Limits()).describe()
        assert other.headers == []


def test_a_server_without_a_description(clock: Clock):
    with serving(None) as served:
        assert Line(served.address, Limits()).describe() is None


def test_answers_that_are_no_json(clock: Clock):
    with serving() as served:
        served.faults = ["text"]
        with pytest.raises(InputError, match=r"answered with something else than JSON \('<html>it works</html>'\)\."):
            ask(Line(served.address, Limits()))
        assert served.requests == 1


def test_a_token_goes_into_the_header_and_nowhere_else(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MUSICLIME_TOKEN", "s3cret")
    with serving() as served:
        line = Line(served.address, Limits())
        line.describe()
        assert served.headers[0]["Authorization"] == "Bearer s3cret"
        assert "s3cret" not in line.name + repr(line)
    with pytest.raises(InputError, match=r"sent to http://example\.org/x unencrypted: give an https:// address\."):
        Line("http://example.org/x?key=1", Limits())


def test_a_login_in_the_address_goes_into_the_header_and_nowhere_else():
    with serving() as served:
        address = served.address.replace("http://", "http://me:p%40ss@")
        line = Line(address, Limits())
        line.describe()
        assert served.headers[0]["Authorization"] == "Basic bWU6cEBzcw=="
        assert line.name == served.address


@pytest.mark.parametrize("limits", [{"queries": 0}, {"per_second": -1.0}, {"timeout": 0.0}, {"tries": 0}])
def test_limits_are_positive(limits: dict[str, float]):
    (name, value), *_ = limits.items()
    with pytest.raises(InputError, match=f"^{name} must be positive, got {value:g}."):
        Limits(**limits)


def test_answers_outlive_the_process(tmp_path: Path):
    ledger = Ledger(tmp_path / "new" / "a.sqlite")
    ledger.add([(b"a", [1.0, 0.1]), (b"b", [2.0, 3.0])])
    assert Ledger(tmp_path / "new" / "a.sqlite").look_up([b"b", b"c", b"a"]) == {b"b": [2.0, 3.0], b"a": [1.0, 0.1]}
    assert Ledger(None).look_up([b"a"]) == {}


def test_a_batch_of_answers_is_kept_as_a_whole_or_not_at_all(tmp_path: Path):
    ledger = Ledger(tmp_path / "a.sqlite")

    def answers():
        yield b"a", [1.0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ledger.add(answers())
    assert ledger.look_up([b"a"]) == {}


def test_a_cache_that_cannot_be_used_is_named(tmp_path: Path):
    (tmp_path / "a.sqlite").write_bytes(b"not a database at all, but long enough to be read as one" * 20)
    with pytest.raises(InputError, match=r"can't be kept in '.*a\.sqlite' \(.*\): give another cache folder, or cache=off"):
        Ledger(tmp_path / "a.sqlite")
    with pytest.raises(InputError, match="give another cache folder"):
        Ledger(tmp_path / "a.sqlite" / "b.sqlite")


def test_where_answers_are_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("MUSICLIME_CACHE", str(tmp_path))
    assert default_cache() == tmp_path / "answers"
    monkeypatch.delenv("MUSICLIME_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache() == tmp_path / "musiclime_torch" / "answers"
