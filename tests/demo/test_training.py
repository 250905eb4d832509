"""The embedded model: what its record claims, measured again on other songs; and the forms in which it can be run."""

import json
from functools import cache

import numpy as np
import pytest
import soundfile
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from musiclime_torch.demo.bundle import (
    demo_song,
    describe_causes,
    find_assets,
    load_demo_model,
    load_demo_plan,
    load_demo_track,
)
from musiclime_torch.demo.checks import (
    HELD_OUT,
    count_cause_flips,
    count_found_causes,
    count_other_flips,
    measure_classes,
    measure_exact,
)
from musiclime_torch.demo.plan import STEMS, TAGS, plan_song
from musiclime_torch.demo.song import make_track, render_stems, write_lyrics, write_song
from musiclime_torch.demo.training import main
from musiclime_torch.models.contract import EmbedsText, TokenBatch
from musiclime_torch.models.tagger import Tagger
from musiclime_torch.models.tokens import MASK, UNKNOWN

#: Songs that neither training nor the figures in training.json have seen.
FRESH = 2 * HELD_OUT

load = cache(load_demo_model)


@pytest.fixture
def model() -> Tagger:
    """The embedded model."""
    return load()


@pytest.fixture(scope="module")
def record() -> dict:
    """What training.json says was measured."""
    return json.loads((find_assets() / "training.json").read_text())


def run(model: Tagger, audio: torch.Tensor, text: object) -> torch.Tensor:
    """Logits without gradients."""
    with torch.no_grad():
        return model(audio, text)


def read(model: Tagger, text: str) -> TokenBatch:
    """One text as token embeddings, all attended to."""
    with torch.no_grad():
        embeddings = model.embed_text(model.tokenize(text).ids)[None]
    return TokenBatch(embeddings, torch.ones(embeddings.shape[:2], dtype=torch.bool))


def test_record_names_seed_and_command(record):
    assert f"--seed {record['seed']} " in record["command"]
    assert "musiclime_torch.demo.training" in record["command"]


def test_recorded_accuracy_is_high_enough(record):
    counts = [record["measured"]["exact_match"], *record["measured"]["class_accuracy"].values()]
    assert len(counts) == 1 + len(TAGS)
    assert all(count["rate"] >= 0.95 and count["rate"] == round(count["hits"] / count["trials"], 4) for count in counts)


def test_recorded_swaps_of_a_cause_flip_and_no_others_do(record):
    causes, others = (record["measured"][f"flips_when_{what}_swapped"] for what in ("a_cause_is", "all_else_is"))
    assert set(causes) == {f"{name}, {kind}" for name, tag in TAGS.items() for kind in tag.kinds}
    assert all(count["rate"] >= 0.95 for count in causes.values())
    assert all(count["rate"] <= 0.05 for count in others.values())


@pytest.mark.slow
def test_accuracy_on_fresh_songs(model):
    assert measure_exact(model, 60, FRESH).rate >= 0.95
    counts = measure_classes(model, 8, FRESH + 100_000).values()
    assert sum(count.hits for count in counts) / sum(count.trials for count in counts) >= 0.95


@pytest.mark.slow
def test_swapping_only_the_cause_flips_fresh_songs(model):
    counts = count_cause_flips(model, 8, FRESH + 200_000).values()
    assert sum(count.hits for count in counts) / sum(count.trials for count in counts) >= 0.95


@pytest.mark.slow
def test_swapping_all_else_leaves_fresh_songs(model):
    counts = count_other_flips(model, 8, FRESH + 300_000).values()
    assert sum(count.hits for count in counts) / sum(count.trials for count in counts) <= 0.05


@pytest.mark.slow
def test_a_plain_lime_puts_the_planted_causes_first(model):
    counts = count_found_causes(model, 1, 600, FRESH + 400_000)
    assert sum(count.hits for count in counts.values()) >= len(TAGS) - 1


def test_halves_of_an_and_are_both_needed(model):
    plan = plan_song(FRESH + 1, {"anthem"})
    audio = torch.from_numpy(render_stems(plan).sum(0))[None, None]
    silence = torch.zeros_like(audio)
    text = write_lyrics(plan).text
    logits = run(model, torch.cat([audio, audio, silence]), [text, "", text])[:, list(TAGS).index("anthem")]
    assert (logits > 0).tolist() == [True, False, False]


