"""Classifiers as people have them: from folders that the library wrote, through its own loading code, offline."""

import json
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
import soundfile
import torch
from tiny_hub import label, save_audio_classifier, save_clap, save_roberta, save_text_classifier
from transformers import (
    AutoFeatureExtractor,
    AutoModelForAudioClassification,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    ClapModel,
)
from warm import run_warm

from musiclime_torch.basics.errors import InputError
from musiclime_torch.commands.models import load_ensemble, load_model
from musiclime_torch.explanation.explainer import explain
from musiclime_torch.models.classifiers import LateEnsemble
from musiclime_torch.models.contract import TokenBatch
from musiclime_torch.song.track import Track


@pytest.mark.parametrize("kind", ["ast", "wav2vec2", "whisper"])
def test_audio_classifiers_hear_what_the_library_would_give_them(tmp_path: Path, kind: str):
    folder = save_audio_classifier(tmp_path / kind, kind, **label("calm", "wild", "sad"))
    model = load_model(str(folder), "cpu")
    audio = 0.2 * torch.randn(3, 1, 16000, generator=torch.Generator().manual_seed(0))
    extractor = AutoFeatureExtractor.from_pretrained(folder)
    inputs = extractor([row[0].numpy() for row in audio], sampling_rate=16000, return_tensors="pt")
    with torch.no_grad():
        expected = AutoModelForAudioClassification.from_pretrained(folder)(**inputs).logits
        assert torch.allclose(model(audio), expected, atol=1e-4)
    assert (model.classes, model.modalities, model.output_kind) == (("calm", "wild", "sad"), ("audio",), "logits")


@pytest.mark.parametrize("truncation", ["rand_trunc", "fusion"])
@pytest.mark.parametrize("frames", [16000, 5000])
def test_clap_compares_sound_with_prompts(tmp_path: Path, truncation: str, frames: int):
    folder = save_clap(tmp_path / "clap", truncation)
    model = load_model(str(folder), "cpu", ("calm", "wild"))
    audio = 0.2 * torch.randn(2, 1, frames, generator=torch.Generator().manual_seed(0))
    library, tokenizer = ClapModel.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    inputs = AutoFeatureExtractor.from_pretrained(folder)(
        [row[0].numpy() for row in audio], sampling_rate=8000, return_tensors="pt"
    )
    features = model.front_end(audio)
    assert torch.allclose(features["input_features"], inputs["input_features"].float(), atol=1e-2)
    read = tokenizer(["This audio is a song of calm.", "This audio is a song of wild."], padding=True, return_tensors="pt")
    with torch.no_grad():
        expected = library(input_features=features["input_features"], is_longer=features["is_longer"], **read)
        assert torch.allclose(model(audio), expected.logits_per_audio, atol=1e-4)
        # One clip at a time, as people ask the library: it calls a clip alone longer where crops are fused.
        for row, clip in zip(model(audio), audio, strict=True):
            alone = AutoFeatureExtractor.from_pretrained(folder)([clip[0].numpy()], sampling_rate=8000, return_tensors="pt")
            assert torch.allclose(row, library(**alone, **read).logits_per_audio[0], atol=1e-2)
    with pytest.raises(InputError, match="needs labels to choose from"):
        load_model(str(folder), "cpu")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("truncation", ["rand_trunc", "fusion"])
