"""Training: batches and losses against their definitions, runs that go on after a kill, recipes from manifest to table."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from hypothesis import given, settings, strategies as st
from sklearn.metrics import accuracy_score, f1_score
from tiny_hub import label, save_ast, save_audio_classifier, save_roberta
from transformers import TrainerCallback

from musiclime_torch.basics.errors import InputError
from musiclime_torch.commands.cli import cli
from musiclime_torch.commands.models import load_ensemble, load_model
from musiclime_torch.demo.bundle import load_demo_track
from musiclime_torch.demo.catalogue import main as make_catalogue
from musiclime_torch.explanation.explainer import explain
from musiclime_torch.models.contract import TokenBatch
from musiclime_torch.models.tagger import Tagger
from musiclime_torch.song.manifest import Entry, read_manifest
from musiclime_torch.song.track import load_track
from musiclime_torch.training.callbacks import make_trainer_callback
from musiclime_torch.training.fitting import CHECKPOINTS, Recipe, find_checkpoint, fit, group_parameters
from musiclime_torch.training.labels import Labels, balance, read_labels, split
from musiclime_torch.training.learner import Learner
from musiclime_torch.training.monitor import Monitor
from musiclime_torch.training.recipes import Preparation, pick_recipe, train
from musiclime_torch.training.scores import score
from musiclime_torch.training.songs import ManifestSongs, join
from musiclime_torch.training.starting import seeded, start_tagger
from musiclime_torch.training.table import make_table
from musiclime_torch.training.testing import predict

TAGS = "drum fill,love song,lullaby"


@pytest.fixture(scope="session")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The manifest of 30 generated songs with three labels."""
    folder = tmp_path_factory.mktemp("catalogue")
    make_catalogue(["--songs", "30", "--tags", TAGS, "--out", str(folder)])
    return folder / "manifest.csv"


@pytest.fixture
def entries(catalogue: Path) -> tuple[Entry, ...]:
    return read_manifest(catalogue)


