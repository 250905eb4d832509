"""Questions to a server, each asked once: answers kept by content, a rate, a budget, and patience with failures.

Every answer is written to a database before the next question is sent, so that whatever ends a run, the next one asks only
what is missing. A request is tried again where the server is busy or fails (408, 425, 429, 5xx), where it takes too long,
and where the connection or the answer breaks off: after the pause that the server asks for (`Retry-After`), or else one that
doubles each time. Every variant that is sent counts against the budget, answered or not.

A token comes from the environment variable ``MUSICLIME_TOKEN``, or a name and a password from the address; both go into the
request's header, over https or to this machine only, and are written nowhere. Redirections aren't followed.
"""

import base64
import http.client
import json
import os
import re
import sqlite3
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from musiclime_torch.basics.errors import InputError, first_line

#: Where a token is looked for.
TOKEN = "MUSICLIME_TOKEN"

#: Answers after which asking again may help.
_BUSY = (408, 425, 429, 500, 502, 503, 504)

#: Seconds: of the first pause, of the longest that doubling leads to, and of the longest that a server may ask for.
_PAUSE, _LONGEST, _MOST = 1.0, 60.0, 600.0

#: Bytes of an answer; more is no list of numbers.
_LIMIT = 2**26

#: Hosts that a token may be sent to without encryption.
_HERE = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Limits:
    """What may be asked of a server: `queries` variants in all, `per_second` requests, `timeout` seconds each, `tries`."""

    queries: int | None = None
    per_second: float | None = None
    timeout: float = 60.0
    tries: int = 6

    def __post_init__(self) -> None:
        for name in ("queries", "per_second", "timeout", "tries"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise InputError(f"{name} must be positive, got {value:g}.")


def redact(address: str) -> str:
    """An address without what may be secret in it: name and password, the query, and settings.

    >>> redact("https://me:secret@example.org:8080/tagger?key=1#queries=5")
    'https://example.org:8080/tagger'
    """
    # By hand: urlsplit refuses some of what people type, and this must never fail.
    return re.sub(r"^(https?://)(?:[^/?#]*@)?([^?#]*).*", r"\1\2", address, flags=re.DOTALL)


class PassingError(Exception):
    """An attempt that another one may repair, `pause` seconds later where the server says so."""

    def __init__(self, message: str, pause: float | None = None) -> None:
        super().__init__(message)
        self.pause = pause


@dataclass(eq=False)
class Line:
    """A connection to one address under limits; `sent` are the variants asked about so far, `answered` those answered."""

    address: str
    limits: Limits
    sent: int = 0
    answered: int = 0
    reached: bool = field(default=False, repr=False)
    _next: float = field(default=0.0, repr=False)

    def __post_init__(self) -> None:
        self.name = redact(self.address)
        try:
            parts = urlsplit(self.address)
            known = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
            self.address.encode("ascii")
        except ValueError:
            known = False
        if not known:
            raise InputError(f"address {self.name!r} can't be read: give one such as https://example.org/tagger.")
        login, _, host = parts.netloc.rpartition("@")
        self.url = urlunsplit((parts.scheme, host, parts.path, parts.query, ""))
        self._headers = {"Accept": "application/json", "User-Agent": "musiclime_torch"}
        token = os.environ.get(TOKEN, "")
        if login or token:
            if parts.scheme != "https" and parts.hostname not in _HERE:
                raise InputError(f"a token or password would be sent to {self.name} unencrypted: give an https:// address.")
            basic = base64.b64encode(unquote(login).encode()).decode()
            self._headers["Authorization"] = f"Basic {basic}" if login else f"Bearer {token}"

    @property
    def left(self) -> int | None:
        """Variants that may still be sent, None for any number."""
        return None if self.limits.queries is None else self.limits.queries - self.sent

    def describe(self) -> Any:
        """The server's description of its model, None where it gives none."""
        return self._ask(None, 0, "")

    def ask(self, question: Any, variants: int, kept: str) -> Any:
        """The server's answer to a question about so many variants; `kept` ends the sentence of a failure."""
        answer = self._ask(json.dumps(question).encode(), variants, kept)
        self.answered += variants
        return answer

    def _ask(self, body: bytes | None, variants: int, kept: str) -> Any:
        for attempt in range(1, self.limits.tries + 1):
            if self.left is not None and variants > self.left:
                raise InputError(
                    f"{self.name} was sent {self.sent} variants, as queries={self.limits.queries} allows{kept}."
                )
            # Counted before it is sent: an attempt that fails may have been answered, and billed, all the same.
            self._wait()
            self.sent += variants
            try:
                answer = self._attempt(body)
            except PassingError as failure:
                # Twice as long each time, unless the server says how long.
                pause = min(_PAUSE * 2 ** (attempt - 1), _LONGEST) if failure.pause is None else failure.pause
                if attempt == self.limits.tries or pause > _MOST:
                    later = f", and asks to wait {pause:.0f} s" if pause > _MOST else ""
                    times = f"{attempt} times" if attempt > 1 else "once"
                    raise InputError(f"{self.name} was tried {times}, at last with {failure}{later}{kept}.") from failure
                self._next = max(self._next, time.monotonic() + pause)
            else:
                self.reached = True
                return answer
        raise AssertionError("the last attempt returns or raises")

    def _wait(self) -> None:
        """Sleep until the next request may be sent."""
        pause = self._next - time.monotonic()
        if pause > 0:
            time.sleep(pause)
        if self.limits.per_second is not None:
            self._next = time.monotonic() + 1 / self.limits.per_second

    def _attempt(self, body: bytes | None) -> Any:
        headers = self._headers if body is None else {**self._headers, "Content-Type": "application/json"}
        request = urllib.request.Request(self.url, body, headers)
        try:
            with _OPENER.open(request, timeout=self.limits.timeout) as answer:
                sized = answer.length is not None or answer.chunked
                text = answer.read(_LIMIT + 1)
                missing = answer.length
        except urllib.error.HTTPError as error:
            return self._read_refusal(error, body is None)
        except (OSError, http.client.HTTPException) as error:
            raise self._read_break(error) from error
        if len(text) > _LIMIT:
            raise InputError(f"{self.name} answered with more than {_LIMIT / 2**20:.0f} MiB, which is no list of outputs.")
        # A read of so many bytes says nothing of those that never came.
        if missing:
            raise PassingError("an answer that breaks off")
        try:
            return json.loads(text)
        except ValueError as error:
            # A server that doesn't say how long its answer is leaves no other sign that it was cut off.
            if not sized:
                raise PassingError("an answer that breaks off") from error
            raise InputError(f"{self.name} answered with something else than JSON ({_quote(text)}).") from error

    def _read_refusal(self, error: urllib.error.HTTPError, describing: bool) -> Any:
        """What an answer other than 200 means: to be tried again, no description, or a sentence."""
        with error:
            try:
                said = _quote(error.read(2000))
            except (OSError, http.client.HTTPException):
                said = ""
        if error.code in _BUSY:
            raise PassingError(f"HTTP {error.code} ({error.reason})", _read_pause(error.headers.get("Retry-After")))
        if describing and error.code in (404, 405, 501):
            return None
        if error.code in (401, 403):
            way_out = f"set {TOKEN} to a token that it accepts"
        elif 300 <= error.code < 400:
            way_out = f"give the address that it points to, {redact(error.headers.get('Location') or 'which it leaves out')}"
        elif error.code == 413:
            way_out = "ask for less at a time, with batch=1 or a part of the song"
        else:
            way_out = "see what the server expects"
        raise InputError(f"{self.name} refused with HTTP {error.code} ({said or error.reason}): {way_out}.") from error

    def _read_break(self, error: Exception) -> Exception:
        """A failure to try again, or a sentence where nothing has ever been reached there."""
        reason = getattr(error, "reason", error)
        if isinstance(reason, TimeoutError):
            return PassingError(f"no answer within {self.limits.timeout:g} s")
        nowhere = isinstance(error, urllib.error.URLError) and not self.reached
        if nowhere or isinstance(reason, ssl.SSLError | http.client.InvalidURL):
            return InputError(f"{self.name} can't be reached ({first_line(reason)}).")
        if isinstance(error, http.client.IncompleteRead):
            return PassingError("an answer that breaks off")
        return PassingError(f"a connection that breaks off ({first_line(reason)})")


class _Stay(urllib.request.HTTPRedirectHandler):
    """Redirections are refused: a token would be sent wherever they point."""

    def redirect_request(self, *_: Any) -> None:
        return None


_OPENER = urllib.request.build_opener(_Stay)


def _quote(text: bytes) -> str:
    """The first line of an answer's text, in quotes; "" where there is none."""
    line = (text.decode("utf-8", "replace").strip().splitlines() or [""])[0][:100]
    return repr(line) if line else ""


def _read_pause(text: str | None) -> float | None:
    """Seconds that a `Retry-After` header asks for, as a number or as a date; None for anything else.

    >>> _read_pause("2"), _read_pause("soon"), _read_pause("Wed, 21 Oct 2015 07:28:00 GMT")
    (2.0, None, 0.0)
    """
    if text is None:
        return None
    try:
        return max(float(text), 0.0)
    except ValueError:
        pass
    try:
        return max((parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds(), 0.0)
    except (ValueError, TypeError):
        return None


class Ledger:
    """Answers by the hash of what was asked, in a database of its own for each address; in memory where `path` is None."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        try:
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
            # Songs of a catalogue are explained in threads; whoever calls locks.
            self._base = sqlite3.connect(path or ":memory:", timeout=60, check_same_thread=False)
            with self._base:
                self._base.execute("CREATE TABLE IF NOT EXISTS answers (question BLOB PRIMARY KEY, outputs TEXT)")
        except (OSError, sqlite3.Error) as error:
            raise InputError(
                f"answers can't be kept in {str(path)!r} ({first_line(error)}): give another cache folder, or cache=off."
            ) from error

    def look_up(self, questions: Sequence[bytes]) -> dict[bytes, list[float]]:
        """Answers to those questions that have one."""
        known = {}
        for question in questions:
            row = self._base.execute("SELECT outputs FROM answers WHERE question = ?", (question,)).fetchone()
            if row is not None:
                known[question] = json.loads(row[0])
        return known

    def add(self, answers: Iterable[tuple[bytes, list[float]]]) -> None:
        """Keep answers, all of them or none."""
        with self._base:
            rows = [(question, json.dumps(outputs)) for question, outputs in answers]
            self._base.executemany("INSERT OR REPLACE INTO answers VALUES (?, ?)", rows)


def default_cache() -> Path:
    """Where answers are kept unless the caller says otherwise."""
    if own := os.environ.get("MUSICLIME_CACHE"):
        return Path(own).expanduser() / "answers"
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path("~/.cache").expanduser()) / "musiclime_torch" / "answers"
