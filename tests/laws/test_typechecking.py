"""Calls are checked against annotations while tests run: axes, types, what is returned, and the package's own."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
import torch
from jaxtyping import Float, TypeCheckError
from torch import Tensor
from typechecking import check, decorate

from musiclime_torch.song.track import Track

checked = decorate(typechecker=check)
ONE, TWO = torch.zeros(1), torch.zeros(2)


@checked
def add(one: Float[Tensor, " class"], other: Float[Tensor, " class"] | None = None) -> Float[Tensor, " class"]:
    return one if other is None else one + other


@checked
def widen(one: Float[Tensor, " class"]) -> Float[Tensor, " class"]:
    return one.repeat(2)


@checked
def nest(one: Float[Tensor, " class"]) -> Float[Tensor, " class"]:
    return add(one[:1]).expand(len(one))


@checked
def stack(several: list[Float[Tensor, " class"]]) -> tuple[Float[Tensor, "row class"], int]:
    return several[0].expand(3, -1), len(several)


@checked
def spell(number: int) -> str:
    return str(number) if number < 5 else number


@checked
def halve(number: float) -> float:
    return number / 2


@checked
def count(upto: int) -> Iterator[int]:
    yield from range(upto)


@checked
@dataclass
class Heard:
    sound: Float[Tensor, "channel frame"]
    right: Float[Tensor, "channel frame"]
    rate: int = 8000
    notes: list[str] = field(default_factory=list)

    @property
    @checked
    def mono(self) -> Float[Tensor, " frame"]:
        return self.sound

    @classmethod
    @checked
    def read(cls, sound: Float[Tensor, " frame"]) -> "Heard":
        return cls(sound[None], sound[None])


def test_what_fits_passes():
    assert (spell(3), halve(3), list(count(2))) == ("3", 1.5, [0, 1])
    assert add(TWO, other=TWO).shape == nest(TWO).shape == (2,)
    assert stack([TWO])[0].shape == (3, 2)
    assert Heard.read(TWO).sound.shape == (1, 2)
    # Axes are those of one call alone.
    assert (len(add(ONE)), len(add(TWO))) == (1, 2)


@pytest.mark.parametrize(
    "call",
    [
        lambda: add(ONE, TWO),
        lambda: add(TWO, other=ONE),
        lambda: add(TWO[None]),
        lambda: add(TWO.long()),
        lambda: add(None),
        lambda: widen(TWO),
        lambda: stack([TWO[None]]),
        lambda: spell("3"),
        lambda: spell(7),
        lambda: halve("3"),
        lambda: count("3"),
        lambda: Heard(ONE, ONE),
        lambda: Heard(ONE[None], TWO[None]),
        lambda: Heard(ONE[None], ONE[None], "8000"),
        lambda: Heard(ONE[None], ONE[None]).mono,
        lambda: Heard.read(ONE[None]),
    ],
)
def test_what_does_not_is_refused(call):
    with pytest.raises(TypeCheckError):
        call()


def test_axes_are_told():
    with pytest.raises(TypeCheckError) as refused:
        add(ONE, TWO)
    assert any("class=1" in note for note in refused.value.__notes__)


def test_the_packages_own_calls_are_checked():
    with pytest.raises(TypeCheckError):
        Track(torch.zeros(2, 8000), ("a", "b"), 8000, None)
