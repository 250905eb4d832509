"""Music language models with random weights, of any size: MusicFlamingo's classes around a Qwen2 body.

Nothing is downloaded: the tokenizer is trained on one line, and the sound's tower is small in both sizes, for what is timed
is the body. Prompts and answers are therefore short of sense, and cost what real ones cost.
"""

from typing import Any

import torch

from musiclime_torch.models import Answering

SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<sound>", "<|sound_bos|>", "<|sound_eos|>"]
CHAT = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% for c in m['content'] %}{% if c['type'] == 'audio' %}<sound>"
    "{% else %}{{ c['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}<|im_start|>assistant\n"
)
LINE = "hold me now for love is all that I have ever known. Lyrics: Is this song sad? Yes No"

#: Width, layers, heads, keys' heads and inner width of the body; mel bands, width and seconds of the tower.
SIZES: dict[str, tuple[tuple[int, int, int, int, int], tuple[int, int, int]]] = {
    "tiny": ((32, 2, 4, 2, 48), (16, 32, 3)),
    "1B": ((2048, 24, 16, 4, 5504), (128, 256, 30)),
}


def make_listener(size: str, device: torch.device, kind: torch.dtype) -> Answering:
    """Asked whether a song is sad, to be answered with Yes or No; in eval mode."""
    from transformers import (
        AudioFlamingo3EncoderConfig,
        MusicFlamingoConfig,
        MusicFlamingoForConditionalGeneration,
        MusicFlamingoProcessor,
        WhisperFeatureExtractor,
    )

    (width, layers, heads, key_heads, inner), (mels, tower_width, seconds) = SIZES[size]
    tokenizer = make_tokenizer()
    ids = tokenizer.convert_tokens_to_ids
    tower = AudioFlamingo3EncoderConfig(
        num_mel_bins=mels, num_hidden_layers=2, num_attention_heads=2, intermediate_size=2 * tower_width,
        hidden_size=tower_width, max_source_positions=50 * seconds,
    )  # fmt: skip
    body = {"model_type": "qwen2", "hidden_size": width, "intermediate_size": inner, "num_hidden_layers": layers,
            "num_attention_heads": heads, "num_key_value_heads": key_heads, "max_position_embeddings": 4096,
            "vocab_size": len(tokenizer)}  # fmt: skip
    config = MusicFlamingoConfig(
        audio_config=tower.to_dict(), text_config=body, audio_token_id=ids("<sound>"),
        audio_bos_token_id=ids("<|sound_bos|>"), audio_eos_token_id=ids("<|sound_eos|>"),
    )  # fmt: skip
    # Made where it runs: a billion random numbers take a CPU half a minute.
    with torch.random.fork_rng(devices=[]), torch.device(device):
        torch.manual_seed(0)
        model = MusicFlamingoForConditionalGeneration(config).to(device, kind)
    extractor = WhisperFeatureExtractor(feature_size=mels, chunk_length=seconds)
    processor = MusicFlamingoProcessor(extractor, tokenizer, chat_template=CHAT)
    return Answering(model, processor, "Is this song sad?", ("Yes", "No")).to(device).eval()


def make_tokenizer() -> Any:
    """Byte-level tokens of one line."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet, special_tokens=SPECIALS, show_progress=False)
    made.train_from_iterator([LINE] * 4, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=made, pad_token="<|endoftext|>", eos_token="<|im_end|>")
