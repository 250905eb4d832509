"""Optional packages: imported where they are used, and named with the command that installs them where they are missing."""

from collections.abc import Iterator
from contextlib import contextmanager

from musiclime_torch.basics.errors import InputError


@contextmanager
def needing(requirement: str) -> Iterator[None]:
    """Inside, a package that can't be imported raises an InputError that says what to install.

    >>> with needing("tea>=2"):
    ...     import tea_leaves
    Traceback (most recent call last):
    musiclime_torch.basics.errors.InputError: this needs tea_leaves, which isn't installed: run pip install 'tea>=2'.
    """
    try:
        yield
    except ImportError as error:
        raise InputError(f"this needs {error.name}, which isn't installed: run pip install '{requirement}'.") from error
