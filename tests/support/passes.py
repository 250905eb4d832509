"""Stages that note the passes they are told of, and draw nothing."""

from musiclime_torch.basics.progress import Stages


class Noting(Stages):
    """`done` has the passes of every batch, `begun` the stages by name with what was expected of them."""

    def __init__(self) -> None:
        super().__init__(shown=False)
        self.done: list[int] = []
        self.begun: list[tuple[str, int | None]] = []

    def begin(self, name: str, passes: int | None = None) -> None:
        self.begun.append((name, passes))
        super().begin(name, passes)

    def update(self, passes: int) -> None:
        self.done.append(passes)
        super().update(passes)
