"""The checker behind the shape annotations: beartype, with an int allowed where a float is asked for, as in PEP 484.

jaxtyping's own decorator binds a call's arguments by name and checks them twice, which costs as much as a fifth of all
tests. Here a call is checked once, and axes are remembered only where an annotation has some.
"""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import is_dataclass
from functools import wraps
from typing import Any, TypeVar, get_args, get_type_hints

import jaxtyping
from beartype import BeartypeConf, beartype
from jaxtyping import AbstractArray, TypeCheckError

try:
    from jaxtyping._storage import pop_shape_memo, push_shape_memo, shape_str
except ImportError:  # a jaxtyping that keeps axes elsewhere: its own decorator has to do
    push_shape_memo = None

check = beartype(conf=BeartypeConf(is_pep484_tower=True, violation_type=TypeCheckError))
_check_slowly = jaxtyping.jaxtyped


def check_calls_of(modules: Sequence[str]) -> None:
    """Check every call of what these modules define, once they are imported."""
    jaxtyping.jaxtyped = decorate  # the name that the hook writes above every function and class
    jaxtyping.install_import_hook(modules, "typechecking.check")


def decorate(*, typechecker: Callable[..., Any]) -> Callable[[Any], Any]:
    """As `jaxtyping.jaxtyped` with a checker: a decorator of functions and dataclasses. Of axes it knows names and sizes."""

    def apply(given: Any) -> Any:
        if push_shape_memo is None:
            return _check_slowly(given, typechecker=typechecker)
        if inspect.isclass(given):
            if is_dataclass(given) and not hasattr(given.__init__, "__wrapped__"):
                given.__init__ = apply(given.__init__)
            return given
        if inspect.isgeneratorfunction(given) or inspect.iscoroutinefunction(given) or not inspect.isfunction(given):
            return _check_slowly(given, typechecker=typechecker)
        checked = typechecker(given)
        return _remember_axes(checked) if _has_shapes(given) else checked

    return apply


def _remember_axes(checked: Callable[..., Any]) -> Callable[..., Any]:
    """Axes of one name are as long as each other within a call: its arguments', and what it returns."""

    @wraps(checked)
    def call(*args: Any, **kwargs: Any) -> Any:
        memos = push_shape_memo({})
        try:
            return checked(*args, **kwargs)
        except TypeCheckError as error:
            error.add_note(shape_str(memos))
            raise
        finally:
            pop_shape_memo()

    return call


def _has_shapes(function: Callable[..., Any]) -> bool:
    try:
        hints = get_type_hints(function)
    except NameError:  # a class that isn't there yet
        return True
    return any(map(_holds_array, hints.values()))


def _holds_array(hint: Any) -> bool:
    if inspect.isclass(hint) and issubclass(hint, AbstractArray):
        return True
    return isinstance(hint, TypeVar) or any(map(_holds_array, hint if isinstance(hint, list) else get_args(hint)))
