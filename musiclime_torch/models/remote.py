"""A model behind HTTP: JSON in, JSON out, for decisions of a box that can't be opened. The protocol is in docs/models.md.

A GET of the address describes the model: which sound it takes, what its classes are, how many variants it answers at a time.
A POST asks about variants, each as a WAV file of 32-bit floats in base64, or as its lyrics, or both. The answer has a row of
numbers for each. Every row is checked and kept before the next request (`queries`), so that nothing is asked twice.
"""

import base64
import hashlib
import io
import json
import math
import threading
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from musiclime_torch.basics.choices import OutputKind
from musiclime_torch.basics.errors import InputError
from musiclime_torch.models.queries import Ledger, Limits, Line, default_cache

#: What a description may say, with the type of each; anything else in it is ignored.
DESCRIBED: dict[str, type | tuple[type, ...]] = {
    "version": str,
    "sample_rate": int,
    "channels": int,
    "classes": list,
    "output_kind": str,
    "modalities": list,
    "max_seconds": (int, float),
    "shortest_seconds": (int, float),
    "batch": int,
    "per_second": (int, float),
}


#: The sound (channel, frame) and the lyrics that are asked about; None for what the model doesn't take.
Variant = tuple[Tensor | None, str | None]


class HttpModel(nn.Module):
    """The model at an address, asked at most as often as the limits say.

    Args:
        address: http:// or https://; a name and a password in it become the request's login.
        queries: variants that may be sent in all, those that have to be sent again included; None for any number.
        per_second: requests a second at most; the server's own limit holds where it is lower.
        timeout: seconds to wait for an answer.
        tries: how often a request is sent before giving up.
        batch: variants a request, at most as many as the server takes.
        sample_rate: Hz, where the server doesn't say.
        cache: folder of kept answers; None for the usual one, "off" for none beyond this object.

    Raises:
        InputError: the server can't be reached, describes its model in a way that can't be understood, or takes sound and
            doesn't say at which rate.
    """

    #: Sound is sent with its rate, which must be the one that songs are resampled to.
    only_rate = True

    def __init__(
        self,
        address: str,
        queries: int | None = None,
        per_second: float | None = None,
        timeout: float = 60.0,
        tries: int = 6,
        batch: int | None = None,
        sample_rate: int | None = None,
        cache: str | Path | None = None,
    ) -> None:
        super().__init__()
        line = Line(address, Limits(queries, per_second, timeout, tries))
        if batch is not None and batch < 1:
            raise InputError(f"batch must be positive, got {batch}.")
        said = _check_description(line.name, line.describe())
        slowest = min((rate for rate in (per_second, said.get("per_second")) if rate), default=None)
        line.limits = Limits(queries, slowest, timeout, tries)
        self._line, self._lock, self.name = line, threading.Lock(), line.name
        most = said.get("batch", batch or 1)
        self.batch = most if batch is None else min(batch, most)
        self._declare(said, sample_rate)
        # Nothing is known of the weights but what the server calls their version.
        told = [said.get("version"), self.sample_rate, self.classes, self.output_kind]
        self.weights_hash = _hash_text([self.name, *told]) if "version" in said else ""
        # A query may choose the model. It may also be a secret, so that no explanation keeps even its hash.
        self._identity = _hash_text([line.url, *told])
        folder = default_cache() if cache is None else Path(cache).expanduser()
        self._ledger = Ledger(None if cache == "off" else folder / f"{self._identity[:16]}.sqlite")

    def _declare(self, said: dict[str, Any], sample_rate: int | None) -> None:
        """What the pipeline reads off a model."""
        self.modalities = tuple(said.get("modalities", ("audio", "lyrics")))
        self.sample_rate, self.channels = said.get("sample_rate", sample_rate), said.get("channels")
        if "audio" in self.modalities and self.sample_rate is None:
            raise InputError(
                f"{self.name} doesn't say which sample rate it takes: give it after the address, as #sample_rate=16000."
            )
        self.classes = tuple(said["classes"]) if "classes" in said else None
        self.output_kind = said.get("output_kind", "logits")
        self.max_seconds, self.shortest_seconds = said.get("max_seconds"), said.get("shortest_seconds")
        self._width = None if self.classes is None else len(self.classes)

    @property
    def sent(self) -> int:
        """Variants sent so far."""
        return self._line.sent

    def forward(self, *inputs: Any) -> Float[Tensor, "batch class"]:
        """Outputs, of which only those are asked for that aren't kept."""
        given = dict(zip(self.modalities, inputs, strict=True))
        audio: Tensor | None = given.get("audio")
        variants = _pair(audio, given.get("lyrics"))
        questions = [self._hash(*variant) for variant in variants]
        with self._lock:
            known = self._ledger.look_up(questions)
            # Of variants that are alike the first is asked about.
            first = dict(zip(reversed(questions), reversed(variants), strict=True))
            missing = [question for question in dict.fromkeys(questions) if question not in known]
            while missing:
                size = self.batch if self._line.left is None else max(min(self.batch, self._line.left), 1)
                known |= self._ask({question: first[question] for question in missing[:size]})
                missing = missing[size:]
        rows = torch.tensor([known[question] for question in questions], dtype=torch.float32)
        return rows if audio is None else rows.to(audio.device)

    def _ask(self, some: dict[bytes, Variant]) -> dict[bytes, list[float]]:
        """Ask about some variants, and keep the answers."""
        question: dict[str, Any] = {}
        sounds, texts = zip(*some.values(), strict=True)
        if self.sample_rate is not None and "audio" in self.modalities:
            question["sample_rate"] = self.sample_rate
            question["audio"] = [encode_wave(sound, self.sample_rate) for sound in sounds]
        if "lyrics" in self.modalities:
            question["lyrics"] = texts
        answer = self._line.ask(question, len(some), self._tell_of_kept())
        outputs = _check_outputs(self.name, answer, len(some), self.classes, self._width)
        self._width = len(outputs[0])
        answers = dict(zip(some, outputs, strict=True))
        self._ledger.add(answers.items())
        return answers

    def _tell_of_kept(self) -> str:
        if self._ledger.path is None:
            return ""
        return f": its {self._line.answered} answers are kept in {self._ledger.path.parent}, and asking again resumes"

    def _hash(self, sound: Float[Tensor, "channel frame"] | None, text: str | None) -> bytes:
        """What tells one question from another."""
        digest = hashlib.sha256(self._identity.encode())
        if sound is not None:
            digest.update(str(tuple(sound.shape)).encode() + sound.contiguous().numpy().tobytes())
        digest.update(b"" if text is None else b"\0" + text.encode())
        return digest.digest()