@pytest.fixture(scope="session")
def encoders(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Tiny AST and RoBERTa as the hub has them."""
    folder = tmp_path_factory.mktemp("hub")
    return str(save_ast(folder / "ast")), str(save_roberta(folder / "roberta"))


def make_songs(entries, model, part="train", **more) -> ManifestSongs:
    chosen = split(entries)[part]
    labels = Labels(tuple(sorted(TAGS.split(","))), "logits").encode(chosen)
    given = {"seed": 0, "random": part == "train", "separator": None, "max_seconds": 60.0, "clean": True} | more
    return ManifestSongs(chosen, labels, model, **given)


def make_tagger(seed: int = 0) -> Tagger:
    with seeded(seed):
        labels = Labels(tuple(sorted(TAGS.split(","))), "logits")
        return start_tagger(["love me do", "love me now do"], labels)


# --- labels, splits, scores, losses ---


def test_songs_without_a_split_get_one_by_their_ids():
    entries = [Entry(str(number), labels=("a",)) for number in range(4000)]
    found = split(entries)
    assert {name: round(len(part) / 4000, 1) for name, part in found.items()} == {"train": 0.8, "valid": 0.1, "test": 0.1}
    assert {name: set(part) for name, part in split(entries[::-1]).items()} == {n: set(p) for n, p in found.items()}
    with pytest.raises(InputError, match="has no split, but other songs have one"):
        split([Entry("a", split="train"), Entry("b", place="row 2")])
    with pytest.raises(InputError, match="no song's split is train"):
        split([Entry("a", split="test")])


def test_labels_are_read_from_the_songs_that_train():
    entries = [Entry("a", labels=("x",)), Entry("b", labels=("y",))]
    assert read_labels(entries) == Labels(("x", "y"), "logits")
    assert read_labels([*entries, Entry("c", labels=("x", "y"))]).kind == "multilabel"
    with pytest.raises(InputError, match=r"at least 2 labels, got 1 \(x\)"):
        read_labels(entries[:1])
    with pytest.raises(InputError, match=r"row 9 \(c\) is labelled 'z', which isn't among"):
        read_labels(entries).encode([Entry("c", labels=("z",), place="row 9")])


@given(st.integers(1, 40), st.integers(2, 5), st.integers(0, 10_000))
def test_scores_are_those_of_scikit_learn(songs: int, classes: int, seed: int):
    rng = np.random.default_rng(seed)
    outputs, truth = rng.normal(size=(songs, classes)), rng.integers(classes, size=songs)
    found = score(torch.tensor(outputs), torch.eye(classes)[torch.tensor(truth)], "logits")
    present = sorted(set(truth))
    assert found.accuracy == pytest.approx(accuracy_score(truth, outputs.argmax(1)))
    expected = f1_score(truth, outputs.argmax(1), labels=present, average="macro", zero_division=0)
    assert found.macro_f1 == pytest.approx(expected)
    many = rng.integers(2, size=(songs, classes))
    found = score(torch.tensor(outputs), torch.tensor(many).double(), "multilabel")
    assert found.f1.tolist() == pytest.approx(f1_score(many, outputs > 0, average=None, zero_division=0).tolist())
    assert found.accuracy == pytest.approx(accuracy_score(many, outputs > 0))
    assert found.class_accuracy.tolist() == pytest.approx(((outputs > 0) == many).mean(0).tolist())


@given(st.integers(2, 30), st.integers(2, 5), st.integers(0, 10_000))
def test_balanced_classes_weigh_alike(songs: int, classes: int, seed: int):
    truth = torch.eye(classes)[torch.from_numpy(np.random.default_rng(seed).integers(classes, size=songs))]
    totals = (truth * balance(truth, "logits")).sum(0)
    assert torch.allclose(totals[totals > 0], torch.tensor(songs / classes))
    pairs = balance(truth, "multilabel") * truth.sum(0)
    there = truth.sum(0) > 0
    assert torch.allclose(pairs[there], (songs - truth.sum(0))[there])


class Heads(torch.nn.Module):
    """Two encoders and a head, each a layer; tells in which precision its head was run."""

    sample_rate, channels, max_seconds, modalities = 8000, 1, 2.0, ("audio", "lyrics")
    classes = tuple(sorted(TAGS.split(",")))

    def __init__(self, output_kind: str = "logits") -> None:
        super().__init__()
        self.output_kind = output_kind
        self.ear, self.eye = torch.nn.Linear(16, 4), torch.nn.Linear(4, 4)
        self.classifier = torch.nn.Linear(8, 3)
        self.words = torch.nn.Embedding(50, 4)
        self.seen: set[torch.dtype] = set()

    def tokenize(self, text):
        tokens = make_tagger().tokenize(text)
        return replace(tokens, ids=tokens.ids % 50)

    def embed_text(self, ids):
        return self.words(ids)

    def encode_audio(self, audio):
        return torch.tanh(self.ear(audio[:, 0, : 16 * 100].unflatten(1, (100, 16)).mean(1)))

    def encode_text(self, text):
        return torch.tanh(self.eye((text.embeddings * text.attended[:, :, None]).sum(1)))

    def fuse(self, audio, text):
        self.seen |= {audio.dtype, text.dtype}
        out = self.classifier(torch.cat([audio, text], 1))
        self.seen.add(out.dtype)
        return out

    def forward(self, audio, text):
        return self.fuse(self.encode_audio(audio), self.encode_text(text))


def draw_batch(seed: int, classes: int = 3, rows: int = 6):
    generator = torch.Generator().manual_seed(seed)
    audio = torch.randn(rows, 1, 1600, generator=generator)
    ids = torch.randint(50, (rows, 7), generator=generator)
    labels = torch.eye(classes)[torch.randint(classes, (rows,), generator=generator)]
    known = torch.rand(rows, classes, generator=generator) < 0.7
    return audio, ids, torch.ones_like(ids, dtype=torch.bool), labels, known


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weighted", [False, True])
def test_losses_are_those_of_torch(weighted: bool, smoothing: float):
    weights = torch.tensor([0.5, 1.0, 3.0]) if weighted else None
    audio, ids, attended, labels, known = draw_batch(1)
    everything = torch.ones_like(known)
    out = Learner(Heads(), weights, 0.0)(audio, ids, attended, labels, everything)
    expected = torch.nn.functional.cross_entropy(out["logits"], labels.argmax(1), weight=weights)
    assert torch.allclose(out["loss"], expected)
    out = Learner(Heads("multilabel"), weights, smoothing)(audio, ids, attended, labels, known)
    targets = labels * (1 - 2 * smoothing) + smoothing
    expected = torch.nn.functional.binary_cross_entropy_with_logits(
        out["logits"][known], targets[known], pos_weight=None if weights is None else weights.expand(6, 3)[known]
    )
    assert torch.allclose(out["loss"], expected)


def test_heads_and_losses_stay_in_float32_under_autocast():
    model = Heads()
    with torch.autocast("cpu", torch.bfloat16):
        out = Learner(model, None, 0.0)(*draw_batch(2))
    assert model.seen == {torch.float32}
    assert out["loss"].dtype == out["logits"].dtype == torch.float32
    plain = Learner(model, None, 0.0)(*draw_batch(2))["logits"]
    assert 0 < (out["logits"] - plain).abs().max().item() < 0.02


# --- songs ---


def test_a_song_hangs_on_seed_epoch_and_place_alone(entries):
    model = make_tagger()
    songs = make_songs(entries, model, separator="none")
    again = make_songs(entries, model, separator="none")
    n = len(songs)
    pieces = [songs[3 + epoch * n] for epoch in range(6)]
    assert torch.equal(pieces[4].audio, again[3 + 4 * n].audio)
    assert torch.equal(pieces[4].ids, again[3 + 4 * n].ids)
    assert len({piece.audio.sum().item() for piece in pieces}) > 3
    assert all(torch.equal(piece.labels, pieces[0].labels) for piece in pieces)
    other = make_songs(entries, model, separator="none", seed=1)
    assert any(not torch.equal(other[3 + epoch * n].ids, pieces[epoch].ids) for epoch in range(6))


def test_dropout_silences_segments_and_masks_words(entries):
    model = make_tagger()
    songs, whole = make_songs(entries, model, separator="none"), make_songs(entries, model, random=False)
    model.max_seconds = None
    songs.longest = whole.longest = None
    n, dropped = len(songs), 0
    clean = whole[2]
    mask = model.tokenize("x").mask_id
    for epoch in range(40):
        piece = songs[2 + epoch * n]
        assert piece.audio.shape == clean.audio.shape
        gone = (piece.audio == 0) & (clean.audio != 0)
        changed = piece.ids != clean.ids
        assert bool((piece.ids[changed] == mask).all())
        assert torch.equal(
            piece.audio[~gone & (piece.audio == clean.audio)], clean.audio[~gone & (piece.audio == clean.audio)]
        )
        dropped += bool(gone.float().mean() > 0.05)
    # A fifth lose nothing, and some others too little to lose a tenth of the song.
    assert 10 < dropped < 32


def test_stems_are_dropped_one_by_one(entries):
    songs = make_songs(entries[:4], make_tagger(), separator="hpss")
    assert songs[0].audio.shape[:2] == (1, 1)
    assert torch.isfinite(songs[1].audio).all()


def test_joined_batches_keep_every_row(entries):
    songs = make_songs(entries, make_tagger())
    items = [songs[index] for index in range(5)]
    items[2] = replace(
        items[2], audio=items[2].audio[:, :, :500], ids=items[2].ids[:, :2], attended=items[2].attended[:, :2]
    )
    batch = join(items)
    for row, item in enumerate(items):
        frames, tokens = item.audio.shape[2], item.ids.shape[1]
        assert torch.equal(batch.audio[row, :, :frames], item.audio[0])
        assert not batch.audio[row, :, frames:].any()
        assert torch.equal(batch.ids[row, :tokens], item.ids[0])
        assert not batch.attended[row, tokens:].any()
        assert torch.equal(batch.labels[row], item.labels[0])


def test_songs_are_tested_as_explanations_run_them(entries):
    model = make_tagger().eval()
    # Shorter than the songs, so that there are several windows.
    model.max_seconds = 3.0
    songs = make_songs(entries, model, "test")
    outputs = predict(model, songs, "cpu")
    entry = songs.entries[1]
    track = load_track(entry.audio, lyrics=entry.lyrics, separator="none")
    found = explain(model, track, segments=2, n_samples=16, space="logit", design="joint", units="section")
    assert torch.allclose(outputs[1].double(), found.output_song, atol=1e-5)
    silent, mute = predict(model, songs, "cpu", "audio"), predict(model, songs, "cpu", "lyrics")
    assert not torch.allclose(silent, outputs)
    assert not torch.allclose(mute, outputs)
    assert torch.allclose(silent[0], model(torch.zeros(1, 1, 48000), [songs.texts[0]])[0], atol=1e-5)
    nothing = TokenBatch(model.embed_text(torch.zeros(1, 0, dtype=torch.long)), torch.zeros(1, 0, dtype=torch.bool))
    assert torch.allclose(model.encode_text(nothing), model.encode_text(TokenBatch(nothing.embeddings, nothing.attended)))


# --- runs ---


class Kill(TrainerCallback):
    """What a scheduler does, at a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args, state, control, **_):
        if state.global_step == self.step:
            raise KeyboardInterrupt


