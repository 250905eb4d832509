"""The paper's model from tiny configurations: its front end, its names, its folders, and it explained."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tiny_hub import ast_config, make_tokenizer, roberta_config, save_ast, save_roberta
from transformers import ASTFeatureExtractor, ASTModel, RobertaModel

from musiclime_torch.basics.errors import InputError
from musiclime_torch.explanation.explainer import explain
from musiclime_torch.models.ast_roberta import AstRoberta, build_ast_roberta
from musiclime_torch.models.contract import TokenBatch
from musiclime_torch.models.front_ends import KaldiFbank
from musiclime_torch.models.tokens import Preparation
from musiclime_torch.song.track import Track

AS_IN_THE_PAPER = Preparation(lower_case=True, strip_punctuation=True, limit=24)


@pytest.fixture
def model(tmp_path: Path) -> AstRoberta:
    torch.manual_seed(0)
    tokenizer = make_tokenizer(tmp_path / "made")
    return AstRoberta(ast_config(), roberta_config(), tokenizer, ("calm", "wild"), AS_IN_THE_PAPER).eval()


@pytest.mark.parametrize("frames", [400, 700, 16000, 19_600, 40_000])
@pytest.mark.parametrize("mels", [32, 128])
def test_features_are_those_of_the_library(frames: int, mels: int):
    waves = 0.3 * torch.randn(5, 2, frames, generator=torch.Generator().manual_seed(frames))
    waves[1] = 0
    library = ASTFeatureExtractor(num_mel_bins=mels, max_length=120)
    expected = library([row.mean(0).numpy() for row in waves], sampling_rate=16000, return_tensors="pt")["input_values"]
    found = KaldiFbank(mels, 120, library.mean, library.std)(waves)
    assert found.shape == expected.shape
    assert (found - expected).abs().max() < 1e-3


def test_state_dict_has_the_published_names(model: AstRoberta):
    names = set(model.state_dict())
    audio, text = ASTModel(ast_config()), RobertaModel(roberta_config())
    head = {"classifier.layer_norm.weight", "classifier.layer_norm.bias", "classifier.fc.weight", "classifier.fc.bias"}
    assert (
        names
        == {f"audio_model.{name}" for name in audio.state_dict()}
        | {f"text_model.{name}" for name in text.state_dict()}
        | head
    )


def test_logits_are_what_the_parts_give_one_by_one(model: AstRoberta):
    """The procedure of the paper's code: features, input ids and a mask, pooled output ++ first state, the head."""
    audio = 0.1 * torch.randn(2, 1, 16000)
    texts = ["Hold me now!", "Don't go away, love is my love tonight"]
    shown = ["hold me now", "dont go away love is my love tonight"]
    library = ASTFeatureExtractor(num_mel_bins=32, max_length=120)
    with torch.no_grad():
        for row in range(2):
            features = library(audio[row, 0].numpy(), sampling_rate=16000, return_tensors="pt")["input_values"]
            ids = model.tokenizer(shown[row], return_tensors="pt")
            heard = model.audio_model(features)[1]
            read = model.text_model(**ids)[0][:, 0]
            expected = model.classifier(torch.cat([heard, read], 1))[0]
            assert torch.allclose(model(audio, texts)[row], expected, atol=1e-5)


def test_tokens_know_where_they_come_from(model: AstRoberta):
    text = "Don't\nGO away: love"
    tokens = model.tokenize(text)
    words = {text[start:end] for start, end in tokens.spans if start < end}
    assert {"GO", "away", "love"} <= words
    assert tokens.spans[0] == tokens.spans[-1] == (0, 0)
    assert tokens.mask_id == model.tokenizer.mask_token_id
    assert tokens.unread_from is None
    long = model.tokenize("love " * 100)
    assert len(long.ids) == 24
    assert long.unread_from == long.spans[-2][1] + 1


