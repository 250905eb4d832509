"""A monitor watches a training run without changing it: once a due step, in the trainer's precision, heard by all logs."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from taggers import SHORT, make_songs, make_tagger
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from musiclime_torch.basics.errors import InputError
from musiclime_torch.demo.bundle import load_demo_track
from musiclime_torch.models.contract import TokenBatch
from musiclime_torch.song.track import Track
from musiclime_torch.training.callbacks import follow_precision, make_lightning_callback, make_trainer_callback
from musiclime_torch.training.fitting import fit
from musiclime_torch.training.monitor import Monitor


def test_a_monitor_watches_a_run(entries, tmp_path):
    torch.set_num_threads(1)
    probe = load_demo_track()
    monitor = Monitor([probe], every=2, options={"n_samples": 32, "segments": 2, "units": "line"})
    recipe, watched, plain = replace(SHORT, epochs=1, save_every=None), [], []
    for folder, callbacks, kept in (("a", (make_trainer_callback(monitor),), watched), ("b", (), plain)):
        model = make_tagger()
        fit(model, make_songs(entries, model), None, recipe, tmp_path / folder, callbacks=callbacks)
        kept.append(model.state_dict())
    assert [reading.step for reading in monitor.readings] == [2]
    assert all(torch.equal(watched[0][name], plain[0][name]) for name in plain[0])


def make_probe() -> Track:
    return Track(0.1 * torch.randn(2, 1, 1600, generator=torch.Generator().manual_seed(0)), ("a", "b"), 1600)


def train_in_lightning(monitor: Monitor, optimizers: int, **options: Any) -> int:
    """Twelve batches; the optimizer steps that were counted."""
    import lightning.pytorch as lightning

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)

    class Ear(lightning.LightningModule):
        sample_rate, modalities, classes = 1600, ("audio",), ("calm", "wild")

        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(2, 2)
            self.automatic_optimization = optimizers == 1

        def forward(self, audio: torch.Tensor) -> torch.Tensor:
            return self.head(torch.stack([audio.abs().mean((1, 2)), audio.diff(dim=-1).abs().mean((1, 2))], 1))

        def training_step(self, batch: Any, _: int) -> Any:
            if optimizers == 1:
                return self(batch[0]).square().mean()
            for optimizer in self.optimizers():
                optimizer.zero_grad()
                self.manual_backward(self(batch[0]).square().mean())
                optimizer.step()
            return None

        def configure_optimizers(self) -> Any:
            made = [torch.optim.SGD(self.parameters(), 0.1) for _ in range(optimizers)]
            return made if optimizers > 1 else made[0]

    quiet = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")
    trainer = lightning.Trainer(
        max_epochs=1,
        accelerator="cpu",
        callbacks=[make_lightning_callback(monitor)],
        **dict.fromkeys(quiet, False),
        **options,
    )
    trainer.fit(Ear(), DataLoader(TensorDataset(torch.randn(12, 1, 160)), batch_size=1))
    return trainer.global_step


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("every", "optimizers", "options", "steps"),
    [
        (4, 1, {}, [4, 8, 12]),
        (2, 1, {"accumulate_grad_batches": 4}, [2]),
        (1, 1, {"accumulate_grad_batches": 4}, [1, 2, 3]),
        (1, 1, {"accumulate_grad_batches": 5}, [1, 2, 3]),
        (8, 2, {}, [8, 16, 24]),
        (15, 2, {}, [16]),
        (5, 3, {}, [6, 12, 15, 21, 27, 30, 36]),
        (6, 1, {"precision": "bf16-true"}, [6, 12]),
        (6, 1, {"precision": "16-true"}, [6, 12]),
        (6, 1, {"precision": "64-true"}, [6, 12]),
        (6, 1, {"precision": "bf16-mixed"}, [6, 12]),
    ],
)
def test_lightning_looks_once_at_each_due_step(every: int, optimizers: int, options: dict[str, Any], steps: list[int]):
    monitor = Monitor([make_probe()], every=every, options={"n_samples": 16, "segments": 2})
    train_in_lightning(monitor, optimizers, **options)
    assert [reading.step for reading in monitor.readings] == steps
    assert torch.get_default_dtype() == torch.float32


class Ear(nn.Module):
    """Explained as model(audio), trained as model(audio=..., labels=...)."""

    sample_rate, modalities, classes = 1600, ("audio",), ("calm", "wild")

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(2, 2)

    def forward(self, audio: torch.Tensor, labels: torch.Tensor | None = None) -> Any:
        audio = audio.to(self.head.weight.dtype) if labels is not None else audio
        logits = self.head(torch.stack([audio.abs().mean((1, 2)), audio.diff(dim=-1).abs().mean((1, 2))], 1))
        return logits if labels is None else {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("first", [True, False])
def test_all_who_listen_to_logs_hear_the_readings(tmp_path: Path, dtype: torch.dtype, first: bool):
    """Also those that were added before the monitor, as the trainer's own for TensorBoard and W&B are."""
    from transformers import Trainer, TrainerCallback, TrainingArguments

    heard: list[dict[str, float]] = []

    class Listener(TrainerCallback):
        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            heard.append({"step": state.global_step, **logs})

    monitor = Monitor([make_probe()], every=2, options={"n_samples": 16, "segments": 2})
    arguments = TrainingArguments(
        output_dir=str(tmp_path), max_steps=4, per_device_train_batch_size=2, report_to=[], use_cpu=True, disable_tqdm=True,
        logging_steps=1, save_strategy="no", gradient_accumulation_steps=2, log_level="error",
    )  # fmt: skip
    songs = [{"audio": torch.randn(1, 160), "labels": number % 2} for number in range(16)]
    callbacks = [Listener(), make_trainer_callback(monitor)]
    trainer = Trainer(Ear().to(dtype), arguments, train_dataset=songs, callbacks=callbacks[:: 1 if first else -1])
    trainer.train()
    assert [reading.step for reading in monitor.readings] == [2, 4]
    assert [entry["step"] for entry in heard if "explanation/fidelity" in entry] == [2, 4]
    assert [entry["step"] for entry in heard if "loss" in entry] == [1, 2, 3, 4]
    assert [entry["step"] for entry in trainer.state.log_history if "explanation/fidelity" in entry] == [2, 4]


