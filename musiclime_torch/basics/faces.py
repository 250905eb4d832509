"""Faces of folders: their public names, written down once and imported on first use, for torch takes seconds.

A folder's `__init__` lists them as imports under `if TYPE_CHECKING`, where editors and type checkers read them; `lazy` reads
the same lines.
"""

import ast
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pkgutil import iter_modules
from typing import Any, Protocol, cast


class _Source(Protocol):
    """What loaders of Python files offer, those of zip archives too."""

    def get_source(self, name: str, /) -> str | None: ...


def lazy(package: str) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """`__getattr__`, `__dir__` and `__all__` of a package, from the imports under its `if TYPE_CHECKING`.

    `dir` lists the public names and the folders within, which have faces of their own.

    >>> import musiclime_torch
    >>> {"explain", "views"} <= set(dir(musiclime_torch)), "lazy" in dir(musiclime_torch)
    (True, False)
    """
    homes = _read_homes(package)
    folders = [entry.name for entry in iter_modules(sys.modules[package].__path__) if entry.ispkg]

    def get(name: str) -> Any:
        if name in homes:
            return getattr(import_module(homes[name]), name)
        # `import musiclime_torch; musiclime_torch.views.to_html`: a folder of the house is a name of it, too.
        if not name.startswith("_") and find_spec(f"{package}.{name}"):
            return import_module(f"{package}.{name}")
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    def names() -> list[str]:
        # What people look for, and Python's own names; not what the face itself is made with.
        own = [name for name in vars(sys.modules[package]) if name.startswith("__")]
        return sorted({*own, *homes, *folders})

    return get, names, sorted(homes)


def _read_homes(package: str) -> dict[str, str]:
    """The module that each public name is imported from."""
    specification = sys.modules[package].__spec__
    assert specification is not None
    source = cast(_Source, specification.loader).get_source(package)
    # The same source that type checkers read. It is parsed, for the block itself never runs.
    blocks = [node.body for node in ast.parse(source or "").body if isinstance(node, ast.If)]
    return {
        alias.name: node.module
        for block in blocks
        for node in block
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }
