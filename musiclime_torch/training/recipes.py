"""The paper's recipe, from a manifest to models and a table: each modality by itself and then both together, or both at
once.

Everything is written to one folder: `model`, `audio` and `lyrics` are models that the command line loads by their path,
`runs` holds the logs of training, `results.json` the scores on the test songs.
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
from musiclime_torch.models.care import find_device
from musiclime_torch.song.lyrics.boilerplate import describe_stripped
from musiclime_torch.song.manifest import Entry
from musiclime_torch.training.fitting import WEIGHTS, Fitted, Recipe, fit, is_first
from musiclime_torch.training.scores import Scores, predict, score
from musiclime_torch.training.songs import ManifestSongs, find_text
from musiclime_torch.training.starting import (
    Labels,
    balance,
    join_towers,
    read_labels,
    save_classifier,
    seeded,
    split,
    start_audio,
    start_lyrics,
    start_tagger,
)

#: Peak rates of a tagger, which starts untrained: each word occurs in few songs and needs larger steps than sound.
TAGGER_RATES: Mapping[str, float] = {"embedding": 3e-2, "read": 1e-2}
TAGGER_RATE = 3e-3


@dataclass(frozen=True)
class Trained:
    """Results of a run: scores on the test songs by column ("both", "audio", "lyrics", ...), empty without test songs."""

    labels: Labels
    songs: dict[str, int]
    scores: dict[str, Scores]
    fits: dict[str, Fitted]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Preparation:
    """How songs are prepared: see `ManifestSongs`. `balanced` weights all classes equally."""

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
        out: folder for models and results; a run that was killed there is resumed.
        recipe: how to fit; None is the default for the model.
        model: "paper" (AST and RoBERTa, late fusion) or "tagger" (small, untrained). With None, giving only one of the next
            two trains that side alone; otherwise the paper's model is trained.
        audio_model: audio classifier to start from, by hub id or folder; None takes the paper's.
        text_model: text classifier to start from, by hub id or folder; None takes the paper's.
        apart: train each modality by itself first, and join the two encoders afterwards, as in the paper.
        preparation: how songs are prepared; None for `Preparation()`.
        device: where to train. Under torchrun every process has its own.
        callbacks: callbacks of `transformers`' trainer, such as `make_trainer_callback(monitor)`.

    Raises:
        InputError: anything that can't be trained, in one sentence.
    """
    out = Path(out)
    if isfile(out / "results.json"):
        raise InputError(f"{str(out)!r} holds a finished run (results.json): give another out folder.", argument="out")
    if model not in (None, "paper", "tagger"):
        raise InputError(f"model {model!r} can't be trained: give paper or tagger, or audio and text models to start from.")
    alone = model is None and (audio_model is None) != (text_model is None)
    if model == "tagger" and (audio_model or text_model or apart):
        raise InputError(
            "a tagger has no pretrained parts and learns both sides at once: leave the other models and apart out."
        )
    if alone and apart:
        raise InputError("apart needs both modalities, and only one was given: leave it out.", argument="apart")
    work = _lay_out(entries, out, recipe or pick_recipe(model), preparation or Preparation(), find_device(device), callbacks)
    if model == "tagger":
        return _train_tagger(work)
    if alone:
        return _train_side(work, audio_model, text_model)
    return _train_paper(work, audio_model or AUDIO_MODEL, text_model or TEXT_MODEL, apart)


def pick_recipe(model: str | None) -> Recipe:
    """The default recipe: pretrained encoders take small steps."""
    if model != "tagger":
        return Recipe()
    return Recipe(epochs=30, rate=TAGGER_RATE, rates=TAGGER_RATES, smoothing=0.01, patience=8)


@dataclass(frozen=True)
class _Work:
    """What all models of a run share: songs and their labels by split, the recipe, and the folder."""

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
    """Train an untrained tagger on both sides at once."""
    texts = [find_text(entry, work.preparation.clean).text for entry in work.songs["train"]]
    with seeded(work.recipe.seed):
        model = start_tagger(texts, work.labels)
    fitted = _fit(work, "model", model, "tagger")
    scores = {**_score(work, "both", model), **_score_sides(work, model)}
    _save(work, "model", model.save_pretrained)
    return _finish(work, {"model": fitted}, scores)


def _train_side(work: _Work, audio_model: str | None, text_model: str | None) -> Trained:
    """Train one modality alone."""
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
    """Train the paper's model: AST and RoBERTa with late fusion."""
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
            # Saved now, for the joined model shares these encoders and changes them.
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
    """Scores of the same model without one side. This is not how a model trained on the other side alone would score."""
    return {**_score(work, "audio, no lyrics", model, "lyrics"), **_score(work, "lyrics, silent", model, "audio")}


def _score(work: _Work, column: str, model: Any, without: str | None = None) -> dict[str, Scores]:
    """Scores on the test songs, by the first process; empty where there are none."""
    if not work.songs["test"] or not is_first():
        return {}
    outputs = predict(model.to(work.device), _prepare(work, "test", model), work.device, without, column)
    return {column: score(outputs, work.tables["test"], work.labels.kind)}


def _save(work: _Work, name: str, save: Callable[[Path], object]) -> None:
    if is_first():
        save(work.out / name)


def _finish(work: _Work, fits: dict[str, Fitted], scores: dict[str, Scores]) -> Trained:
    used = [entry for part in ("train", "valid") for entry in work.songs[part]] if fits.keys() != {"audio"} else []
    note = describe_stripped([find_text(entry, work.preparation.clean) for entry in used])
    sizes = {name: len(part) for name, part in work.songs.items()}
    trained = Trained(work.labels, sizes, scores, fits, (note,) if note else ())
    if is_first():
        with writing_atomically(work.out / "results.json") as unfinished:
            unfinished.write_text(json.dumps(to_record(trained), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        for weights in (work.out / "runs").glob(f"*/{WEIGHTS}"):
            weights.unlink()
    return trained


def to_record(trained: Trained) -> dict[str, Any]:
    """All results as plain JSON values."""
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
        [name, entry.id, str(entry.audio), str(entry.lyrics), str(entry.stems), entry.labels]
        for name in songs
        for entry in songs[name]
    ]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()
