"""A model fitted by the `Trainer` of transformers, on one process or under torchrun; killed runs can be resumed.

Everything drawn while training depends on the seed, the epoch and the song, and checkpoints hold the rest: a run that was
killed and resumed ends with the same weights as one that wasn't.
"""

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from musiclime_torch.basics.errors import InputError, needing
from musiclime_torch.basics.files import writing_atomically
from musiclime_torch.models.checkpoints import load_state, read_state
from musiclime_torch.training.scores import Learner
from musiclime_torch.training.songs import Songs

#: Names in a run's folder.
CHECKPOINTS, WEIGHTS, FINISHED = "checkpoints", "weights.safetensors", "finished.json"

#: Names of the new heads in fine-tuned models, and their peak rate: they start from random weights.
HEADS = dict.fromkeys(("classifier", "module.classifier", "module.projector"), 0.001)


@dataclass(frozen=True)
class Recipe:
    """How to fit. `rates` are peak learning rates by the prefix of parameters' names, `rate` that of all others.

    `patience` is how many evaluations on the validation songs may pass without a better macro F1, None for no limit.
    `save_every` counts steps between evaluations and checkpoints, None for one per epoch. `accumulation` batches make one
    step.
    """

    epochs: int = 10
    batch_size: int = 16
    accumulation: int = 1
    rate: float = 1e-5
    rates: Mapping[str, float] = field(default_factory=lambda: dict(HEADS))
    weight_decay: float = 0.01
    warmup: float = 0.1
    clip: float = 1.0
    smoothing: float = 0.0
    precision: str = "float32"
    patience: int | None = 3
    save_every: int | None = None
    seed: int = 0
    workers: int = 0


@dataclass(frozen=True)
class Fitted:
    """How a run went: `loss` is the mean over its steps, `best_macro_f1` is None without validation songs."""

    steps: int
    epochs: float
    loss: float
    best_macro_f1: float | None


def fit(
    model: Any,
    songs: Songs,
    checked: Songs | None,
    recipe: Recipe,
    folder: Path,
    *,
    weights: Float[Tensor, " class"] | None = None,
    about: str = "",
    device: torch.device | str = "cpu",
    callbacks: Sequence[Any] = (),
) -> Fitted:
    """Fit `model` in place, in eval mode afterwards; with `checked` songs the weights with the best macro F1 on these are
    kept.

    `folder` holds checkpoints during the run, its weights afterwards, and TensorBoard's logs. A run begun there under the
    same recipe (and `about`, which describes the songs) is resumed. Returns steps, epochs, the best macro F1 and the mean
    loss.

    Raises:
        InputError: the trainer's packages are missing, `folder` holds another run, or the recipe's numbers are out of range.
    """
    _check(recipe, len(songs))
    song_trainer = _import_trainer()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{str(folder)!r} can't be written to ({error.strerror}): give another folder.") from error
    _claim(folder, recipe, about)
    # A finished run is loaded, not repeated: the same command may be given again after a later stage failed.
    if (folder / FINISHED).is_file():
        load_state(model, read_state(folder / WEIGHTS), str(folder / WEIGHTS))
        model.eval()
        return Fitted(**json.loads((folder / FINISHED).read_text(encoding="utf-8")))
    trainer = song_trainer.SongTrainer(
        Learner(model, weights, recipe.smoothing),
        _make_arguments(recipe, folder / CHECKPOINTS, checked is not None, torch.device(device)),
        songs,
        checked,
        group_parameters(model, recipe),
        [*callbacks, *song_trainer.make_callbacks(folder, recipe.patience if checked is not None else None)],
    )
    last = find_checkpoint(folder / CHECKPOINTS)
    if last is not None and is_first():
        print(f"Resuming from {last.name}.", file=sys.stderr)
    done = trainer.train(resume_from_checkpoint=None if last is None else str(last))
    model.eval()
    fitted = Fitted(
        steps=int(done.global_step),
        epochs=round(float(trainer.state.epoch or 0), 3),
        loss=float(done.training_loss),
        best_macro_f1=None if trainer.state.best_metric is None else float(trainer.state.best_metric),
    )
    if is_first():
        _finish(folder, model, fitted)
    # No process goes on to read weights that the first is still writing.
    trainer.accelerator.wait_for_everyone()
    return fitted


def is_first() -> bool:
    """Whether this process is the only one, or the first that torchrun started."""
    return os.environ.get("RANK", "0") == "0"


def _finish(folder: Path, model: Any, fitted: Fitted) -> None:
    """Write the weights, then the file that marks the run as finished; checkpoints, several times as large, are removed."""
    from safetensors.torch import save_file

    with writing_atomically(folder / WEIGHTS) as partial:
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}, partial)
    with writing_atomically(folder / FINISHED) as partial:
        partial.write_text(json.dumps(asdict(fitted), indent=1) + "\n", encoding="utf-8")
    shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)