def test_weights_come_in_eval_mode_and_small(model):
    assert not any(part.training for part in model.modules())
    assert (find_assets() / "model.safetensors").stat().st_size < 1_500_000


def test_loading_moves_no_random_state():
    before = torch.get_rng_state()
    load_demo_model()
    assert torch.equal(before, torch.get_rng_state())


def test_declares_what_the_contract_asks(model):
    assert isinstance(model, EmbedsText)
    assert (model.name, model.sample_rate, model.channels, model.max_seconds) == ("demo", 16000, 1, 14.0)
    assert (model.classes, model.output_kind, model.modalities) == (tuple(TAGS), "multilabel", ("audio", "lyrics"))


def test_batch_size_changes_nothing(model):
    audio = 0.1 * torch.randn(11, 1, 150_000, generator=torch.Generator().manual_seed(0))
    texts = ["hold me now", "", "love and tears " * 12, *["tonight"] * 8]
    alone = torch.cat([run(model, audio[row : row + 1], [texts[row]]) for row in range(11)])
    assert torch.allclose(run(model, audio, texts), alone, atol=1e-4)


def test_forward_is_its_three_parts(model):
    audio, text = 0.1 * torch.randn(2, 1, 60_000), read(model, "sleep now")
    text = TokenBatch(text.embeddings.expand(2, -1, -1), text.attended.expand(2, -1))
    with torch.no_grad():
        parts = model.fuse(model.encode_audio(audio), model.encode_text(text))
    assert torch.equal(run(model, audio, text), parts)


def test_fuse_of_all_pairs_is_fuse_of_each_pair(model):
    a, t = torch.rand(3, model.join_audio.in_features), torch.rand(4, model.join_text.in_features)
    with torch.no_grad():
        pairs = model.fuse_pairs(a, t)
        assert pairs.shape == (3, 4, len(TAGS))
        assert torch.allclose(pairs[2, 1], model.fuse(a[2:], t[1:2])[0], atol=1e-5)


def test_embeddings_with_all_kept_equal_strings(model):
    plan = plan_song(FRESH + 2)
    audio, text = make_track(plan).stems.sum(0)[None], write_lyrics(plan).text
    assert torch.allclose(run(model, audio, read(model, text)), run(model, audio, [text]), atol=1e-5)


def test_unattended_words_leave_no_trace(model):
    audio = 0.1 * torch.randn(1, 1, 20_000)
    text = read(model, "so lonely now")
    gone = TokenBatch(text.embeddings, torch.tensor([[True, False, True]]))
    assert torch.allclose(run(model, audio, gone), run(model, audio, ["so now"]), atol=1e-5)


def test_no_words_and_no_attended_words_are_the_same(model):
    audio = 0.1 * torch.randn(1, 1, 20_000)
    text = read(model, "so lonely now")
    unattended = run(model, audio, TokenBatch(text.embeddings, torch.zeros(1, 3, dtype=torch.bool)))
    assert torch.equal(unattended, run(model, audio, [""]))
    assert torch.equal(unattended, run(model, audio, read(model, "")))


@pytest.mark.parametrize("frames", [0, 1, 100, 399, 512, 5000])
def test_short_audio_runs(model, frames):
    assert torch.isfinite(run(model, torch.zeros(2, 1, frames), ["", "love"])).all()


def test_logits_stay_moderate(model):
    loud = torch.cat([torch.zeros(1, 1, 160_000), torch.randn(1, 1, 160_000)])
    plan = plan_song(FRESH + 3, set(TAGS))
    song = make_track(plan).stems.sum(0)[None]
    assert run(model, loud, ["", "love tears sleep tonight " * 10]).abs().max() < 12
    assert run(model, song, [write_lyrics(plan).text]).abs().max() < 12


@pytest.mark.parametrize(
    "text", ["Don't—DON’T! 愛してる\nété (2x)", "", " \n", "'tis 100%", "love\u0000tears 💔", "ﬁre İstanbul"]
)
def test_spans_lie_on_the_words_of_any_text(model, text):
    tokens = model.tokenize(text)
    assert len(tokens.spans) == len(tokens.ids)
    assert all(text[start:end].strip("'’ \n") == text[start:end] != "" for start, end in tokens.spans)
    assert list(tokens.spans) == sorted(tokens.spans)