def run_tagger(
    entries, folder: Path, recipe: Recipe, kill: int | None = None, valid: bool = True
) -> dict[str, torch.Tensor]:
    model = make_tagger()
    model.hearing.insert(4, torch.nn.Dropout(0.2))
    songs = make_songs(entries, model, separator="none")
    checked = make_songs(entries, model, "valid") if valid else None
    fit(model, songs, checked, recipe, folder, callbacks=() if kill is None else (Kill(kill),))
    return model.state_dict()


SHORT = Recipe(epochs=4, batch_size=6, rate=3e-3, patience=1, save_every=2, smoothing=0.01)


@pytest.mark.parametrize("valid", [True, False])
def test_a_killed_run_ends_as_one_that_was_not(entries, tmp_path, valid):
    torch.set_num_threads(1)
    recipe = replace(SHORT, patience=2)
    whole = run_tagger(entries, tmp_path / "whole", recipe, valid=valid)
    for kill in (3, 5):  # in the middle of an epoch, a step after a checkpoint, and again
        with pytest.raises(KeyboardInterrupt):
            run_tagger(entries, tmp_path / "killed", recipe, kill, valid=valid)
    last = find_checkpoint(tmp_path / "killed" / CHECKPOINTS)
    assert last is not None
    assert last.name == "checkpoint-4"
    resumed = run_tagger(entries, tmp_path / "killed", recipe, valid=valid)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    one, two = (json.loads((tmp_path / name / "finished.json").read_text()) for name in ("whole", "killed"))
    assert (one["steps"], one["best_macro_f1"]) == (two["steps"], two["best_macro_f1"])
    assert not (tmp_path / "killed" / CHECKPOINTS).exists()
    assert list((tmp_path / "killed" / "logs").glob("events*"))
    # And a run that is finished isn't run again.
    started = time.monotonic()
    again = run_tagger(entries, tmp_path / "killed", recipe, kill=1, valid=valid)
    assert all(torch.equal(again[name], whole[name]) for name in whole)
    assert time.monotonic() - started < 60


