"""A small late-fusion model that trains, and how the monitor explains it in tests."""

import torch
from models import RATE, word_tokens
from torch import nn

from musiclime_torch.models.contract import TokenBatch, Tokens

OPTIONS = {"segments": 2, "n_samples": (32, 32)}


class Learner(nn.Module):
    """A little of everything that keeps a state: dropout, batch norm, a tensor cached on the first call."""

    sample_rate, channels, classes = RATE, 1, ("calm", "wild")

    def __init__(self) -> None:
        super().__init__()
        self.ear = nn.Sequential(nn.Conv1d(1, 6, 64, 32), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(0.3))
        self.table, self.head = nn.Embedding(32, 6), nn.Linear(12, 2)
        self.cached: torch.Tensor | None = None

    def tokenize(self, text: str) -> Tokens:
        return word_tokens(text)

    def embed_text(self, ids: torch.Tensor) -> torch.Tensor:
        return self.table(ids)

    def encode_audio(self, audio: torch.Tensor) -> torch.Tensor:
        if self.cached is None:
            self.cached = self.head.weight.new_ones(6)
        return self.ear(audio).mean(2) * self.cached

    def encode_text(self, text: TokenBatch) -> torch.Tensor:
        return (text.embeddings * text.attended[:, :, None]).mean(1)

    def fuse(self, heard: torch.Tensor, read: torch.Tensor) -> torch.Tensor:
        return self.head(torch.cat([heard, read], 1))

    def forward(self, audio: torch.Tensor, ids: TokenBatch | torch.Tensor) -> torch.Tensor:
        if isinstance(ids, torch.Tensor):
            ids = TokenBatch(self.embed_text(ids), torch.ones(ids.shape, dtype=torch.bool))
        return self.fuse(self.encode_audio(audio), self.encode_text(ids))
