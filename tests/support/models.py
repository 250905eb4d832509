"""Small models whose causes are plain to see, for tests of the whole pipeline."""

import torch

from musiclime_torch.models.contract import TokenBatch, Tokens

RATE = 8000


def word_tokens(text: str, limit: int = 100) -> Tokens:
    """One token a word between two special ones; ids by first letter, 30 masks, 31 pads."""
    spans, here = [], 0
    for word in text.split():
        here = text.index(word, here)
        spans.append((here, here + len(word)))
        here += len(word)
    cut = spans[limit][0] if len(spans) > limit else None
    spans = spans[:limit]
    ids = [28, *(ord(text[start].lower()) % 28 for start, _ in spans), 29]
    return Tokens(torch.tensor(ids), ((0, 0), *spans, (0, 0)), mask_id=30, pad_id=31, unread_from=cut)


class Additive(torch.nn.Module):
    """Late fusion of the mean level of the mix and the sum of token embeddings: additive in all components."""

    sample_rate, channels, classes, output_kind = RATE, 1, ("calm", "wild", "sad"), "logits"

    def __init__(self, limit: int = 100) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.limit = limit
        self.table = torch.nn.Parameter(torch.randn(32, 3, generator=generator))
        self.gain = torch.nn.Parameter(torch.tensor([1.0, -2.0, 0.5]))
        self.noise = torch.nn.Dropout(0.5)
        self.heard: list[tuple[int, ...]] = []

    def tokenize(self, text: str) -> Tokens:
        return word_tokens(text, self.limit)

    def embed_text(self, ids: torch.Tensor) -> torch.Tensor:
        return self.table[ids]

    def forward(self, audio: torch.Tensor, text: TokenBatch) -> torch.Tensor:
        self.heard.append(tuple(audio.shape))
        words = (text.embeddings * text.attended[:, :, None]).sum(1)
        return self.noise(audio.mean((1, 2))[:, None] * self.gain * 100) + words


class ById(Additive):
    """The same, but it takes token ids."""

    embed_text = property()  # type: ignore[assignment]  # hasattr() is then False

    def forward(self, audio: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
        return audio.mean((1, 2))[:, None] * self.gain * 100 + self.table[text].sum(1)


class Late(torch.nn.Module):
    """Late fusion with a product of the two sides: every encoder row is counted, `fuse_pairs` is not offered."""

    sample_rate, channels, classes = RATE, 1, ("calm", "wild", "sad")

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.table = torch.nn.Parameter(torch.randn(32, 4, generator=generator))
        self.ear = torch.nn.Parameter(torch.randn(4, 4, generator=generator))
        self.head = torch.nn.Parameter(torch.randn(12, 3, generator=generator))
        self.encoded = {"audio": 0, "lyrics": 0}

    def tokenize(self, text: str) -> Tokens:
        return word_tokens(text)

    def embed_text(self, ids: torch.Tensor) -> torch.Tensor:
        return self.table[ids]

    def encode_audio(self, audio: torch.Tensor) -> torch.Tensor:
        self.encoded["audio"] += len(audio)
        quarters = torch.stack([part.square().mean((1, 2)) for part in audio.chunk(4, -1)], 1)
        return torch.tanh(20 * (quarters - 0.1) @ self.ear)

    def encode_text(self, text: TokenBatch) -> torch.Tensor:
        self.encoded["lyrics"] += len(text.embeddings)
        return torch.tanh((text.embeddings * text.attended[:, :, None]).sum(1) / 2)

    def fuse(self, heard: torch.Tensor, read: torch.Tensor) -> torch.Tensor:
        return torch.cat([heard, read, heard * read], 1) @ self.head

    def forward(self, audio: torch.Tensor, text: TokenBatch) -> torch.Tensor:
        return self.fuse(self.encode_audio(audio), self.encode_text(text))
