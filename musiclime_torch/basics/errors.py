"""The one error a user is meant to read: a sentence that quotes the value and names the way out."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec


class InputError(ValueError):
    """The input can't be explained; the message is one sentence fit for a terminal, and the command line exits with 2.

    `argument` is the Python argument that the sentence is about, where one is: the command line names its option after it.

    >>> error = InputError("seed must be a whole number, got 'x'.", argument="seed")
    >>> str(error), error.argument
    ("seed must be a whole number, got 'x'.", 'seed')
    """

    def __init__(self, message: str, *, argument: str | None = None) -> None:
        super().__init__(message)
        self.argument = argument

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions are pickled by their positional arguments alone; this one comes back from other processes whole.
        return type(self), self.args, {"argument": self.argument}


def first_line(error: BaseException) -> str:
    r"""What an error says, in one line of at most 200 characters; its class where it says nothing.

    >>> first_line(ValueError("a\nb")), first_line(KeyError())
    ('a', 'KeyError')
    """
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]


def require(package: str, requirement: str) -> None:
    """InputError as `needing` raises it where a package isn't installed; it isn't imported, which may take seconds.

    >>> require("tea_leaves", "tea>=2")
    Traceback (most recent call last):
    musiclime_torch.basics.errors.InputError: this needs tea_leaves, which isn't installed: run pip install 'tea>=2'.
    """
    if find_spec(package) is None:
        raise InputError(f"this needs {package}, which isn't installed: run pip install '{requirement}'.")


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
