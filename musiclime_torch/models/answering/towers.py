"""Windows of sound through a model's tower, each distinct one once.

A window contains the stems of one or two segments of a long song, so that many masks leave it the same. What distinguishes
windows is their content: a model is given sound and knows no masks.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from threading import Lock
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

#: Bytes of encodings that are kept between calls: a hundred half minutes of a model of 8 billion weights, in half precision.
KEPT = 512 * 2**20

#: A window's content in 128 bits, its frames, and the weights that it was encoded with.
Key = tuple[int, int, int, Any]


class Encodings:
    """What a tower made of windows. Several threads may use them at once."""

    def __init__(self, most: int = KEPT) -> None:
        self._rows: OrderedDict[Key, Tensor] = OrderedDict()
        self._most, self._bytes, self._lock = most, 0, Lock()

    def encode(
        self,
        tower: nn.Module,
        windows: Float[Tensor, "window ..."],
        frames: Sequence[int],
        run: Callable[[Int[Tensor, " some"]], Float[Tensor, "some position dim"]],
        keep: bool = True,
    ) -> Float[Tensor, "window position dim"]:
        """Encodings of all windows. `run` gets the places of those that must be encoded; `frames` are their own lengths.

        With `keep` later calls find them, until others need the room. Where gradients are wanted, or dropout makes every
        pass another one, all windows are run.
        """
        if torch.is_grad_enabled() or tower.training:
            return run(torch.arange(len(windows), device=windows.device))
        keys = self._name(tower, windows, frames)
        with self._lock:
            known = {key: self._rows[key] for key in dict.fromkeys(keys) if key in self._rows}
        places = {key: place for place, key in reversed(list(enumerate(keys))) if key not in known}
        if places:
            fresh = sorted(places.items(), key=lambda item: item[1])
            order = torch.tensor([place for _, place in fresh]).to(windows.device, non_blocking=True)
            rows = dict(zip((key for key, _ in fresh), run(order), strict=True))
            if keep:
                self._add(rows)
            known |= rows
        return torch.stack([known[key] for key in keys])

    def _name(self, tower: nn.Module, windows: Tensor, frames: Sequence[int]) -> list[Key]:
        """Keys of windows. An optimizer's step moves torch's counters, weights that are put in place their address."""
        parameters = list(tower.parameters())
        if any(weight.is_inference() for weight in parameters):
            weights: Any = object()  # torch doesn't count their changes: equal to no other call's
        else:
            weights = tuple((weight.data_ptr(), weight._version) for weight in parameters)
        names = fingerprint(windows).tolist()
        return [(first, second, count, weights) for (first, second), count in zip(names, frames, strict=True)]

    def _add(self, rows: dict[Key, Tensor]) -> None:
        with self._lock:
            for key, row in rows.items():
                if key not in self._rows:
                    # A row of a batch would keep the whole batch in memory.
                    self._rows[key] = row.clone()
                    self._bytes += row.nbytes
            while self._bytes > self._most:
                self._bytes -= self._rows.popitem(last=False)[1].nbytes


def fingerprint(windows: Float[Tensor, "window ..."]) -> Int[Tensor, "window 2"]:
    """128 bits of each window's content, computed where it is: windows of other content have others.

    Every 32 bits are mixed with their place by multiplication and shifts, as in splitmix64, and the results added up modulo
    2⁶⁴, twice. Sums of products alone would not tell two flipped signs.
    """
    bits = windows.float().flatten(1).contiguous().view(torch.int32)
    places = torch.arange(1, bits.shape[1] + 1, device=bits.device)
    return torch.stack([torch.stack([_mix(row, places, odd) for odd in _ODDS]) for row in bits])


#: Odd numbers: the golden ratio's bits, as in splitmix64, and those of √3.
_ODDS = (-7046029254386353131, -4942790177534073029)


def _mix(bits: Int[Tensor, " place"], places: Int[Tensor, " place"], odd: int) -> Int[Tensor, ""]:
    mixed = bits.long() ^ (places * odd)
    for shift, factor in ((30, -4658895280553007687), (27, -7723592293110705685)):
        # An arithmetic shift fills in the sign, and is a bijection with the exclusive or all the same.
        mixed = (mixed ^ (mixed >> shift)) * factor
    return (mixed ^ (mixed >> 31)).sum()
