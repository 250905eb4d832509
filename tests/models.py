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
