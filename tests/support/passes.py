"""Stages that note the passes they are told of, and draw nothing."""

from typing import Any

from musiclime_torch.basics.progress import Stages


class Noting(Stages):
    """`done` has the passes of every batch, `begun` the stages by name with what was expected of them."""

    def __init__(self) -> None:
        super().__init__(shown=False)
        self.done: list[float] = []
        self.begun: list[tuple[str, float | None]] = []

    def begin(self, name: str, total: float | None = None, **more: Any) -> None:
        self.begun.append((name, total))
        super().begin(name, total, **more)

    def update(self, passes: float) -> None:
        self.done.append(passes)
        super().update(passes)