def test_words_that_are_gone_leave_no_trace(model: AstRoberta):
    ids = model.tokenize("hold me now").ids
    embeddings = model.embed_text(ids)[None]
    attended = torch.ones(1, len(ids), dtype=torch.bool)
    attended[0, 2] = False
    noise = embeddings.clone()
    noise[0, 2] = 7
    with torch.no_grad():
        assert torch.allclose(
            model.encode_text(TokenBatch(noise, attended)), model.encode_text(TokenBatch(embeddings, attended))
        )
        assert not torch.allclose(model.encode_text(TokenBatch(noise, attended)),
                                  model.encode_text(TokenBatch(embeddings, torch.ones_like(attended))))  # fmt: skip


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_words_that_are_left_out_leave_no_trace_either(tmp_path: Path, attention: str):
    config = roberta_config()
    config._attn_implementation = attention
    torch.manual_seed(0)
    model = AstRoberta(ast_config(), config, make_tokenizer(tmp_path / "made"), ("a", "b"), AS_IN_THE_PAPER).eval()
    ids = model.tokenize("hold me now and love me tonight").ids
    embeddings = model.embed_text(ids)
    there = torch.rand(6, len(ids), generator=torch.Generator().manual_seed(1)) < 0.5
    there[:, 0] = True
    with torch.no_grad():
        masked = model.encode_text(TokenBatch(embeddings.expand(6, -1, -1), there))
        assert masked.std(0).max() > 2e-3
        for row, kept in zip(masked, there, strict=True):
            places = kept.nonzero()[:, 0]
            short = TokenBatch(embeddings[places][None], torch.ones(1, len(places), dtype=torch.bool), places[None])
            torch.testing.assert_close(model.encode_text(short)[0], row, atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_masks_mean_the_same_to_every_attention(tmp_path: Path, attention: str):
    tokenizer = make_tokenizer(tmp_path / "made")
    torch.manual_seed(3)
    text_config = roberta_config(attn_implementation=attention)
    model = AstRoberta(ast_config(), text_config, tokenizer, ("a", "b"), AS_IN_THE_PAPER).eval()
    both = model.embed_strings(["hold me now", "love is my love tonight"])
    alone = model.embed_strings(["hold me now"])
    with torch.no_grad():
        assert torch.allclose(model.encode_text(both)[0], model.encode_text(alone)[0], atol=1e-5)


def test_folders_and_checkpoints_bring_the_same_model_back(model: AstRoberta, tmp_path: Path):
    audio, texts = 0.1 * torch.randn(2, 1, 16000), ["hold me", "love tonight"]
    model.save_pretrained(tmp_path / "saved")
    assert sorted(path.name for path in (tmp_path / "saved").iterdir()) == ["config.json", "model.safetensors", "tokenizer"]
    again = AstRoberta.from_pretrained(tmp_path / "saved")
    assert again.classes == ("calm", "wild")
    assert again.preparation == AS_IN_THE_PAPER
    with torch.no_grad():
        assert torch.equal(again(audio, texts), model(audio, texts))
    for state in (model.state_dict(), {"state_dict": {f"module.{k}": v for k, v in model.state_dict().items()}}):
        torch.save(state, tmp_path / "published.pt")
        other = AstRoberta(ast_config(), roberta_config(), model.tokenizer, ("calm", "wild"), AS_IN_THE_PAPER).eval()
        other.load_checkpoint(tmp_path / "published.pt")
        with torch.no_grad():
            assert torch.equal(other(audio, texts), model(audio, texts))


#: The names of an AST's parts in checkpoints that were written before transformers 5.9, MusicLIME's among them.
FORMER = (
    ("audio_model.layers.", "audio_model.encoder.layer."),
    ("attention.q_proj", "attention.attention.query"),
    ("attention.k_proj", "attention.attention.key"),
    ("attention.v_proj", "attention.attention.value"),
    ("attention.o_proj", "attention.output.dense"),
    ("mlp.fc1", "intermediate.dense"),
    ("mlp.fc2", "output.dense"),
)


def rename_as_before(name: str) -> str:
    for now, before in FORMER:
        name = name.replace(now, before)
    return name


def test_checkpoints_with_the_former_names_of_an_ast(model: AstRoberta, tmp_path: Path):
    former = {rename_as_before(name): tensor for name, tensor in model.state_dict().items()}
    renamed = former.keys() - model.state_dict().keys()
    assert len(renamed) == 16 * len(model.audio_model.layers)
    # The library reads these names in folders of its own, whatever it calls the parts today.
    alone = {name.removeprefix("audio_model."): tensor for name, tensor in former.items() if name.startswith("audio_model.")}
    (tmp_path / "ast").mkdir()
    save_file(alone, tmp_path / "ast" / "model.safetensors", {"format": "pt"})
    ast_config().save_pretrained(tmp_path / "ast")
    library, told = ASTModel.from_pretrained(tmp_path / "ast", output_loading_info=True)
    assert not told["missing_keys"]
    assert not told["unexpected_keys"]
    torch.save(former, tmp_path / "published.pth")
    torch.manual_seed(1)
    other = AstRoberta(ast_config(), roberta_config(), model.tokenizer, ("calm", "wild"), AS_IN_THE_PAPER).eval()
    other.load_checkpoint(tmp_path / "published.pth")
    for mine, theirs in zip(other.audio_model.parameters(), library.parameters(), strict=True):
        assert torch.equal(mine, theirs)
    audio, texts = 0.1 * torch.randn(2, 1, 16000), ["hold me", "love tonight"]
    with torch.no_grad():
        assert torch.equal(other(audio, texts), model(audio, texts))


def test_a_folder_with_the_former_names_is_read(model: AstRoberta, tmp_path: Path):
    model.save_pretrained(tmp_path)
    former = {rename_as_before(name): tensor for name, tensor in model.state_dict().items()}
    save_file(former, tmp_path / "model.safetensors")
    again = AstRoberta.from_pretrained(tmp_path)
    for name, tensor in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor)
    del former["audio_model.encoder.layer.0.output.dense.bias"]
    save_file(former, tmp_path / "model.safetensors")
    with pytest.raises(InputError, match=r"lacks audio_model\.layers\.0\.mlp\.fc2\.bias\.$"):
        AstRoberta.from_pretrained(tmp_path)


