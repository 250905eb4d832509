"""Tiny random music language models of three families, written and read back by the library itself."""

from functools import cache
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AudioFlamingo3Config,
    AudioFlamingo3EncoderConfig,
    AudioFlamingo3ForConditionalGeneration,
    AudioFlamingo3Processor,
    MusicFlamingoConfig,
    MusicFlamingoForConditionalGeneration,
    MusicFlamingoProcessor,
    PreTrainedTokenizerFast,
    Qwen2_5OmniThinkerConfig,
    Qwen2_5OmniThinkerForConditionalGeneration,
    Qwen2AudioConfig,
    Qwen2AudioForConditionalGeneration,
    Qwen2AudioProcessor,
    WhisperFeatureExtractor,
)

#: Seconds of a window: short, so that the real classes are quick.
WINDOW = 3
SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|AUDIO|>", "<|audio_bos|>", "<|audio_eos|>", "<sound>",
            "<|sound_bos|>", "<|sound_eos|>"]  # fmt: skip
CHAT = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% for c in m['content'] %}{% if c['type'] == 'audio' %}<sound>"
    "{% else %}{{ c['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}<|im_start|>assistant\n"
)
CORPUS = [
    "hold me now\nlove is my love. Is this song sad? Lyrics: Yes No yes, very much. calm wild system user assistant"
] * 4
TEXT = {"model_type": "qwen2", "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "max_position_embeddings": 2048}  # fmt: skip
FAMILIES = ("music", "flamingo", "qwen")
#: The one whose processor the library can't make without packages for pictures.
OMNI = "omni"


def make_tokenizer() -> Any:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=340, initial_alphabet=alphabet, special_tokens=SPECIALS, show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<|endoftext|>", eos_token="<|im_end|>")


def save_music_llm(family: str, folder: Path) -> Path:
    """A checkpoint with large random weights, so that its answers depend on what it is given."""
    torch.manual_seed(0)
    tokenizer, extractor = make_tokenizer(), WhisperFeatureExtractor(feature_size=16, chunk_length=WINDOW)
    text = TEXT | {"vocab_size": len(tokenizer)}
    ids = tokenizer.convert_tokens_to_ids
    if family == OMNI:
        return _save_omni(folder, tokenizer, text)
    if family == "qwen":
        tower = {"model_type": "qwen2_audio_encoder", "num_mel_bins": 16, "encoder_layers": 1, "encoder_attention_heads": 2,
                 "encoder_ffn_dim": 32, "d_model": 16, "max_source_positions": 50 * WINDOW}  # fmt: skip
        config = Qwen2AudioConfig(audio_config=tower, text_config=text, audio_token_index=ids("<|AUDIO|>"))
        model, processor = Qwen2AudioForConditionalGeneration(config), Qwen2AudioProcessor(extractor, tokenizer)
    else:
        tower = AudioFlamingo3EncoderConfig(
            num_mel_bins=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, hidden_size=32,
            max_source_positions=50 * WINDOW,
        ).to_dict()  # fmt: skip
        music = family == "music"
        made, kind = (
            (MusicFlamingoConfig, MusicFlamingoForConditionalGeneration)
            if music
            else (AudioFlamingo3Config, AudioFlamingo3ForConditionalGeneration)
        )
        marks = {"audio_bos_token_id": ids("<|sound_bos|>"), "audio_eos_token_id": ids("<|sound_eos|>")} if music else {}
        model = kind(made(audio_config=tower, text_config=text, audio_token_id=ids("<sound>"), **marks))
        processor = (MusicFlamingoProcessor if music else AudioFlamingo3Processor)(extractor, tokenizer, chat_template=CHAT)
    _strengthen(model)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def _strengthen(model: Any) -> None:
    with torch.no_grad():
        for name, values in model.named_parameters():
            if values.dim() >= 2 and "embed_positions" not in name:
                values.mul_(4)


def _save_omni(folder: Path, tokenizer: Any, text: dict[str, Any]) -> Path:
    """Qwen2.5-Omni's thinker, whose sound goes in blocks of two seconds."""
    ids = tokenizer.convert_tokens_to_ids
    sound = {"num_mel_bins": 16, "encoder_layers": 1, "encoder_attention_heads": 2, "encoder_ffn_dim": 32, "d_model": 16,
             "output_dim": 32, "n_window": 100}  # fmt: skip
    sizes = {name: value for name, value in text.items() if name not in ("model_type", "max_position_embeddings")}
    rope = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [1, 1, 2]}
    config = Qwen2_5OmniThinkerConfig(
        audio_config=sound,
        vision_config={"depth": 1, "hidden_size": 32, "intermediate_size": 32, "num_heads": 2, "out_hidden_size": 32},
        text_config=sizes | {"rope_parameters": rope},
        audio_token_id=ids("<|AUDIO|>"), audio_start_token_id=ids("<|audio_bos|>"), audio_end_token_id=ids("<|audio_eos|>"),
        image_token_id=0, video_token_id=0, vision_start_token_id=0, vision_end_token_id=0, position_id_per_seconds=25,
        seconds_per_chunk=2,
    )  # fmt: skip
    model = Qwen2_5OmniThinkerForConditionalGeneration(config)
    _strengthen(model)
    model.save_pretrained(folder)
    tokenizer.chat_template = CHAT.replace("<sound>", "<|audio_bos|><|AUDIO|><|audio_eos|>")
    tokenizer.save_pretrained(folder)
    WhisperFeatureExtractor(feature_size=16, chunk_length=30).save_pretrained(folder)
    return folder


@cache
def cached_music_llm(family: str, root: str) -> Path:
    return save_music_llm(family, Path(root) / family)
