"""The monitor as a callback of other trainers: `transformers` and Lightning."""

from typing import Any

from musiclime_torch.basics.errors import needing
from musiclime_torch.training.monitor import Monitor


def make_trainer_callback(monitor: Monitor) -> Any:
    """A `transformers.TrainerCallback` that calls the monitor after optimizer steps and adds its readings to the logs."""
    from transformers import TrainerCallback

    class MonitorCallback(TrainerCallback):
        """Called after every optimizer step; the monitor decides which are due."""

        def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
            reading = monitor.step(model, state.global_step)
            if reading is not None:
                scalars = {f"explanation/{name}": value for name, value in reading.scalars().items()}
                state.log_history.append({"step": state.global_step, **scalars})

    return MonitorCallback()


def make_lightning_callback(monitor: Monitor) -> Any:
    """A Lightning `Callback` that does the same. InputError where Lightning isn't installed."""
    with needing("lightning>=2.4"):
        from lightning.pytorch import Callback

    class MonitorCallback(Callback):
        """Called after every batch; the monitor decides which steps are due."""

        def on_train_batch_end(self, trainer: Any, module: Any, *_: Any) -> None:
            reading = monitor.step(module, trainer.global_step)
            if reading is not None and trainer.logger is not None:
                scalars = {f"explanation/{name}": value for name, value in reading.scalars().items()}
                trainer.logger.log_metrics(scalars, step=trainer.global_step)

    return MonitorCallback()