def test_case_and_apostrophes_make_no_difference(model):
    assert model.tokenize("DON’T Love").ids.tolist() == [model.vocabulary["don't"], model.vocabulary["love"]]


def test_unknown_words_are_unknown_and_specials_cannot_be_written(model):
    tokens = model.tokenize("zyzzyva <mask>")
    assert tokens.ids.tolist() == [model.vocabulary[UNKNOWN]] * 2
    assert (tokens.mask_id, tokens.unread_from) == (model.vocabulary[MASK], None)


def test_words_past_the_limit_are_unread(model):
    tokens = model.tokenize("la " * 300)
    assert (len(tokens.ids), tokens.unread_from) == (256, 3 * 256)


def test_runs_on_fake_tensors(model):
    """Nothing is read back from the device: a fake tensor has no values to read."""
    with FakeTensorMode(allow_non_fake_inputs=True):
        text = TokenBatch(torch.zeros(5, 7, model.embedding.embedding_dim), torch.ones(5, 7, dtype=torch.bool))
        assert run(model, torch.zeros(5, 1, 32_000), text).shape == (5, len(TAGS))


def test_demo_song_is_recognised_with_a_margin(model):
    track = load_demo_track()
    logits = run(model, track.stems.sum(0)[None], [track.lyrics.text])[0]
    for name, logit in zip(TAGS, logits, strict=True):
        assert (logit > 2) if name in load_demo_plan().tags else (logit < -2)


def test_demo_song_has_a_sound_tag_and_one_with_a_word_too():
    assert sorted(len(TAGS[name].kinds) for name in load_demo_plan().tags) == [1, 2]


def test_demo_song_has_the_lyrics_of_its_plan():
    found, planned = load_demo_track().lyrics, write_lyrics(load_demo_plan())
    assert found.text == planned.text
    assert [word.start_seconds for word in found.words] == pytest.approx([w.start_seconds for w in planned.words], abs=0.006)


def test_demo_song_is_small():
    song = [path for path in find_assets().rglob("*") if path.is_file() and not path.name.startswith("model.")]
    assert sum(path.stat().st_size for path in song) < 500_000


def test_demo_song_is_its_stems_and_is_what_its_plan_renders():
    sound, rate = soundfile.read(demo_song(), dtype="float32")
    track, planned = load_demo_track(), render_stems(load_demo_plan())
    assert rate == track.sample_rate
    assert len(sound) == track.stems.shape[-1] == planned.shape[1]
    assert np.abs(track.stems[:, 0].numpy() - planned).mean() < 0.01
    assert np.abs(track.stems.sum(0)[0].numpy() - sound).mean() < 0.01


def test_demo_song_can_be_written_again(tmp_path):
    write_song(load_demo_plan(), tmp_path, "again")
    for name in ("song.ogg", *(f"stems/{stem}.ogg" for stem in STEMS)):
        assert np.allclose(soundfile.read(tmp_path / name)[0], soundfile.read(find_assets() / name)[0], atol=1e-3)
    assert (tmp_path / "song.lrc").read_text() == (find_assets() / "song.lrc").read_text()


def test_causes_are_described():
    lines = describe_causes().splitlines()[1:]
    assert [line.split(":")[0].strip() for line in lines] == sorted(load_demo_plan().tags)


@pytest.mark.slow
def test_training_writes_a_model_that_loads(tmp_path, monkeypatch):
    monkeypatch.setattr("musiclime_torch.demo.training.measure", lambda model, songs: {})
    main(["--seed", "3", "--songs", "16", "--epochs", "2", "--out", str(tmp_path)])
    assert load_demo_model(tmp_path).classes == tuple(TAGS)


def test_demo_song_is_the_one_its_command_plans():
    record = json.loads((find_assets() / "song.json").read_text())
    assert plan_song(record["seed"], record["tags"]) == load_demo_plan()
    assert f"--seed {record['seed']} " in record["command"]
