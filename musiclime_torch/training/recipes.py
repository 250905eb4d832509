"""The paper's recipe, from a manifest to models and a table: each modality by itself and both together, or both at once.

Everything lands in one folder: `model`, `audio`, `lyrics` are models that `explain` takes by `--model`, `runs` holds what
training logged, `results.json` the scores on the test songs.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from musiclime_torch.devices import find_device
from musiclime_torch.failures import InputError
from musiclime_torch.models.ast_roberta import AUDIO_MODEL, TEXT_MODEL
from musiclime_torch.reading.boilerplate import describe_stripped
from musiclime_torch.reading.manifest import Entry
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
    out, device, prepared = Path(out), find_device(device), preparation or Preparation()
    if (out / "results.json").is_file():
        raise InputError(f"{str(out)!r} holds a finished run (results.json): give another folder.")
    run = _Run(out, split(entries), prepared, device, tuple(callbacks))
    if model == "tagger":
        if audio_model or text_model or apart:
            raise InputError("a tagger starts from nothing and learns both sides at once: leave the other models out.")
        return run.train_tagger(recipe or pick_recipe(model))
    if model not in (None, "paper"):
        raise InputError(f"model {model!r} can't be trained: give paper or tagger, or audio and text models to start from.")
    recipe = recipe or pick_recipe(model)
    if model is None and (audio_model is None) != (text_model is None):
        if apart:
            raise InputError("one modality alone has nothing to be trained apart from.")
        return run.train_side(recipe, audio_model, text_model)
    return run.train_paper(recipe, audio_model or AUDIO_MODEL, text_model or TEXT_MODEL, apart)


def pick_recipe(model: str | None) -> Recipe:
    """The default recipe: encoders that are trained already take small steps."""
    if model != "tagger":
        return Recipe()
    return Recipe(epochs=30, rate=TAGGER_RATE, rates=TAGGER_RATES, smoothing=0.01, patience=8)


class _Run:
    """One folder's run: the songs of each split, and what has been trained so far."""

    def __init__(
        self,
        out: Path,
        songs: dict[str, tuple[Entry, ...]],
        prepared: Preparation,
        device: torch.device,
        callbacks: tuple[Any, ...],
    ) -> None:
        self.out, self.songs, self.prepared, self.device, self.callbacks = out, songs, prepared, device, callbacks
        self.labels = read_labels(songs["train"])
        self.tables = {name: self.labels.encode(part) for name, part in songs.items()}
        self.scores: dict[str, Scores] = {}
        self.fits: dict[str, Fitted] = {}
        self.notes: list[str] = []

    def train_tagger(self, recipe: Recipe) -> Trained:
        """Both sides at once, from nothing."""
        texts = [find_text(entry, self.prepared.clean).text for entry in self.songs["train"]]
        with seeded(recipe.seed):
            model = start_tagger(texts, self.labels)
        self._fit("model", model, recipe, "tagger")
        self._score_both(model)
        return self._finish({"model": model.save_pretrained})

    def train_side(self, recipe: Recipe, audio_model: str | None, text_model: str | None) -> Trained:
        """One modality alone."""
        side, start, source = (
            ("audio", start_audio, audio_model) if text_model is None else ("lyrics", start_lyrics, text_model)
        )
        assert source is not None, "one of the two is given"
        with seeded(recipe.seed):
            model, part = start(source, self.labels)
        self._fit(side, model, recipe, source)
        self._score(side, model, None)
        return self._finish({side: lambda folder: save_classifier(model, part, folder)})

    def train_paper(self, recipe: Recipe, audio_model: str, text_model: str, apart: bool) -> Trained:
        """AST and RoBERTa, fused late."""
        about = f"{audio_model} + {text_model}"
        with seeded(recipe.seed):
            audio, extractor = start_audio(audio_model, self.labels)
            lyrics, tokenizer = start_lyrics(text_model, self.labels)
        if apart:
            for side, tower, part in (("audio", audio, extractor), ("lyrics", lyrics, tokenizer)):
                self._fit(side, tower, recipe, about)
                self._score(side, tower, None)
                # Now, for the joined model will take the encoders over and change them.
                self._save(side, lambda folder, tower=tower, part=part: save_classifier(tower, part, folder))
        with seeded(recipe.seed + 1):
            model = join_towers(audio, lyrics, self.labels)
        self._fit("model", model, recipe, f"{about}, {'apart first' if apart else 'at once'}")
        self._score("both", model, None)
        if not apart:
            self._score_sides(model)
        return self._finish({"model": model.save_pretrained})

    def _fit(self, name: str, model: Any, recipe: Recipe, about: str) -> None:
        learned, checked = (self._prepare(part, model, recipe.seed) for part in ("train", "valid"))
        if not self.notes and learned.reads:
            self.notes += [note for note in (describe_stripped([*learned.cleaned, *checked.cleaned]),) if note]
        weights = balance(self.tables["train"], self.labels.kind) if self.prepared.balanced else None
        self.fits[name] = fit(
            model,
            learned,
            checked if len(checked) else None,
            recipe,
            self.out / "runs" / name,
            weights=weights,
            about=f"{about}; {self.prepared}; {_hash(self.songs)}",
            device=self.device,
            callbacks=self.callbacks,
        )

    def _prepare(self, part: str, model: Any, seed: int) -> ManifestSongs:
        return ManifestSongs(
            self.songs[part],
            self.tables[part],
            model,
            seed=seed,
            random=part == "train",
            separator=self.prepared.separator if part == "train" else None,
            max_seconds=self.prepared.max_seconds,
            clean=self.prepared.clean,
        )

    def _score_both(self, model: Any) -> None:
        self._score("both", model, None)
        self._score_sides(model)

    def _score_sides(self, model: Any) -> None:
        """The same model with one side taken away: not what it would be, had it learned with that side alone."""
        self._score("audio, no lyrics", model, "lyrics")
        self._score("lyrics, silent", model, "audio")

    def _score(self, column: str, model: Any, without: str | None) -> None:
        if not self.songs["test"] or not is_first():
            return
        model.to(self.device)
        outputs = predict(model, self._prepare("test", model, 0), self.device, without)
        self.scores[column] = score(outputs, self.tables["test"], self.labels.kind)

    def _save(self, name: str, save: Any) -> None:
        if is_first():
            save(self.out / name)

    def _finish(self, saves: dict[str, Any]) -> Trained:
        for name, save in saves.items():
            self._save(name, save)
        songs = {name: len(part) for name, part in self.songs.items()}
        trained = Trained(self.labels, songs, self.scores, self.fits, tuple(self.notes))
        if is_first():
            partial = self.out / ".results.json.partial"
            partial.write_text(json.dumps(to_record(trained), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
            partial.replace(self.out / "results.json")
            for weights in (self.out / "runs").glob(f"*/{WEIGHTS}"):
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