def test_a_checkpoint_cut_short_is_passed_over(entries, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run_tagger(entries, tmp_path, replace(SHORT, patience=None), 5)
    checkpoints = tmp_path / CHECKPOINTS
    state = checkpoints / "checkpoint-4" / "trainer_state.json"
    state.write_text(state.read_text()[:50])
    found = find_checkpoint(checkpoints)
    assert found is not None
    assert found.name == "checkpoint-2"
    assert find_checkpoint(tmp_path / "nothing") is None


def test_a_folder_holds_one_run(entries, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run_tagger(entries, tmp_path, SHORT, 3)
    with pytest.raises(InputError, match="holds a run with other settings"):
        run_tagger(entries, tmp_path, replace(SHORT, rate=1e-4))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"epochs": 0}, "epochs must be at least 1, got 0"),
        ({"rate": 2.0}, "rate must be between 0 and 1, got 2.0"),
        ({"precision": "int8"}, "int8"),
        ({"batch_size": 0}, "batch"),
    ],
)
def test_recipes_that_train_nothing_are_refused(entries, tmp_path, change, said):
    with pytest.raises(InputError, match=said):
        run_tagger(entries, tmp_path, replace(SHORT, **change))


def test_accumulated_batches_make_the_step_of_one_large_batch(entries, tmp_path):
    torch.set_num_threads(1)
    weights = []
    for name, more in (("one", {"batch_size": 6}), ("three", {"batch_size": 2, "accumulation": 3})):
        with seeded(3):
            model = Heads()
        recipe = Recipe(epochs=2, rate=1e-2, rates={}, patience=None, **more)
        fit(model, make_songs(entries, model), None, recipe, tmp_path / name)
        weights.append(torch.cat([part.flatten() for part in model.parameters()]))
    assert torch.allclose(weights[0], weights[1], atol=1e-5)