def test_a_tensor_under_both_names_is_one_too_many(model: AstRoberta, tmp_path: Path):
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    name, former = "audio_model.layers.0.mlp.fc1.weight", "audio_model.encoder.layer.0.intermediate.dense.weight"
    for both in ({**state, former: 0 * state[name]}, {former: 0 * state[name], **state}):
        torch.save(both, tmp_path / "both.pt")
        with pytest.raises(InputError, match=rf"it has besides {former}\.$"):
            model.load_checkpoint(tmp_path / "both.pt")
    assert torch.equal(model.state_dict()[name], state[name])


class Bomb:
    def __reduce__(self):
        return (print, ("boom",))


def test_checkpoints_that_do_not_fit_are_refused_whole(model: AstRoberta, tmp_path: Path):
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state = dict(model.state_dict())
    state["classifier.fc.weight"] = torch.zeros(9, 40)
    del state["classifier.fc.bias"]
    state["decoder.weight"] = torch.zeros(1)
    torch.save(state, tmp_path / "wrong.pt")
    with pytest.raises(InputError) as caught:
        model.load_checkpoint(tmp_path / "wrong.pt")
    for part in ("lacks classifier.fc.bias", "has besides decoder.weight", "classifier.fc.weight (9, 40) for (2, 40)"):
        assert part in str(caught.value)
    (tmp_path / "bomb.pt").write_bytes(pickle.dumps({"a": Bomb()}))
    torch.save({"a": Bomb()}, tmp_path / "bomb.bin")
    torch.save({"epoch": 3, "weights": np.float64(1).item()}, tmp_path / "numbers.pt")
    (tmp_path / "cut.safetensors").write_bytes(b"1234567")
    for name, message in (
        ("bomb.bin", "pickle of more than tensors"),
        ("bomb.pt", "pickle of more than tensors|can't be read"),
        ("numbers.pt", "'epoch', which is not a tensor"),
        ("cut.safetensors", "can't be read"),
        ("none.pt", "there is no checkpoint"),
    ):
        with pytest.raises(InputError, match=message):
            model.load_checkpoint(tmp_path / name)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_parts_by_folder_and_what_is_said_offline(tmp_path: Path):
    audio, text = save_ast(tmp_path / "ast"), save_roberta(tmp_path / "roberta")
    model = build_ast_roberta(("a", "b", "c"), audio, text, AS_IN_THE_PAPER)
    assert torch.equal(model.audio_model.state_dict()["layernorm.weight"], ASTModel.from_pretrained(audio).layernorm.weight)
    assert model.classifier.fc.out_features == 3
    with pytest.raises(InputError, match=r"hf download nobody/nothing --local-dir nothing"):
        build_ast_roberta(("a", "b"), "nobody/nothing", text)
    with pytest.raises(InputError, match=r"holds no ASTModel|lacks"):
        build_ast_roberta(("a", "b"), text, text)
    with pytest.raises(InputError, match=r"is not a saved musiclime_torch\.ast_roberta"):
        AstRoberta.from_pretrained(tmp_path)


def test_explained_by_crossed_masks(model: AstRoberta, track: Track):
    explanation = explain(model, track, segments=2, n_samples=(16, 32))
    assert explanation.design == "crossed, 16 masks of the sound × 32 of the lyrics"
    # Two windows, each of whose columns have 16 masks at most; the song and the empty song are among the masks.
    assert (explanation.audio_passes, explanation.lyrics_passes) == (32, 32)
    assert set(explanation.provenance["settings"]) >= {"lyrics_baseline"}
    assert explanation.provenance["settings"]["lyrics_baseline"] == "mask"
    assert not explanation.unseen
    joint = explain(model, track, segments=2, design="joint", n_samples=2048)
    assert ((explanation.attributions - joint.attributions).abs() <= 8 * explanation.standard_errors + 1e-5).all()
