"""Tiny random checkpoints as the hub has them, written by the libraries themselves, for tests of real loading code."""

from pathlib import Path
from typing import Any

import torch
from tokenizers import ByteLevelBPETokenizer
from transformers import (
    ASTConfig,
    ASTFeatureExtractor,
    ASTForAudioClassification,
    ASTModel,
    BertConfig,
    BertForSequenceClassification,
    BertTokenizerFast,
    ClapConfig,
    ClapFeatureExtractor,
    ClapModel,
    RobertaConfig,
    RobertaForSequenceClassification,
    RobertaModel,
    RobertaTokenizerFast,
    Wav2Vec2Config,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2ForSequenceClassification,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForAudioClassification,
)

CORPUS = ["hold me now love is my love don't go away tonight"] * 20

AST = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32, "num_mel_bins": 32}
ROBERTA = {"hidden_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}


def make_tokenizer(folder: Path) -> Any:
    """A byte-level BPE of a few hundred tokens."""
    trained = ByteLevelBPETokenizer()
    trained.train_from_iterator(CORPUS, vocab_size=320, special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    folder.mkdir(parents=True, exist_ok=True)
    trained.save_model(str(folder))
    return RobertaTokenizerFast.from_pretrained(str(folder))


def ast_config(**more: Any) -> ASTConfig:
    return ASTConfig(**AST, max_length=120, **more)


def roberta_config(**more: Any) -> RobertaConfig:
    return RobertaConfig(**ROBERTA, vocab_size=320, max_position_embeddings=66, **more)


def save_ast(folder: Path) -> Path:
    torch.manual_seed(0)
    ASTModel(ast_config()).save_pretrained(folder)
    ASTFeatureExtractor(num_mel_bins=32, max_length=120).save_pretrained(folder)
    return folder


def save_roberta(folder: Path) -> Path:
    torch.manual_seed(1)
    RobertaModel(roberta_config()).save_pretrained(folder)
    make_tokenizer(folder).save_pretrained(folder)
    return folder


def label(*names: str) -> dict[str, Any]:
    return {"id2label": dict(enumerate(names)), "label2id": {name: number for number, name in enumerate(names)}}


def save_audio_classifier(folder: Path, kind: str, **more: Any) -> Path:
    """One of ast, wav2vec2 and whisper."""
    torch.manual_seed(2)
    if kind == "ast":
        ASTForAudioClassification(ast_config(**more)).save_pretrained(folder)
        ASTFeatureExtractor(num_mel_bins=32, max_length=120).save_pretrained(folder)
    elif kind == "wav2vec2":
        config = Wav2Vec2Config(
            hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, conv_dim=(8, 8, 8),
            conv_kernel=(10, 8, 8), num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=2,
            **{"conv_stride": (5, 4, 4), **more},
        )  # fmt: skip
        Wav2Vec2ForSequenceClassification(config).save_pretrained(folder)
        Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(folder)
    else:
        config = WhisperConfig(
            d_model=16, encoder_layers=1, encoder_attention_heads=2, encoder_ffn_dim=32, num_mel_bins=16,
            max_source_positions=50, decoder_layers=1, decoder_attention_heads=2, decoder_ffn_dim=32, vocab_size=60,
            pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1, **more,
        )  # fmt: skip
        WhisperForAudioClassification(config).save_pretrained(folder)
        WhisperFeatureExtractor(feature_size=16, chunk_length=1).save_pretrained(folder)
    return folder


def save_text_classifier(folder: Path, kind: str, **more: Any) -> Path:
    """One of roberta and bert."""
    torch.manual_seed(3)
    if kind == "roberta":
        RobertaForSequenceClassification(roberta_config(**more)).save_pretrained(folder)
        make_tokenizer(folder).save_pretrained(folder)
        return folder
    words = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        *dict.fromkeys(" ".join(CORPUS[:1]).replace("'", " ").split()),
        "'",
    ]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(words))
    config = BertConfig(**ROBERTA, vocab_size=len(words), max_position_embeddings=40, **more)
    BertForSequenceClassification(config).save_pretrained(folder)
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    return folder


def save_clap(folder: Path, truncation: str) -> Path:
    torch.manual_seed(4)
    config = ClapConfig(
        text_config={**ROBERTA, "vocab_size": 320, "max_position_embeddings": 66, "projection_dim": 8, "pad_token_id": 1},
        audio_config={
            "window_size": 4, "spec_size": 64, "hidden_size": 16, "num_mel_bins": 16, "patch_size": 4,
            "patch_stride": [4, 4],
            "depths": [1, 1], "num_attention_heads": [1, 1], "num_hidden_layers": 2, "patch_embeds_hidden_size": 8,
            "projection_dim": 8, "enable_fusion": truncation == "fusion",
            "fusion_type": "aff_2d" if truncation == "fusion" else None,
        },
        projection_dim=8,
    )  # fmt: skip
    ClapModel(config).save_pretrained(folder)
    extractor = ClapFeatureExtractor(
        feature_size=16, sampling_rate=8000, hop_length=200, max_length_s=2, fft_window_size=256, frequency_max=4000,
        truncation=truncation,
    )  # fmt: skip
    extractor.save_pretrained(folder)
    make_tokenizer(folder).save_pretrained(folder)
    return folder