def test_workers_change_nothing(entries, tmp_path):
    torch.set_num_threads(1)
    one, two = (
        run_tagger(entries, tmp_path / str(workers), replace(SHORT, epochs=2, workers=workers), valid=False)
        for workers in (0, 2)
    )
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_bfloat16_trains_nearly_the_same(entries, tmp_path):
    weights = []
    for precision in ("float32", "bfloat16"):
        with seeded(3):
            model = Heads()
        recipe = Recipe(epochs=2, batch_size=6, rate=1e-2, rates={}, patience=None, precision=precision)
        fit(model, make_songs(entries, model), None, recipe, tmp_path / precision)
        assert model.seen == {torch.float32}
        weights.append(torch.cat([part.flatten() for part in model.parameters()]))
    assert 0 < (weights[0] - weights[1]).abs().max().item() < 0.05


def test_heads_learn_faster_than_encoders():
    groups = group_parameters(Heads(), Recipe())
    assert {group["lr"]: len(group["params"]) for group in groups} == {1e-5: 5, 1e-3: 2}


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


# --- recipes ---

FAST = Recipe(epochs=1, batch_size=6, rate=1e-3, patience=None)


def test_modalities_apart_then_joined(entries, encoders, tmp_path):
    audio, text = encoders
    out = tmp_path / "out"
    found = train(entries, out, recipe=FAST, audio_model=audio, text_model=text, apart=True)
    assert list(found.scores) == ["audio", "lyrics", "both"]
    assert list(found.fits) == ["audio", "lyrics", "model"]
    track = load_track(entries[0].audio, lyrics=entries[0].lyrics, separator="none", end=2.0)
    whole = load_model(str(out / "model"), "cpu")
    assert whole.classes == found.labels.classes
    assert (whole.preparation.lower_case, whole.preparation.limit) == (True, 64)
    explain(whole, track, segments=2, n_samples=(8, 8), units="section")
    ensemble = load_ensemble(str(out / "audio"), str(out / "lyrics"), (1.0, 1.0), "cpu")
    assert ensemble.eye.preparation == whole.preparation
    explain(ensemble, track, segments=2, n_samples=(8, 8), units="section")
    record = json.loads((out / "results.json").read_text())
    assert record["songs"] == {"train": 18, "valid": 6, "test": 6}
    assert record["test"]["both"]["songs"] == [2, 2, 2]
    assert not list(out.glob("runs/*/weights.safetensors"))
    table = make_table(found)
    assert [column.header for column in table.columns] == ["class", "songs", "lyrics", "audio", "both"]
    with pytest.raises(InputError, match="holds a finished run"):
        train(entries, out, recipe=FAST, audio_model=audio, text_model=text)


def test_joined_encoders_are_those_that_were_trained_apart(entries, encoders, tmp_path, monkeypatch):
    audio, text = encoders
    kept = {}

    def watch(model, songs, checked, recipe, folder, **more):
        kept[folder.name] = {name: value.clone() for name, value in model.state_dict().items()}
        return fit(model, songs, checked, recipe, folder, **more)

    monkeypatch.setattr("musiclime_torch.training.recipes.fit", watch)
    train(entries, tmp_path, recipe=FAST, audio_model=audio, text_model=text, apart=True)
    trained = load_model(str(tmp_path / "audio"), "cpu").module.audio_spectrogram_transformer.state_dict()
    assert all(torch.equal(kept["model"][f"audio_model.{name}"], value) for name, value in trained.items())
    before = kept["audio"]["module.audio_spectrogram_transformer.embeddings.cls_token"]
    assert not torch.equal(before, trained["embeddings.cls_token"])


