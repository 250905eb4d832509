"""Tests of the one error."""

import pickle

import pytest

from musiclime_torch.basics.errors import InputError, needing


def test_an_error_says_which_argument_it_is_about_beside_its_sentence():
    error = InputError("seed must be a whole number, got 'x'.", argument="seed")
    assert str(error) == "seed must be a whole number, got 'x'."
    assert error.argument == "seed"
    assert InputError("no argument is to blame.").argument is None


def test_an_error_comes_back_from_another_process_with_its_argument():
    error = pickle.loads(pickle.dumps(InputError("seed must be a whole number, got 'x'.", argument="seed")))  # noqa: S301 - its own
    assert (str(error), error.argument) == ("seed must be a whole number, got 'x'.", "seed")


def test_the_package_and_the_way_to_install_it_are_named():
    with (
        pytest.raises(InputError, match=r"this needs tea_leaves, which isn't installed: run pip install 'tea>=2'\."),
        needing("tea>=2"),
    ):
        import tea_leaves  # noqa: F401
    with pytest.raises(KeyError), needing("tea>=2"):
        raise KeyError