def find_checkpoint(folder: Path) -> Path | None:
    """The last complete checkpoint: its state is written last, so a truncated one means that the run was killed."""
    checkpoints = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]), reverse=True)
    return next((path for path in checkpoints if _is_complete(path)), None)


def _is_complete(checkpoint: Path) -> bool:
    try:
        json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return True


def _claim(folder: Path, recipe: Recipe, about: str) -> None:
    """Record what this folder's run is, or refuse another one's."""
    # Workers only decode ahead; any number of them gives the same run.
    settled = {name: value for name, value in asdict(recipe).items() if name != "workers"}
    digest = hashlib.sha256(json.dumps([settled, about], sort_keys=True).encode()).hexdigest()
    path = folder / "run.json"
    if path.is_file():
        began = json.loads(path.read_text(encoding="utf-8"))
        if began["hash"] != digest:
            raise InputError(
                f"{str(folder)!r} holds a run with other settings or other songs, begun with {began['recipe']}: use another "
                f"folder, or remove this one."
            )
    if is_first():
        with writing_atomically(path) as partial:
            partial.write_text(json.dumps({"hash": digest, "recipe": settled}, indent=1) + "\n", encoding="utf-8")


def _check(recipe: Recipe, songs: int) -> None:
    for name in ("epochs", "batch_size", "accumulation"):
        if getattr(recipe, name) < 1:
            raise InputError(f"{name} must be at least 1, got {getattr(recipe, name)}.", argument=name)
    if not 0 < recipe.rate < 1:
        raise InputError(f"rate must be between 0 and 1, got {recipe.rate}.", argument="rate")
    if recipe.precision not in ("float32", "bfloat16"):
        raise InputError(f"precision {recipe.precision!r} is not known: use float32 or bfloat16.", argument="precision")
    if songs < 2:
        raise InputError(f"training needs at least 2 songs, got {songs}.")


def _make_arguments(recipe: Recipe, checkpoints: Path, checked: bool, device: torch.device) -> Any:
    from transformers import TrainingArguments

    when = "epoch" if recipe.save_every is None else "steps"
    if device.index is not None:
        torch.cuda.set_device(device)
    arguments = TrainingArguments(
        output_dir=str(checkpoints),
        num_train_epochs=recipe.epochs,
        per_device_train_batch_size=recipe.batch_size,
        per_device_eval_batch_size=recipe.batch_size,
        # Songs per optimizer step: batch size × accumulation × processes.
        gradient_accumulation_steps=recipe.accumulation,
        learning_rate=recipe.rate,
        lr_scheduler_type="cosine",
        warmup_steps=recipe.warmup,
        weight_decay=recipe.weight_decay,
        max_grad_norm=recipe.clip,
        bf16=recipe.precision == "bfloat16",
        use_cpu=device.type == "cpu",
        seed=recipe.seed,
        data_seed=recipe.seed,
        dataloader_num_workers=recipe.workers,
        dataloader_pin_memory=device.type == "cuda",
        eval_strategy=when if checked else "no",
        save_strategy=when,
        eval_steps=recipe.save_every,
        save_steps=recipe.save_every or 500,
        save_total_limit=2,
        load_best_model_at_end=checked,
        metric_for_best_model="macro_f1" if checked else None,
        greater_is_better=True if checked else None,
        label_names=["labels"],
        # Batches are dictionaries of tensors that the learner knows by name; the library would drop all it doesn't.
        remove_unused_columns=False,
        report_to=[],
        logging_steps=10,
        disable_tqdm=True,
        log_level="error",
        # Without this a resumed run would count its patience from zero.
        restore_callback_states_from_checkpoint=True,
    )
    # One process, one device: the library would spread batches over all GPUs it sees. Use torchrun for several.
    arguments._n_gpu = min(arguments.n_gpu, 1)
    return arguments


def _import_trainer() -> Any:
    with needing("musiclime_torch[train]"):
        from musiclime_torch.training import song_trainer
    return song_trainer


def group_parameters(model: torch.nn.Module, recipe: Recipe) -> list[dict[str, Any]]:
    """Parameters grouped by learning rate; frozen ones are left out."""
    groups: dict[float, list[torch.nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            # A part is a module's name: its trailing dot keeps "read" from matching "reader".
            rate = next((rate for part, rate in recipe.rates.items() if name.startswith(f"{part}.")), recipe.rate)
            groups.setdefault(rate, []).append(parameter)
    return [{"params": parameters, "lr": rate} for rate, parameters in groups.items()]
