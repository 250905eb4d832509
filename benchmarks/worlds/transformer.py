"""A small AST + RoBERTa with random weights, calibrated so that its outputs move."""

import math
import re

import torch
from torch import Tensor, nn

from benchmarks.tools.tuning import Tuning
from benchmarks.worlds.world import AS_IS, World, make_probed
from musiclime_torch import Track
from musiclime_torch.models import TokenBatch, Tokens, fuse_layer_norm_pairs
from musiclime_torch.song import parse_lyrics


def find_words(text: str) -> list[tuple[int, int]]:
    """Where each word begins and ends."""
    return [word.span() for word in re.finditer(r"\S+", text)]


class TinyTransformer(nn.Module):
    """AST and RoBERTa from their configurations, three layers of 64 each, random weights, LayerNorm + Linear on both."""

    sample_rate, channels, output_kind, classes = 16000, 1, "logits", ("a", "b", "c", "d")
    modalities, takes_positions = ("audio", "lyrics"), True

    def __init__(self, seed: int) -> None:
        super().__init__()
        from transformers import ASTConfig, ASTFeatureExtractor, ASTModel, RobertaConfig, RobertaModel

        shape = {"hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 256}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.ear = ASTModel(
                ASTConfig(
                    **shape,
                    frequency_stride=16,
                    time_stride=16,
                    max_length=192,
                    num_mel_bins=32,
                    attn_implementation="eager",
                )
            ).eval()
            self.eye = RobertaModel(
                RobertaConfig(**shape, vocab_size=500, max_position_embeddings=256, attn_implementation="eager"),
                add_pooling_layer=False,
            ).eval()
            # At its usual initialisation a deep encoder hardly responds to its input; a gain of 1.6 makes it respond.
            for name, weight in [*self.ear.named_parameters(), *self.eye.named_parameters()]:
                if weight.dim() == 2 and "embed" not in name:
                    nn.init.normal_(weight, std=1.6 / math.sqrt(weight.shape[1]))
                elif weight.dim() >= 2:
                    nn.init.normal_(weight, std=1.0 if weight.dim() == 2 else 1 / 16)
                elif "bias" in name:
                    nn.init.normal_(weight, std=0.1)
            self.norm, self.linear = nn.LayerNorm(128), nn.Linear(128, 4)
            self.shift = nn.Parameter(torch.randn(128))
        self.extract = ASTFeatureExtractor(num_mel_bins=32, max_length=192)
        self.gains = (1.0, 1.0)
        self.centres: tuple[Tensor | float, Tensor | float] = (0.0, 0.0)

    def tokenize(self, text: str) -> Tokens:
        """One token a word, by its letters."""
        spans = find_words(text)
        ids = [0, *(5 + sum(map(ord, text[a:b])) % 495 for a, b in spans), 2]
        return Tokens(torch.tensor(ids), ((0, 0), *spans, (0, 0)), mask_id=4, pad_id=1)

    def embed_text(self, ids: Tensor) -> Tensor:
        """Word embeddings."""
        return self.eye.embeddings.word_embeddings(ids)

    def encode_audio(self, audio: Tensor) -> Tensor:
        """The AST's pooled output, from log-mel features as its extractor makes them."""
        features = torch.stack([self._features(row) for row in audio.mean(1)])
        return (self.ear(features).pooler_output - self.centres[0]) * self.gains[0]

    def _features(self, wave: Tensor) -> Tensor:
        mel = self.extract._extract_fbank_features(wave.cpu().numpy(), max_length=192)
        return (torch.as_tensor(mel).to(wave.device) + 4.2677393) / (2 * 4.5689974)

    def encode_text(self, text: TokenBatch) -> Tensor:
        """RoBERTa's first state."""
        given, places = {"inputs_embeds": text.embeddings, "attention_mask": text.attended.long()}, text.positions
        if places is None:
            places = torch.arange(text.embeddings.shape[1], device=text.embeddings.device)[None]
        states = self.eye(**given, position_ids=places + 2).last_hidden_state
        return (states[:, 0] - self.centres[1]) * self.gains[1]

    def fuse(self, sounds: Tensor, texts: Tensor) -> Tensor:
        """LayerNorm + Linear on both."""
        return self.linear(self.norm(torch.cat([sounds, texts], 1) + self.shift))

    def fuse_pairs(self, sounds: Tensor, texts: Tensor) -> Tensor:
        """The same of all pairs."""
        return fuse_layer_norm_pairs(self.norm, self.linear, sounds + self.shift[:64], texts + self.shift[64:])

    def forward(self, audio: Tensor, text: TokenBatch) -> Tensor:
        """Logits."""
        return self.fuse(self.encode_audio(audio), self.encode_text(text))


def make_stems(generator: torch.Generator) -> Tensor:
    """Four synthetic stems of two seconds: tones of random pitch that swell, and noise."""
    time = torch.arange(32000) / 16000
    stems = []
    for number in range(4):
        pitch = 80 * 2 ** (number + float(torch.rand(1, generator=generator)))
        tone = sum(torch.sin(2 * math.pi * pitch * overtone * time) / overtone for overtone in range(1, 12))
        level = 0.5 + 0.5 * torch.sin(2 * math.pi * (0.7 + 0.5 * number) * time + number)
        stems.append(0.1 * level * tone + 0.01 * (number + 1) * torch.randn(32000, generator=generator))
    return torch.stack(stems)[:, None]


def make_song(seed: int) -> Track:
    """Two seconds of four synthetic stems, a hundred words."""
    generator = torch.Generator().manual_seed(seed)
    stems = make_stems(generator)
    letters = torch.randint(97, 123, (100, 5), generator=generator).tolist()
    words = ["".join(map(chr, row)) for row in letters]
    lyrics = parse_lyrics("\n".join(" ".join(words[start : start + 10]) for start in range(0, 100, 10)))
    return Track(stems, ("a", "b", "c", "d"), 16000, lyrics, title=f"synthetic {seed}")


def make_transformer(seed: int, tuning: Tuning = AS_IS, lyrics_baseline: str | None = None) -> World:
    """The model and a synthetic song, with ten segments; removed words become its mask token, or what is asked for."""
    model = TinyTransformer(seed).requires_grad_(False).eval()
    track = make_song(seed)
    _calibrate(model, track, tuning.device, lyrics_baseline)
    name = f"transformer, words {lyrics_baseline}" if lyrics_baseline else "transformer"
    return make_probed(name, model, track, tuning, lyrics_baseline)


@torch.no_grad()
def _calibrate(model: TinyTransformer, track: Track, device: torch.device, lyrics_baseline: str | None) -> None:
    """Centre both encodings and bring them to unit spread, logits to a spread of two: a random network has no scale."""
    game = make_probed("transformer", model, track, Tuning(device), lyrics_baseline)
    generator = torch.Generator().manual_seed(1)
    sounds = game.hear(torch.rand(256, game.d_audio, generator=generator) < 0.5)[0]
    texts = game.read(torch.rand(256, game.d_lyrics, generator=generator) < 0.5)
    model.centres = (sounds.mean(0), texts.mean(0))
    model.gains = (1 / float(sounds.std(0).mean()), 1 / float(texts.std(0).mean()))
    fused = model.fuse((sounds - model.centres[0]) * model.gains[0], (texts - model.centres[1]) * model.gains[1])
    model.linear.weight.mul_(2 / fused.std(0).mean())
