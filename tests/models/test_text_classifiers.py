"""Text classifiers of the hub, tiny and random: explained in the form that each takes, and as the library reads them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from tiny_hub import ROBERTA, label, make_tokenizer

from musiclime_torch.basics.errors import InputError
from musiclime_torch.commands.models import load_model
from musiclime_torch.explanation.explainer import explain
from musiclime_torch.models.contract import TokenBatch
from musiclime_torch.song.lyrics.lyrics import parse_lyrics
from musiclime_torch.song.track import Track

BOTH = {"vocab_size": 320, **label("sad", "glad")}
ENDS = {"bos_token_id": 0, "eos_token_id": 2}
SEQUENCES: dict[str, Any] = {
    "d_model": 24, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2, "decoder_attention_heads": 2,
    "encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "max_position_embeddings": 64, "pad_token_id": 1,
    "decoder_start_token_id": 2, **ENDS,
}  # fmt: skip
T5 = {"d_model": 24, "d_kv": 12, "d_ff": 32, "num_layers": 1, "num_heads": 2, "pad_token_id": 1, "eos_token_id": 2}
DECODER = {"max_position_embeddings": 64, "num_key_value_heads": 2, **ENDS, **ROBERTA}
GPT2 = {"n_embd": 24, "n_layer": 1, "n_head": 2, "n_positions": 64, **ENDS}

#: By name of the library's classes: settings, and whether embeddings are taken.
KINDS: dict[str, tuple[dict[str, Any], bool]] = {
    "Longformer": ({"attention_window": 8, "max_position_embeddings": 66, "pad_token_id": 1, **ROBERTA}, True),
    "Bart": (SEQUENCES, False),
    "MBart": (SEQUENCES, False),
    "T5": ({**T5, "decoder_start_token_id": 1}, False),
    "IBert": ({"max_position_embeddings": 66, **ROBERTA}, False),
    "Llama": (DECODER, True),
    "Qwen2": (DECODER, True),
    "GPT2": (GPT2, True),
    "OPT": ({"hidden_size": 24, "word_embed_proj_dim": 24, "num_hidden_layers": 1, "num_attention_heads": 2,
             "ffn_dim": 32, "max_position_embeddings": 64, **ENDS}, True),
    "Bloom": ({"hidden_size": 24, "n_layer": 1, "n_head": 2, **ENDS}, True),
    "FNet": ({"hidden_size": 24, "num_hidden_layers": 1, "intermediate_size": 32, "max_position_embeddings": 66}, True),
    "XLNet": ({"d_model": 24, "n_layer": 1, "n_head": 2, "d_inner": 32}, True),
}  # fmt: skip


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., str]:
    def write(kind: str, dtype: torch.dtype = torch.float32) -> str:
        torch.manual_seed(0)
        config = getattr(transformers, f"{kind}Config")(**KINDS[kind][0], **BOTH)
        getattr(transformers, f"{kind}ForSequenceClassification")(config).to(dtype).save_pretrained(tmp_path)
        make_tokenizer(tmp_path).save_pretrained(tmp_path)
        return str(tmp_path)

    return write


def sing(text: str) -> Track:
    return Track(0.1 * torch.ones(1, 1, 16000), ("mix",), 16000, parse_lyrics(text))


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_each_is_read_as_the_library_reads_it_and_explained_in_batches(save: Callable[..., str], kind: str):
    model = load_model(save(kind))
    assert hasattr(model, "embed_text") == KINDS[kind][1]
    track = sing("hold me now\nlove is my love")
    ids = model.tokenize(track.lyrics.text).ids[None]
    expected = model.module(ids).logits
    given = TokenBatch(model.embed_text(ids), torch.ones_like(ids, dtype=torch.bool)) if KINDS[kind][1] else ids
    torch.testing.assert_close(model(given), expected)
    explanation = explain(model, track, n_samples=32, target="sad")
    assert explanation.output_song.tolist() == pytest.approx(expected[0].tolist(), abs=1e-6)
    assert explanation.attributions.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("kind", ["Longformer", "Bart", "Llama", "GPT2", "FNet", "XLNet"])
def test_half_precision_is_explained_too(save: Callable[..., str], kind: str, dtype: torch.dtype):
    explanation = explain(load_model(save(kind, dtype)), sing("hold me now\nlove is my love"), n_samples=32)
    assert explanation.attributions.isfinite().all()


@pytest.mark.parametrize("kind", ["Llama", "Qwen2", "GPT2"])
@torch.no_grad()
def test_a_decoder_answers_at_the_last_word_that_is_there(save: Callable[..., str], kind: str):
    """Words that are gone at the end, in the middle, everywhere: as if the others alone had been read at their places."""
    model = load_model(save(kind))
    ids = model.tokenize("hold me now love is my love").ids[
        1:-1
    ]  # without special tokens: real decoders add none at the end
    attended = torch.ones(4, len(ids), dtype=torch.bool)
    attended[0, -2:], attended[1, 2:4], attended[2, [0, -1]] = False, False, False
    logits = model(TokenBatch(model.embed_text(ids).expand(4, -1, -1), attended))
    for row, kept in zip(logits, attended, strict=True):
        places = kept.nonzero().T
        states = model.module.base_model(ids[None, kept], position_ids=places)[0]
        torch.testing.assert_close(row, model.module.score(states[0, -1]), atol=1e-6, rtol=1e-5)
    nothing = TokenBatch(torch.zeros(1, 3, 24), torch.zeros(1, 3, dtype=torch.bool))
    assert model(nothing).isfinite().all()


def test_lyrics_without_a_word_have_an_answer(save: Callable[..., str]):
    model = load_model(save("GPT2"))
    model.tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=model.tokenizer.backend_tokenizer, unk_token="<unk>", eos_token="</s>"
    )
    model.tokenizer.backend_tokenizer.post_processor = None
    assert model.tokenize("").ids.tolist() == [2]


def test_what_cannot_be_explained_says_why_when_it_is_loaded(save: Callable[..., str], monkeypatch: pytest.MonkeyPatch):
    folder = save("Bloom")

    def refuse(self: Any, *inputs: Any, **more: Any) -> None:
        raise NotImplementedError("only pictures")

    monkeypatch.setattr(transformers.BloomModel, "forward", refuse)
    with pytest.raises(InputError, match=r"neither token embeddings .*only pictures.* nor token ids .*takes strings"):
        load_model(folder)


def test_bars_of_the_library_stay_off_the_terminal(save: Callable[..., str], capfd: pytest.CaptureFixture[str]):
    folder = save("GPT2")
    capfd.readouterr()
    load_model(folder)
    assert capfd.readouterr().err == ""