def test_both_at_once_is_scored_with_a_side_taken_away(entries, encoders, tmp_path):
    found = train(entries, tmp_path, recipe=FAST, model="paper", audio_model=encoders[0], text_model=encoders[1])
    assert list(found.scores) == ["both", "audio, no lyrics", "lyrics, silent"]


@pytest.mark.parametrize("kind", ["ast", "wav2vec2"])
def test_one_side_alone(entries, tmp_path, kind):
    source = save_audio_classifier(tmp_path / "source", kind, **label("x", "y"))
    several = [replace(entry, labels=(*entry.labels, "extra")) for entry in entries]
    found = train(several, tmp_path / "out", recipe=FAST, audio_model=str(source))
    assert list(found.scores) == ["audio"]
    assert found.labels.kind == "multilabel"
    assert load_model(str(tmp_path / "out" / "audio"), "cpu").output_kind == "multilabel"
    if kind == "ast":
        with pytest.raises(InputError, match="can't be joined"):
            train(entries, tmp_path / "two", recipe=FAST, audio_model=str(save_audio_classifier(tmp_path / "w", "wav2vec2")),
                  text_model=str(save_roberta(tmp_path / "r")))  # fmt: skip


def test_a_model_without_trained_encoders_is_refused(entries, tmp_path):
    folder = save_ast(tmp_path / "ast")
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    save_file({name: value for name, value in tensors.items() if "cls_token" not in name}, folder / "model.safetensors",
              metadata={"format": "pt"})  # fmt: skip
    with pytest.raises(InputError, match=r"lacks .*cls_token.*encoders are trained"):
        train(entries, tmp_path / "out", recipe=FAST, audio_model=str(folder))


def test_what_sites_add_is_told_once(entries, tmp_path):
    dirty = [replace(entry, lyrics="love me\nYou might also like\ndo5Embed") for entry in entries]
    found = train(dirty, tmp_path / "a", recipe=FAST, model="tagger")
    assert found.notes == (
        "A lyrics site's additions were taken out of 24 songs: 'you might also like' in 24, 'embed' in 24.",
    )
    kept = train(dirty, tmp_path / "b", recipe=FAST, model="tagger", preparation=Preparation(clean=False))
    assert kept.notes == ()


def test_the_tagger_learns_what_is_heard_and_read(tmp_path):
    torch.set_num_threads(1)
    make_catalogue(["--songs", "100", "--tags", "drum fill,synth solo", "--out", str(tmp_path)])
    recipe = replace(pick_recipe("tagger"), epochs=8)
    found = train(read_manifest(tmp_path / "manifest.csv"), tmp_path / "out", recipe=recipe, model="tagger")
    assert found.scores["both"].accuracy > 0.9
    assert found.fits["model"].best_macro_f1 > 0.9


# --- the command line ---


def run_command(*arguments: str):
    return CliRunner().invoke(cli, ["train", *arguments])


def test_command_trains_and_shows_a_table(catalogue, tmp_path):
    done = run_command(str(catalogue), "--model", "tagger", "--epochs", "1", "--out", str(tmp_path), "--classes", TAGS[:19])
    assert done.exit_code == 0, done.output
    assert "macro F1" in done.stdout
    assert "20 of 30 songs have one of these classes" in done.stderr
    assert load_model(str(tmp_path / "model"), "cpu").classes == ("drum fill", "love song")


