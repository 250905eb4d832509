"""The models that may be chosen, each loaded when it is first asked for."""

from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from musiclime_torch.basics.errors import InputError
from musiclime_torch.commands.models import load_model


@dataclass(frozen=True)
class Shelf:
    """Names as `--model` takes them. No others are loaded: a name may import code."""

    names: tuple[str, ...]
    device: str
    _loaded: dict[str, Callable[..., Any]] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def take(self, name: str) -> Callable[..., Any]:
        """The model; InputError for a name that isn't on the shelf, or that can't be loaded."""
        if name not in self.names:
            raise InputError(f"model {name!r} is not offered here: choose one of {', '.join(self.names)}.")
        with self._lock:
            if name not in self._loaded:
                self._loaded[name] = load_model(name, self.device)
            return self._loaded[name]

    def list_classes(self, name: str) -> tuple[str, ...]:
        """What the model tells apart; nothing where it doesn't say."""
        return tuple(map(str, getattr(self.take(name), "classes", None) or ()))
