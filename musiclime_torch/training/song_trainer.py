"""The `Trainer` of transformers with our order of songs, our batches and our learning rates.

Imported where training begins: it needs packages that explaining doesn't, and takes seconds.
"""

import pickle
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import accelerate  # noqa: F401 - the trainer asks for it late, in a sentence of its own
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler
from torch.utils.tensorboard import SummaryWriter
from transformers import EarlyStoppingCallback, PrinterCallback, Trainer, TrainerCallback
from transformers.integrations.integration_utils import TensorBoardCallback

from musiclime_torch.basics.errors import InputError
from musiclime_torch.basics.progress import open_bar
from musiclime_torch.training.learner import Learner
from musiclime_torch.training.scores import score
from musiclime_torch.training.songs import Batch, Songs, join


class SongTrainer(Trainer):
    """Learns from `songs`, looks at `checked` ones; `groups` are parameters with their peak rates."""

    def __init__(
        self,
        learner: Learner,
        arguments: Any,
        songs: Songs,
        checked: Songs | None,
        groups: list[dict[str, Any]],
        callbacks: Sequence[Any],
    ) -> None:
        super().__init__(
            model=learner,
            args=arguments,
            data_collator=_collate,
            train_dataset=_Numbered(songs),
            eval_dataset=None if checked is None else _Numbered(checked),
            compute_metrics=_make_metrics(learner.model.output_kind),
            callbacks=list(callbacks),
        )
        self.groups, self.count = groups, len(songs)
        # Its lines are dictionaries; ours are in `Telling`.
        self.remove_callback(PrinterCallback)

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:
        return _Shuffled(self.count, self.args.seed)

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """AdamW on the groups."""
        if self.optimizer is None:
            self.optimizer = torch.optim.AdamW(self.groups, weight_decay=self.args.weight_decay)
        return self.optimizer

    # What a checkpoint holds: weights, the optimizer with its schedule, random states. The library reads them all with
    # `weights_only`, which runs nothing; what it raises tells how to run it all the same.
    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        with _going_on(resume_from_checkpoint):
            super()._load_from_checkpoint(resume_from_checkpoint, model)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        with _going_on(checkpoint):
            super()._load_optimizer_and_scheduler(checkpoint)

    def _load_rng_state(self, checkpoint: str | None) -> None:
        with _going_on(checkpoint):
            super()._load_rng_state(checkpoint)


class Telling(TrainerCallback):
    """A bar where there is a terminal, and a line a look."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.bar: Any = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """The first process tells."""
        if state.is_world_process_zero:
            self.bar = open_bar(state.max_steps, begun=state.global_step, name=self.name, unit="step", shown=True)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Move the bar."""
        if self.bar is not None:
            self.bar.update(1)

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any = None, **_: Any) -> None:
        """What was found on the validation songs."""
        if self.bar is not None and metrics:
            found = (f"loss {metrics['eval_loss']:.3f}, macro F1 {metrics['eval_macro_f1']:.3f}, "
                     f"accuracy {metrics['eval_accuracy']:.3f}")  # fmt: skip
            self.bar.write(f"{self.name}, epoch {state.epoch:.3g}: {found}", file=sys.stderr)

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Take the bar away."""
        if self.bar is not None:
            self.bar.close()


def make_callbacks(folder: Path, patience: int | None) -> list[Any]:
    """TensorBoard's logs in the folder, lines on standard error, an early end where there is patience to lose."""
    ending = [] if patience is None else [EarlyStoppingCallback(patience)]
    return [TensorBoardCallback(SummaryWriter(str(folder / "logs"))), Telling(folder.name), *ending]


@contextmanager
def _going_on(checkpoint: str | None) -> Iterator[None]:
    """InputError for a checkpoint that can't be read, or that holds more than numbers."""
    try:
        yield
    # All errors: damaged zips, pickles and safetensors files raise what they like, and to whoever trains it is one thing.
    except Exception as error:
        said = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        code = isinstance(error, pickle.UnpicklingError)
        reason = "a pickle of more than tensors, which could run anything" if code else said
        raise InputError(
            f"the checkpoint {str(checkpoint)!r} can't be gone on from ({reason}): remove it, and the run goes on from the "
            f"one before, or begins anew."
        ) from error


def _collate(items: list[Batch]) -> dict[str, Tensor]:
    batch = join(items)
    return {name: getattr(batch, name) for name in ("audio", "ids", "attended", "labels", "known")}


def _make_metrics(kind: str) -> Callable[[Any], dict[str, float]]:
    def measure(found: Any) -> dict[str, float]:
        table = score(torch.as_tensor(found.predictions), torch.as_tensor(found.label_ids), kind)
        return {"macro_f1": table.macro_f1, "accuracy": table.accuracy}

    return measure


class _Numbered(Dataset[Batch]):
    """Songs as loaders ask for them; one number names a song and its epoch, so that workers need no news of epochs."""

    def __init__(self, songs: Songs) -> None:
        self.songs = songs

    def __len__(self) -> int:
        return len(self.songs)

    def __getitem__(self, index: int) -> Batch:
        return self.songs[index]


class _Shuffled(Sampler[int]):
    """Every song once an epoch, in an order that hangs on seed and epoch alone."""

    def __init__(self, songs: int, seed: int) -> None:
        self.songs, self.seed, self.epoch = songs, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """The trainer tells."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.songs

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        order = torch.randperm(self.songs, generator=generator)
        return iter((order + self.epoch * self.songs).tolist())
