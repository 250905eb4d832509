"""A model behind HTTP that fails on demand, and remembers everything that it was asked and answered."""

import base64
import io
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
from scipy.io import wavfile

#: What the server says of its model unless told otherwise.
DESCRIPTION = {
    "name": "tagger",
    "version": "1",
    "sample_rate": 8000,
    "channels": 1,
    "classes": ["calm", "wild", "sad"],
    "output_kind": "multilabel",
    "modalities": ["audio", "lyrics"],
    "batch": 4,
}

#: A loudness and a number of words to three outputs.
WEIGHTS = np.array([[30.0, -20.0, 5.0], [0.1, 0.3, -0.2]])


class Served:
    """What happened: every variant that came in, those that were answered, the requests' headers; and what is to happen.

    `faults` are what is done to the next requests, one each, before all goes well: a status, "slow", "cut", "cut, unsized",
    "hang up", "text", or a function of the rows of a right answer that gives the whole answer.
    """

    def __init__(self, description: Any) -> None:
        self.description, self.faults = description, list[Any]()
        self.came, self.answered = list[tuple[str, str]](), list[tuple[str, str]]()
        self.requests, self.headers, self.retry_after = 0, list[dict[str, str]](), "0"
        self.address = self.points_to = ""


@contextmanager
def serving(description: Any = DESCRIPTION) -> Iterator[Served]:
    """A server on this machine, until the end of the block."""
    served = Served(description)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            pass

        def do_GET(self) -> None:
            served.headers.append(dict(self.headers))
            if served.description is None:
                self.reply(405, b"")
            elif isinstance(served.description, int):
                self.reply(served.description, b"no entry", {"Location": served.points_to})
            else:
                self.reply(200, json.dumps(served.description).encode())

        def do_POST(self) -> None:
            served.headers.append(dict(self.headers))
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            variants = list(zip(*(asked[key] for key in ("audio", "lyrics") if key in asked), strict=True))
            served.came += variants
            served.requests += 1
            fault = served.faults.pop(0) if served.faults else None
            if isinstance(fault, int):
                return self.reply(fault, b"busy", {"Retry-After": served.retry_after})
            if fault == "slow":
                time.sleep(0.4)
                self.close_connection = True
                return None
            if fault == "hang up":
                self.close_connection = True
                return None
            rows = [judge(*row) for row in variants]
            answer = json.dumps(fault(rows) if callable(fault) else {"outputs": rows}).encode()
            if fault == "text":
                answer = b"<html>it works</html>"
            if fault in ("cut", "cut, unsized"):
                # None leaves the length out, as servers that stream do.
                self.reply(200, answer[: len(answer) // 2], length=len(answer) if fault == "cut" else None)
                self.close_connection = True
                return None
            if fault is None:
                served.answered += variants
            return self.reply(200, answer)

        def reply(self, status: int, body: bytes, headers: dict[str, str] | None = None, length: int | None = -1) -> None:
            self.send_response(status)
            sized = {} if length is None else {"Content-Length": str(len(body) if length < 0 else length)}
            for name, value in {**sized, **(headers or {})}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    served.address = f"http://127.0.0.1:{server.server_port}/tagger"
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()


def judge(sound: str, lyrics: str = "") -> list[float]:
    """The outputs for a variant as it was sent."""
    _, wave = wavfile.read(io.BytesIO(base64.b64decode(sound)))
    return (np.array([np.abs(wave).mean(), len(lyrics.split())]) @ WEIGHTS).tolist()
