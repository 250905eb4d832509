"""The monitor as a callback of other trainers: `transformers` and Lightning."""

import inspect
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from types import FrameType
from typing import Any

import torch
from torch import Tensor

from musiclime_torch.basics.errors import needing
from musiclime_torch.models.contract import LATE_FUSION, TokenBatch
from musiclime_torch.training.monitor import Monitor, Reading, refuse_sharded

#: What is run of a model, apart from the model itself.
_PARTS = (*LATE_FUSION, "fuse_pairs", "embed_text")


def make_trainer_callback(monitor: Monitor) -> Any:
    """A `transformers.TrainerCallback` that calls the monitor after optimizer steps. Its readings are in the trainer's log
    history, and reach all callbacks that listen to logs, such as those of TensorBoard and W&B.
    """
    from transformers import TrainerCallback

    class MonitorCallback(TrainerCallback):
        """Called after every optimizer step; the monitor decides which are due."""

        def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
            refuse_sharded(model)

        def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
            reading = monitor.step(follow_precision(model), state.global_step)
            if reading is None:
                return
            scalars = _name_scalars(reading)
            state.log_history.append({"step": state.global_step, **scalars})
            handler = _find_handler(inspect.currentframe())
            if handler is not None:
                # Not by its `on_log`, which would cancel the trainer's own log of this step.
                handler.call_event("on_log", args, state, control, logs=dict(scalars))

    return MonitorCallback()


def _find_handler(frame: FrameType | None) -> Any:
    """What calls a trainer's callbacks. They aren't given it, and it alone reaches those that were added before this one."""
    from transformers.trainer_callback import CallbackHandler

    while frame is not None and not isinstance(frame.f_locals.get("self"), CallbackHandler):
        frame = frame.f_back
    return None if frame is None else frame.f_locals["self"]


def make_lightning_callback(monitor: Monitor) -> Any:
    """A Lightning `Callback` that does the same, with the trainer's logger. InputError where Lightning isn't installed.

    Lightning counts the steps of all optimizers, so that several may end at one batch; with accumulated gradients several
    batches end at one step, the first at step 0, where nothing has been learned.
    """
    with needing("lightning>=2.4"):
        from lightning.pytorch import Callback

    class MonitorCallback(Callback):
        """Called after every batch; the monitor decides which steps are due."""

        started = 0

        def on_train_start(self, trainer: Any, module: Any) -> None:
            refuse_sharded(trainer.strategy.model)
            self.started = trainer.global_step  # more than 0 for a run that is resumed

        def on_train_batch_end(self, trainer: Any, module: Any, *_: Any) -> None:
            if trainer.global_step == self.started:
                return
            followed = follow_precision(module, trainer.precision_plugin.forward_context)
            reading = monitor.step(followed, trainer.global_step)
            if reading is not None and trainer.logger is not None:
                trainer.logger.log_metrics(_name_scalars(reading), step=trainer.global_step)

    return MonitorCallback()


def _name_scalars(reading: Reading) -> dict[str, float]:
    return {f"explanation/{name}": value for name, value in reading.scalars().items()}


def follow_precision(model: Any, context: Callable[[], AbstractContextManager[object]] = nullcontext) -> Any:
    """The model itself where its weights are float32, else one that is given inputs in the precision of its weights, and
    run in a trainer's `context`, as a training step is.
    """
    weights = (weight.dtype for weight in model.parameters() if weight.is_floating_point())
    dtype = next(weights, torch.float32)
    return model if dtype == torch.float32 else InPrecision(model, dtype, context)


class InPrecision:
    """A module's calls with inputs in the precision of its weights; whatever else it declares is its own."""

    def __init__(self, module: torch.nn.Module, dtype: torch.dtype, context: Callable[[], AbstractContextManager[object]]):
        self.module, self.dtype, self.context = module, dtype, context

    def __call__(self, *inputs: Any) -> Any:
        """As the module answers."""
        return self._run(self.module, *inputs)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.module, name)
        return partial(self._run, value) if name in _PARTS else value

    def _run(self, function: Callable[..., Any], *inputs: Any) -> Any:
        with self.context():
            return function(*(self._convert(value) for value in inputs))

    def _convert(self, value: Any) -> Any:
        if isinstance(value, TokenBatch):
            return replace(value, embeddings=value.embeddings.to(self.dtype))
        return value.to(self.dtype) if isinstance(value, Tensor) and value.is_floating_point() else value