def test_command_names_bad_rows_and_goes_on_without_them(catalogue, tmp_path):
    lines = catalogue.read_text().splitlines()
    lines[3] = lines[3].replace("audio/", "nowhere/")
    broken = catalogue.parent / "broken.csv"
    broken.write_text("\n".join(lines))
    arguments = (str(broken), "--model", "tagger", "--epochs", "1", "--out", str(tmp_path / "out"))
    failed = run_command(*arguments)
    assert isinstance(failed.exception, InputError)
    assert "1 of 30 songs can't be used: row 3, line 4 (song0002): there is no" in str(failed.exception)
    done = run_command(*arguments, "--skip-bad")
    assert done.exit_code == 0
    assert "1 of 30 songs left out, the first: row 3, line 4" in done.stderr


def test_paths_that_cannot_be_are_named(catalogue, tmp_path):
    long = 300 * "x"
    for arguments, said in (
        ((long, "--out", str(tmp_path / "out")), "there is no manifest"),
        ((str(catalogue), "--model", "tagger", "--out", str(tmp_path / long)), "can't be written to (File name too long)"),
        ((str(catalogue), "--model", "tagger", "--out", str(catalogue)), f"--out {catalogue} is a file: give a folder."),
    ):
        failed = run_command(*arguments)
        assert isinstance(failed.exception, InputError), failed.exception
        assert said in str(failed.exception)


def test_models_that_cannot_be_had_are_named(catalogue, tmp_path):
    failed = run_command(str(catalogue), "--audio-model", "nobody/nothing", "--out", str(tmp_path))
    assert "hf download nobody/nothing" in str(failed.exception)
    assert "leave the other models out" in str(
        run_command(str(catalogue), "--model", "tagger", "--apart", "--out", str(tmp_path)).exception
    )


def train_elsewhere(launcher: list[str], catalogue: Path, out: Path) -> list[str]:
    command = [*launcher, "musiclime_torch", "train", str(catalogue), "--model", "tagger", "--epochs", "6"]
    return [*command, "--save-every", "2", "--seed", "5", "--batch-size", "6", "--patience", "0", "--out", str(out)]


@pytest.mark.slow
def test_a_process_that_was_killed_goes_on_to_the_same_weights(catalogue, tmp_path):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    launcher = [sys.executable, "-m"]
    subprocess.run(
        train_elsewhere(launcher, catalogue, tmp_path / "whole"), check=True, capture_output=True, env=environment
    )
    command = train_elsewhere(launcher, catalogue, tmp_path / "killed")
    checkpoints = tmp_path / "killed" / "runs" / "model" / CHECKPOINTS
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    while find_checkpoint(checkpoints) is None:
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "killed" / "results.json").exists()
    resumed = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    assert "Resuming from checkpoint-" in resumed.stderr
    one, two = ((tmp_path / name / "model" / "model.safetensors").read_bytes() for name in ("whole", "killed"))
    assert one == two


@pytest.mark.slow
def test_two_processes_train_one_model(catalogue, tmp_path):
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "29617", "-m"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        train_elsewhere(launcher, catalogue, tmp_path), check=False, capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("macro F1") == 1
    steps = json.loads((tmp_path / "runs" / "model" / "finished.json").read_text())["steps"]
    assert steps == 6 * 2  # 18 songs, 6 a batch and process
    assert load_model(str(tmp_path / "model"), "cpu").classes


@given(st.integers(0, 2**31))
@settings(max_examples=20)
def test_balanced_weights_are_finite(seed):
    truth = (torch.rand(7, 4, generator=torch.Generator().manual_seed(seed)) < 0.3).float()
    assert all(torch.isfinite(balance(truth, kind)).all() for kind in ("logits", "multilabel"))


def test_every_epoch_has_every_song_once_in_an_order_of_its_own(entries, tmp_path):
    model = Heads()
    songs, asked = make_songs(entries, model), []

    class Watched:
        def __len__(self):
            return len(songs)

        def __getitem__(self, index):
            asked.append(index)
            return songs[index]

    fit(model, Watched(), None, replace(SHORT, epochs=3, save_every=None, patience=None), tmp_path)
    n = len(songs)
    epochs = [asked[start : start + n] for start in range(0, 3 * n, n)]
    assert [sorted(epoch) for epoch in epochs] == [list(range(number * n, (number + 1) * n)) for number in range(3)]
    assert len({tuple(index % n for index in epoch) for epoch in epochs}) == 3
