"""Packages that aren't installed."""

import pytest

from musiclime_torch.basics.errors import InputError, needing


def test_the_package_and_the_way_to_install_it_are_named():
    with (
        pytest.raises(InputError, match=r"this needs tea_leaves, which isn't installed: run pip install 'tea>=2'\."),
        needing("tea>=2"),
    ):
        import tea_leaves  # noqa: F401
    with pytest.raises(KeyError), needing("tea>=2"):
        raise KeyError
