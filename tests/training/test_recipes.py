"""Recipes from a manifest to a table of scores."""

import json
from dataclasses import replace

import pytest
import torch
from tiny_hub import label, save_ast, save_audio_classifier, save_roberta

from musiclime_torch.basics.errors import InputError
from musiclime_torch.commands.models import load_ensemble, load_model
from musiclime_torch.commands.train import make_table
from musiclime_torch.demo.catalogue import main as make_catalogue
from musiclime_torch.explanation.explainer import explain
from musiclime_torch.song.manifest import read_manifest
from musiclime_torch.song.track import load_track
from musiclime_torch.training.fitting import Recipe, fit
from musiclime_torch.training.recipes import Preparation, pick_recipe, train

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
    # Long steps: of every song's twelve seconds it would make thousands of frames that attend to each other.
    more = {"conv_stride": (10, 8, 8)} if kind == "wav2vec2" else {}
    source = save_audio_classifier(tmp_path / "source", kind, **label("x", "y"), **more)
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
