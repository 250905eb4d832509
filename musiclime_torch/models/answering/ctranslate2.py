"""CTranslate2's model files read without CTranslate2: numbers and names in a row, after a short header.

Whisper's tensors get the names that `transformers` has for them. A file is only read, never run.
"""

import struct
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from musiclime_torch.basics.errors import InputError

#: Number types by their place in the format's list.
_TYPES = {0: "<f4", 1: "<i1", 2: "<i2", 3: "<i4", 4: "<f2"}


def read_ctranslate2(path: Path) -> dict[str, Tensor]:
    """All tensors of a model.bin, by name, in float32. InputError for a file that isn't one, or is cut off."""
    try:
        return _Reader(path.read_bytes()).read()
    except (OSError, ValueError, KeyError, struct.error) as error:
        raise InputError(f"{str(path)!r} can't be read as a CTranslate2 model ({error}).") from error


class _Reader:
    """A place in a file's bytes, which moves on with each value that is read."""

    def __init__(self, data: bytes) -> None:
        self.data, self.place = data, 0

    def read(self) -> dict[str, Tensor]:
        """Header, then the tensors; what follows are aliases, of which Whisper's readers need none."""
        self._number("I")  # version of the format
        self._text()  # name of the model's specification
        self._number("I")  # revision of it
        return dict(self._tensor() for _ in range(self._number("I")))

    def _tensor(self) -> tuple[str, Tensor]:
        name = self._text()
        shape = [self._number("I") for _ in range(self._number("B"))]
        kind = np.dtype(_TYPES[self._number("B")])
        values = np.frombuffer(self._take(self._number("I")), kind).reshape(shape)
        return name, torch.from_numpy(values.astype(np.float32))

    def _text(self) -> str:
        # A length of two bytes, and a zero at the end.
        return self._take(self._number("H"))[:-1].decode()

    def _number(self, form: str) -> int:
        number: int = struct.unpack(f"<{form}", self._take(struct.calcsize(f"<{form}")))[0]
        return number

    def _take(self, count: int) -> bytes:
        taken = self.data[self.place : self.place + count]
        if len(taken) < count:
            raise ValueError("the file ends too early")
        self.place += count
        return taken


def name_whisper_weights(tensors: dict[str, Tensor], layers: int) -> dict[str, Tensor]:
    """Whisper's tensors by the names of `WhisperForConditionalGeneration`.

    CTranslate2 stacks the projections that share an input: query, key and value of self-attention, key and value of the
    decoder's attention to the sound. Whisper's keys have no bias; the file has zeros in its place.
    """
    named: dict[str, Tensor] = {"model.decoder.embed_tokens.weight": tensors["decoder/embeddings/weight"]}

    def copy(name: str, source: str, pair: tuple[str, str] = ("weight", "bias")) -> None:
        for own, other in zip(("weight", "bias"), pair, strict=True):
            named[f"{name}.{own}"] = tensors[f"{source}/{other}"]

    def split(names: list[str], source: str) -> None:
        for part in ("weight", "bias"):
            for name, piece in zip(names, tensors[f"{source}/{part}"].chunk(len(names)), strict=True):
                if part == "weight" or not name.endswith("k_proj"):
                    named[f"{name}.{part}"] = piece

    norm = ("gamma", "beta")
    for number in (1, 2):
        copy(f"model.encoder.conv{number}", f"encoder/conv{number}")
    for side in ("encoder", "decoder"):
        copy(f"model.{side}.layer_norm", f"{side}/layer_norm", norm)
        named[f"model.{side}.embed_positions.weight"] = tensors[f"{side}/position_encodings/encodings"]
        for number in range(layers):
            name, source = f"model.{side}.layers.{number}", f"{side}/layer_{number}"
            own = f"{name}.self_attn"
            split([f"{own}.{part}_proj" for part in "qkv"], f"{source}/self_attention/linear_0")
            copy(f"{own}.out_proj", f"{source}/self_attention/linear_1")
            copy(f"{own}_layer_norm", f"{source}/self_attention/layer_norm", norm)
            if side == "decoder":
                other = f"{name}.encoder_attn"
                copy(f"{other}.q_proj", f"{source}/attention/linear_0")
                split([f"{other}.k_proj", f"{other}.v_proj"], f"{source}/attention/linear_1")
                copy(f"{other}.out_proj", f"{source}/attention/linear_2")
                copy(f"{other}_layer_norm", f"{source}/attention/layer_norm", norm)
            for part in (0, 1):
                copy(f"{name}.fc{part + 1}", f"{source}/ffn/linear_{part}")
            copy(f"{name}.final_layer_norm", f"{source}/ffn/layer_norm", norm)
    return named