def _hash_text(told: Any) -> str:
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()


def _pair(audio: Tensor | None, lyrics: Sequence[str] | None) -> list[Variant]:
    sounds: list[Any] = [] if audio is None else list(audio.detach().cpu().float())
    texts: list[Any] = [] if lyrics is None else list(lyrics)
    return list(zip_longest(sounds, texts))


def encode_wave(sound: Float[Tensor, "channel frame"], rate: int) -> str:
    """A WAV file of 32-bit floats, in base64."""
    from scipy.io import wavfile

    file = io.BytesIO()
    wavfile.write(file, rate, sound.T.contiguous().numpy())
    return base64.b64encode(file.getvalue()).decode()


def _check_description(name: str, said: Any) -> dict[str, Any]:
    """What a description says; InputError for what can't be meant."""
    if said is None:
        return {}
    if not isinstance(said, dict):
        raise InputError(f"{name} describes its model as {_cut(said)}, and not as a JSON object.")
    # null is the same as nothing.
    said = {key: value for key, value in said.items() if key in DESCRIBED and value is not None}
    for key, value in said.items():
        right = isinstance(value, DESCRIBED[key]) and not isinstance(value, bool)
        if right and isinstance(value, list):
            right = bool(value) and all(isinstance(entry, str) for entry in value)
        if right and isinstance(value, int | float):
            right = math.isfinite(value) and value > 0
        if right and key == "output_kind":
            right = value in get_args(OutputKind)
        if right and key == "modalities":
            right = value in (["audio", "lyrics"], ["audio"], ["lyrics"])
        if not right:
            raise InputError(f"{name} describes its model with {key}={_cut(value)}, which can't be understood.")
    return said


def _check_outputs(
    name: str, answer: Any, count: int, classes: tuple[str, ...] | None, width: int | None
) -> list[list[float]]:
    """The rows of an answer; InputError for anything but a finite number a class for each variant."""
    rows = answer.get("outputs") if isinstance(answer, dict) else None
    if not isinstance(rows, list):
        raise InputError(f"{name} answered {_cut(answer)}, which has no list of outputs.")
    if len(rows) != count:
        raise InputError(f"{name} answered with {len(rows)} rows of outputs for {count} variants.")
    for row in rows:
        if not isinstance(row, list) or not row or not all(map(_is_number, row)):
            raise InputError(f"{name} answered with the row {_cut(row)}, and not with a list of finite numbers.")
        width = len(row) if width is None else width
        if len(row) != width:
            raise InputError(f"{name} answered with {len(row)} outputs for a variant, expected {width}.")
    named = answer.get("classes")
    if named is not None and classes is not None and list(named) != list(classes):
        raise InputError(f"{name} answered for the classes {_cut(named)}, expected {_cut(list(classes))}.")
    return [[float(number) for number in row] for row in rows]


def _is_number(value: Any) -> bool:
    # Python's JSON reads NaN, Infinity and whole numbers that no float holds.
    return type(value) in (int, float) and abs(value) <= 1e300


def _cut(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else text[:80] + "..."