def test_parts_of_a_model_follow_its_precision():
    class Late(nn.Linear):
        classes = ("x",)

        def encode_text(self, text: TokenBatch) -> torch.Tensor:
            return self(text.embeddings)

    model = Late(3, 1)
    assert follow_precision(model) is model
    followed = follow_precision(model.half())
    batch = TokenBatch(torch.randn(2, 4, 3), torch.ones(2, 4, dtype=torch.bool))
    assert followed(torch.randn(2, 3)).dtype == followed.encode_text(batch).dtype == torch.float16
    assert followed.classes == ("x",)
    assert not hasattr(followed, "fuse")


@pytest.mark.parametrize("kind", ["FSDP", "DeepSpeed's ZeRO-3"])
def test_sharded_weights_are_refused_at_the_start(kind: str, tmp_path: Path):
    from transformers import TrainerControl, TrainerState, TrainingArguments

    model = Ear()
    if kind == "FSDP":
        model.head.__class__ = type("FSDPLinear", (type("FSDPModule", (), {}), nn.Linear), {})
    else:
        model.head.weight.ds_id = 0
    monitor = Monitor([make_probe()], every=2)
    callback = make_trainer_callback(monitor)
    with pytest.raises(InputError, match=f"{kind} shards the model's weights"):
        callback.on_train_begin(TrainingArguments(str(tmp_path)), TrainerState(), TrainerControl(), model=model)
    with pytest.raises(InputError, match=f"{kind} shards the model's weights"):
        monitor.step(model, 2)


def test_one_step_is_looked_at_once():
    monitor = Monitor([make_probe()], every=3, options={"n_samples": 16, "segments": 2})
    model = Ear()
    for step in (0, 0, 1, 2, 3, 3, 3, 5, 7, 7, 8, 9, 9):
        monitor.step(model, step)
    assert [reading.step for reading in monitor.readings] == [0, 3, 7, 9]