def test_clap_in_half_precision(tmp_path: Path, truncation: str, dtype: torch.dtype):
    folder = save_clap(tmp_path / "clap", truncation)
    audio = 0.2 * torch.randn(2, 1, 16000, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        exact = load_model(str(folder), "cpu", ("calm", "wild"))(audio)
        ClapModel.from_pretrained(folder).to(dtype).save_pretrained(folder)
        logits = load_model(str(folder), "cpu", ("calm", "wild"))(audio)
    assert logits.dtype == torch.float32
    torch.testing.assert_close(logits, exact, atol=0.2, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("sound", ["ast", "wav2vec2", "whisper"])
def test_ensembles_in_half_precision(tmp_path: Path, track: Track, sound: str, dtype: torch.dtype):
    ear = load_model(str(save_audio_classifier(tmp_path / "ear", sound, **label("calm", "wild"))), "cpu").to(dtype)
    eye = load_model(str(save_text_classifier(tmp_path / "eye", "roberta", **label("wild", "calm"))), "cpu").to(dtype)
    explanation = explain(LateEnsemble(ear, eye, (1, 1)), track, n_samples=(32, 32), segments=2)
    assert explanation.design.startswith("crossed")
    assert explanation.attributions.isfinite().all()


@pytest.mark.parametrize("kind", ["roberta", "bert"])
def test_text_classifiers_read_what_the_library_would_give_them(tmp_path: Path, kind: str):
    folder = save_text_classifier(tmp_path / kind, kind, **label("calm", "wild"))
    model = load_model(str(folder), "cpu")
    text = "hold me now, love is my love"
    ids = model.tokenize(text).ids
    batch = TokenBatch(model.embed_text(ids)[None], torch.ones(1, len(ids), dtype=torch.bool))
    read = AutoTokenizer.from_pretrained(folder)(text, return_tensors="pt")
    with torch.no_grad():
        expected = AutoModelForSequenceClassification.from_pretrained(folder)(**read).logits
        assert torch.allclose(model(batch), expected, atol=1e-5)
    long = model.tokenize("love " * 500)
    assert len(long.ids) == {"roberta": 64, "bert": 40}[kind]
    assert long.unread_from is not None
    with torch.no_grad():
        model(TokenBatch(model.embed_text(long.ids)[None], torch.ones(1, len(long.ids), dtype=torch.bool)))


def test_two_classifiers_are_added_up_over_shared_labels(tmp_path: Path, track: Track):
    ear = save_audio_classifier(tmp_path / "ear", "ast", **label("Calm", "wild", "opera"))
    eye = save_text_classifier(tmp_path / "eye", "roberta", **label("sad", "wild", "calm"))
    model = load_ensemble(str(ear), str(eye), (1.0, 0.5), "cpu")
    assert model.classes == ("Calm", "wild")
    found = explain(model, track, segments=2, n_samples=(16, 32))
    assert found.design.startswith("crossed")
    alone = explain(load_model(str(ear), "cpu"), track, segments=2)
    words = explain(load_model(str(eye), "cpu"), track)
    assert alone.components.n_audio == len(alone.components) == 4
    assert words.components.n_audio == 0
    # A sum of two sides: each side's attributions are its own, in log shares of the shared labels.
    heard = alone.attributions[0] - alone.attributions[1]
    read = words.attributions[2] - words.attributions[1]
    difference = found.attributions[0] - found.attributions[1]
    assert torch.allclose(difference[:4], heard, atol=float(5 * found.standard_errors.max() + 1e-4))
    assert torch.allclose(difference[4:], 0.5 * read, atol=float(5 * found.standard_errors.max() + 1e-4))


def test_models_that_do_not_go_together_are_refused(tmp_path: Path):
    ear = save_audio_classifier(tmp_path / "ear", "ast", **label("calm", "wild"))
    eye = save_text_classifier(tmp_path / "eye", "roberta", **label("happy", "sad"))
    many = save_text_classifier(
        tmp_path / "many", "roberta", **label("calm", "wild"), problem_type="multi_label_classification"
    )
    bare = save_roberta(tmp_path / "bare")
    for parts, message in (
        ((ear, eye), "share no label"),
        ((ear, many), "can't be added up"),
        ((eye, ear), "doesn't take audio alone"),
    ):
        with pytest.raises(InputError, match=message):
            load_ensemble(*map(str, parts), (1.0, 1.0), "cpu")
    with pytest.raises(InputError, match=r"lacks classifier.*not a trained SequenceClassification"):
        load_model(str(bare), "cpu")


def test_a_slow_tokenizer_is_refused():
    from musiclime_torch.models.tokens import Preparation, cut_tokens

    with pytest.raises(InputError, match="fast version"):
        cut_tokens(object(), "words", Preparation(lower_case=False, strip_punctuation=False, limit=9))


@pytest.mark.slow
def test_two_models_on_the_command_line(tmp_path: Path):
    ear = save_audio_classifier(tmp_path / "ear", "ast", **label("calm", "wild"))
    eye = save_text_classifier(tmp_path / "eye", "roberta", **label("calm", "wild"))
    soundfile.write(tmp_path / "song.wav", 0.1 * np.random.default_rng(0).standard_normal(16000), 16000)
    (tmp_path / "song.txt").write_text("hold me now\nlove is my love\n")

    def run(*more: str) -> CompletedProcess[str]:
        command = ["explain", "song.wav", "--lyrics", "song.txt", "--separator", "hpss", "--device", "cpu"]
        return run_warm([*command, "--segments", "2", "--n-samples", "64", "--format", "json", *more], tmp_path)

    both = run("--audio-model", str(ear), "--text-model", str(eye), "--model-weights", "1,2", "--target", "wild")
    assert both.returncode == 0, both.stderr
    assert {item["kind"] for item in json.loads(both.stdout)["components"]} == {"audio", "lyrics"}
    one = run("--text-model", str(eye))
    assert {item["kind"] for item in json.loads(one.stdout)["components"]} == {"lyrics"}
    for wrong, message in (
        (("--model", "demo", "--text-model", str(eye)), "--model is the whole model"),
        (("--model-weights", "1,1"), "needs two models"),
        (("--audio-model", str(ear), "--text-model", str(eye), "--model-weights", "much"), "'much'"),
    ):
        done = run(*wrong)
        assert done.returncode == 2
        assert message in done.stderr
