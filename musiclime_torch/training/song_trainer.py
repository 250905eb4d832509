"""The `Trainer` of transformers with our order of songs, batches and learning rates.

Imported only when training begins: it needs packages that explaining doesn't, and takes seconds.
"""

import pickle
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import accelerate  # noqa: F401 - fail here if it is missing, not later in the trainer
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler
from torch.utils.tensorboard import SummaryWriter
from transformers import EarlyStoppingCallback, PrinterCallback, Trainer, TrainerCallback
from transformers.integrations.integration_utils import TensorBoardCallback

from musiclime_torch.basics.errors import InputError, first_line
from musiclime_torch.basics.progress import open_bar
from musiclime_torch.training.scores import Learner, score
from musiclime_torch.training.songs import Batch, Songs, join


class SongTrainer(Trainer):
    """Trains on `songs` and evaluates on `checked`; `groups` are parameters with their peak rates."""

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
        # It prints dictionaries; `Reporting` prints lines.
        self.remove_callback(PrinterCallback)

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:
        # The library's sampler draws from a random state that a resumed run can't restore exactly.
        return _Shuffled(self.count, self.args.seed)

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """AdamW on the groups."""
        if self.optimizer is None:
            # Groups have their own peak rates; the library's schedule scales all of them alike.
            self.optimizer = torch.optim.AdamW(self.groups, weight_decay=self.args.weight_decay)
        return self.optimizer

    # A checkpoint holds weights, the optimizer with its schedule, and random states. The library reads all of them with
    # `weights_only`, which runs no code; its own error message tells how to run it nevertheless, so ours replaces it.
    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        with _resuming(resume_from_checkpoint):
            super()._load_from_checkpoint(resume_from_checkpoint, model)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        with _resuming(checkpoint):
            super()._load_optimizer_and_scheduler(checkpoint)

    def _load_rng_state(self, checkpoint: str | None) -> None:
        with _resuming(checkpoint):
            super()._load_rng_state(checkpoint)


class Reporting(TrainerCallback):
    """Progress bars where there is a terminal, of the training and of each evaluation, and a line per evaluation."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.bar: Any = None
        self.checking: Any = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Open the bar, in the first process."""
        if state.is_world_process_zero:
            self.bar = open_bar(state.max_steps, begun=state.global_step, name=self.name, unit="step", shown=True)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Move the bar."""
        if self.bar is not None:
            self.bar.update(1)

    def on_prediction_step(self, args: Any, state: Any, control: Any, eval_dataloader: Any = None, **_: Any) -> None:
        """Move the bar of an evaluation, which opens at its first batch."""
        if self.bar is None or eval_dataloader is None:
            return
        if self.checking is None:
            batches = len(eval_dataloader)
            self.checking = open_bar(batches, name=f"{self.name}: validation songs", unit="batch", shown=True)
        self.checking.update(1)

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any = None, **_: Any) -> None:
        """Print the scores on the validation songs."""
        if self.checking is not None:
            self.checking.close()
            self.checking = None
        if self.bar is not None and metrics:
            scores = (f"loss {metrics['eval_loss']:.3f}, macro F1 {metrics['eval_macro_f1']:.3f}, "
                     f"accuracy {metrics['eval_accuracy']:.3f}")  # fmt: skip
            self.bar.write(f"{self.name}, epoch {state.epoch:.3g}: {scores}", file=sys.stderr)

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Close the bar, which is full also where patience ended earlier."""
        if self.bar is not None:
            self.bar.total = self.bar.n
            self.bar.refresh()
            self.bar.close()


def make_callbacks(folder: Path, patience: int | None) -> list[Any]:
    """TensorBoard's logs in the folder, lines on standard error, and early stopping where `patience` is given."""
    # Without validation songs there is nothing to lose patience with.
    ending = [] if patience is None else [EarlyStoppingCallback(patience)]
    return [TensorBoardCallback(SummaryWriter(str(folder / "logs"))), Reporting(folder.name), *ending]


@contextmanager
def _resuming(checkpoint: str | None) -> Iterator[None]:
    """InputError for a checkpoint that can't be read, or that holds more than numbers."""
    try:
        yield
    # All errors: damaged zips, pickles and safetensors files raise many classes, and to the user they mean the same.
    except Exception as error:
        message = first_line(error)
        code = isinstance(error, pickle.UnpicklingError)
        reason = "a pickle of more than tensors, which could run anything" if code else message
        raise InputError(
            f"the checkpoint {str(checkpoint)!r} can't be resumed from ({reason}): remove it, and the run resumes from the "
            f"previous one, or starts again."
        ) from error


def _collate(items: list[Batch]) -> dict[str, Tensor]:
    batch = join(items)
    return {name: getattr(batch, name) for name in ("audio", "ids", "attended", "labels", "known")}


def _make_metrics(kind: str) -> Callable[[Any], dict[str, float]]:
    def measure(predicted: Any) -> dict[str, float]:
        table = score(torch.as_tensor(predicted.predictions), torch.as_tensor(predicted.label_ids), kind)
        return {"macro_f1": table.macro_f1, "accuracy": table.accuracy}

    return measure


class _Numbered(Dataset[Batch]):
    """Songs for data loaders; one number identifies a song and its epoch, so that workers needn't be told the epoch."""

    def __init__(self, songs: Songs) -> None:
        self.songs = songs

    def __len__(self) -> int:
        return len(self.songs)

    def __getitem__(self, index: int) -> Batch:
        return self.songs[index]


class _Shuffled(Sampler[int]):
    """Every song once per epoch, in an order that depends on seed and epoch alone."""

    def __init__(self, songs: int, seed: int) -> None:
        self.songs, self.seed, self.epoch = songs, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Called by the trainer."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.songs

    def __iter__(self) -> Iterator[int]:
        # The order follows from seed and epoch and from no random state, so that a resumed run continues with the same one.
        # The index adds the epoch, from which `songs` draw excerpts and dropout.
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        order = torch.randperm(self.songs, generator=generator)
        return iter((order + self.epoch * self.songs).tolist())
