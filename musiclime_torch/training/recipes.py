"""The paper's recipe, from a manifest to models and a table: each modality by itself and both together, or both at once.

Everything lands in one folder: `model`, `audio`, `lyrics` are models that `explain` takes by `--model`, `runs` holds what
training logged, `results.json` the scores on the test songs.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from os.path import isfile  # pathlib's raises for names that are too long
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from musiclime_torch.basics.errors import InputError
from musiclime_torch.basics.files import writing_atomically
from musiclime_torch.models.ast_roberta import AUDIO_MODEL, TEXT_MODEL
from musiclime_torch.models.devices import find_device
from musiclime_torch.song.lyrics.boilerplate import describe_stripped
from musiclime_torch.song.manifest import Entry
from musiclime_torch.training.fitting import WEIGHTS, Fitted, Recipe, fit, is_first
from musiclime_torch.training.labels import Labels, balance, read_labels, split
from musiclime_torch.training.scores import Scores, score
from musiclime_torch.training.songs import ManifestSongs, find_text
from musiclime_torch.training.starting import join_towers, save_classifier, seeded, start_audio, start_lyrics, start_tagger
from musiclime_torch.training.testing import predict

#: Peak rates of a tagger, which learns from nothing: words are seen in few songs, and need longer steps than sound.
TAGGER_RATES: Mapping[str, float] = {"embedding": 3e-2, "read": 1e-2}
TAGGER_RATE = 3e-3


@dataclass(frozen=True)
class Trained:
    """What came of a run: scores on the test songs by column ("both", "audio", "lyrics", ...), None without test songs."""

    labels: Labels
    songs: dict[str, int]
    scores: dict[str, Scores]
    fits: dict[str, Fitted]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Preparation:
    """How songs are made ready: see `ManifestSongs`. `balanced` weighs every class alike."""

    separator: str | None = None
    max_seconds: float = 900.0
    clean: bool = True
    balanced: bool = True


def train(
    entries: Sequence[Entry],
    out: str | Path,
    *,
    recipe: Recipe | None = None,
    model: str | None = None,
    audio_model: str | None = None,
    text_model: str | None = None,
    apart: bool = False,
    preparation: Preparation | None = None,
    device: torch.device | str = "cpu",
    callbacks: Sequence[Any] = (),
) -> Trained:
    """Train on a manifest's songs and write everything to the folder `out`.

    Args:
        entries: songs with labels, from `read_manifest`; those whose split is "test" are never trained on.
        out: folder for models and results; a run that was killed there goes on.
        recipe: how to fit; None is the default for the model.
        model: "paper" (AST and RoBERTa, fused late) or "tagger" (small, from nothing). With None, one of the next two alone
            trains that side by itself, and both the paper's model.
        audio_model: what hears, by hub id or folder; None the paper's.
        text_model: what reads, likewise.
        apart: train each modality by itself first, and join the two encoders afterwards, as the paper did.
        preparation: how songs are made ready; None for `Preparation()`.
        device: where to train. Under torchrun every process takes its own.
        callbacks: of `transformers`' trainer, such as `make_trainer_callback(monitor)`.

    Raises:
        InputError: with one sentence, for anything that can't be trained.
    """
    out = Path(out)
    if isfile(out / "results.json"):
        raise InputError(f"{str(out)!r} holds a finished run (results.json): give another folder.")
    if model not in (None, "paper", "tagger"):
        raise InputError(f"model {model!r} can't be trained: give paper or tagger, or audio and text models to start from.")
    alone = model is None and (audio_model is None) != (text_model is None)
    if model == "tagger" and (audio_model or text_model or apart):
        raise InputError("a tagger starts from nothing and learns both sides at once: leave the other models out.")
    if alone and apart:
        raise InputError("one modality alone has nothing to be trained apart from.")
    work = _lay_out(entries, out, recipe or pick_recipe(model), preparation or Preparation(), find_device(device), callbacks)
    if model == "tagger":
        return _train_tagger(work)
    if alone:
        return _train_side(work, audio_model, text_model)
    return _train_paper(work, audio_model or AUDIO_MODEL, text_model or TEXT_MODEL, apart)


def pick_recipe(model: str | None) -> Recipe:
    """The default recipe: encoders that are trained already take small steps."""
    if model != "tagger":
        return Recipe()
    return Recipe(epochs=30, rate=TAGGER_RATE, rates=TAGGER_RATES, smoothing=0.01, patience=8)


@dataclass(frozen=True)
class _Work:
    """What is to be done, for all models of a run: songs and their labels by split, how, and where to."""

    out: Path
    songs: dict[str, tuple[Entry, ...]]
    labels: Labels
    tables: dict[str, Float[Tensor, "song class"]]
    recipe: Recipe
    preparation: Preparation
    device: torch.device
    callbacks: tuple[Any, ...]


def _lay_out(
    entries: Sequence[Entry],
    out: Path,
    recipe: Recipe,
    preparation: Preparation,
    device: torch.device,
    callbacks: Sequence[Any],
) -> _Work:
    songs = split(entries)
    labels = read_labels(songs["train"])
    tables = {name: labels.encode(part) for name, part in songs.items()}
    return _Work(out, songs, labels, tables, recipe, preparation, device, tuple(callbacks))


def _train_tagger(work: _Work) -> Trained:
    """Both sides at once, from nothing."""
    texts = [find_text(entry, work.preparation.clean).text for entry in work.songs["train"]]
    with seeded(work.recipe.seed):
        model = start_tagger(texts, work.labels)
    fitted = _fit(work, "model", model, "tagger")
    scores = {**_score(work, "both", model), **_score_sides(work, model)}
    _save(work, "model", model.save_pretrained)
    return _finish(work, {"model": fitted}, scores)


def _train_side(work: _Work, audio_model: str | None, text_model: str | None) -> Trained:
    """One modality alone."""
    model: Any
    with seeded(work.recipe.seed):
        if audio_model is not None:
            side, source, (model, part) = "audio", audio_model, start_audio(audio_model, work.labels)
        else:
            assert text_model is not None, "one of the two is given"
            side, source, (model, part) = "lyrics", text_model, start_lyrics(text_model, work.labels)
    fitted = _fit(work, side, model, source)
    scores = _score(work, side, model)
    _save(work, side, lambda folder: save_classifier(model, part, folder))
    return _finish(work, {side: fitted}, scores)


def _train_paper(work: _Work, audio_model: str, text_model: str, apart: bool) -> Trained:
    """AST and RoBERTa, fused late."""
    about = f"{audio_model} + {text_model}, {'apart first' if apart else 'at once'}"
    with seeded(work.recipe.seed):
        audio, extractor = start_audio(audio_model, work.labels)
        lyrics, tokenizer = start_lyrics(text_model, work.labels)
    fits: dict[str, Fitted] = {}
    scores: dict[str, Scores] = {}
    if apart:
        for side, tower, part in (("audio", audio, extractor), ("lyrics", lyrics, tokenizer)):
            fits[side] = _fit(work, side, tower, about)
            scores |= _score(work, side, tower)
            # Now, for the joined model will take the encoders over and change them.
            _save(work, side, partial(save_classifier, tower, part))
    with seeded(work.recipe.seed + 1):
        model = join_towers(audio, lyrics, work.labels)
    fits["model"] = _fit(work, "model", model, about)
    scores |= _score(work, "both", model)
    if not apart:
        scores |= _score_sides(work, model)
    _save(work, "model", model.save_pretrained)
    return _finish(work, fits, scores)


def _fit(work: _Work, name: str, model: Any, about: str) -> Fitted:
    learned, checked = _prepare(work, "train", model), _prepare(work, "valid", model)
    weights = balance(work.tables["train"], work.labels.kind) if work.preparation.balanced else None
    return fit(
        model,
        learned,
        checked if len(checked) else None,
        work.recipe,
        work.out / "runs" / name,
        weights=weights,
        about=f"{about}; {work.preparation}; {_hash(work.songs)}",
        device=work.device,
        callbacks=work.callbacks,
    )


def _prepare(work: _Work, part: str, model: Any) -> ManifestSongs:
    trains = part == "train"
    return ManifestSongs(
        work.songs[part],
        work.tables[part],
        model,
        seed=work.recipe.seed,
        random=trains,
        separator=work.preparation.separator if trains else None,
        max_seconds=work.preparation.max_seconds,
        clean=work.preparation.clean,
    )


def _score_sides(work: _Work, model: Any) -> dict[str, Scores]:
    """The same model with one side taken away: not what it would be, had it learned with that side alone."""
    return {**_score(work, "audio, no lyrics", model, "lyrics"), **_score(work, "lyrics, silent", model, "audio")}


def _score(work: _Work, column: str, model: Any, without: str | None = None) -> dict[str, Scores]:
    """On the test songs, by the first process; nothing where there are none."""
    if not work.songs["test"] or not is_first():
        return {}
    outputs = predict(model.to(work.device), _prepare(work, "test", model), work.device, without)
    return {column: score(outputs, work.tables["test"], work.labels.kind)}


def _save(work: _Work, name: str, save: Callable[[Path], object]) -> None:
    if is_first():
        save(work.out / name)


def _finish(work: _Work, fits: dict[str, Fitted], scores: dict[str, Scores]) -> Trained:
    read = [entry for part in ("train", "valid") for entry in work.songs[part]] if fits.keys() != {"audio"} else []
    told = describe_stripped([find_text(entry, work.preparation.clean) for entry in read])
    sizes = {name: len(part) for name, part in work.songs.items()}
    trained = Trained(work.labels, sizes, scores, fits, (told,) if told else ())
    if is_first():
        with writing_atomically(work.out / "results.json") as unfinished:
            unfinished.write_text(json.dumps(to_record(trained), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        for weights in (work.out / "runs").glob(f"*/{WEIGHTS}"):
            weights.unlink()
    return trained


def to_record(trained: Trained) -> dict[str, Any]:
    """Everything in numbers, words and lists."""
    return {
        "classes": list(trained.labels.classes),
        "kind": trained.labels.kind,
        "songs": trained.songs,
        "fits": {name: vars(fitted) for name, fitted in trained.fits.items()},
        "test": {
            column: {
                "macro_f1": scores.macro_f1,
                "accuracy": scores.accuracy,
                "songs": scores.songs.tolist(),
                "class_accuracy": scores.class_accuracy.tolist(),
                "f1": scores.f1.tolist(),
            }
            for column, scores in trained.scores.items()
        },
        "notes": list(trained.notes),
    }


def _hash(songs: dict[str, tuple[Entry, ...]]) -> str:
    rows = [
        [name, one.id, str(one.audio), str(one.lyrics), str(one.stems), one.labels] for name in songs for one in songs[name]
    ]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()
