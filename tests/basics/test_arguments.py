"""Arguments in the forms that people give them."""

from typing import Literal

import numpy as np
import pytest

from musiclime_torch.basics.arguments import check_name, find_class, read_integer
from musiclime_torch.basics.errors import InputError


@pytest.mark.parametrize("value", ["x", None, 3, ["coffee"]])
def test_names_are_those_of_the_literal(value: object):
    check_name("milk", Literal["coffee", "milk"], "drink")
    with pytest.raises(InputError, match=r"drink .* is not known: use coffee or milk"):
        check_name(value, Literal["coffee", "milk"], "drink")


def test_classes_are_found_by_name_or_number():
    classes = ("Calm", "wild")
    assert [find_class(target, classes) for target in ("calm", "WILD", "1", 0, np.int64(1))] == [0, 1, 1, 0, 1]
    for wrong in ("sad", 2, -1, "7"):
        with pytest.raises(InputError, match=r"the model has no class .*: choose one of Calm, wild"):
            find_class(wrong, classes)


def test_integers_are_pythons_own():
    assert type(read_integer(np.int64(3), "seed")) is int
    with pytest.raises(InputError, match=r"seed 1\.5 is not a whole number") as raised:
        read_integer(1.5, "seed")
    assert raised.value.argument == "seed"
