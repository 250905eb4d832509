"""Two trained towers that need no hub: MusiCNN tags the sound, MiniLM measures how close the lyrics are to each tag.

Late fusion by a sum, so nothing in its logits is interaction. The lyrics' tower was never trained on tags: it
measures similarity of meaning, and its weight is a choice.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from musiclime_torch.models.contract import TokenBatch, Tokens
from musiclime_torch.models.musicnn import Dataset, Musicnn, load_musicnn
from musiclime_torch.models.sentences import SentenceEncoder, load_minilm

#: Logits for a cosine of 1. Those of lyrics with prompts spread by about 0.1, MusiCNN's logits by one to two.
SIMILARITY = 10.0

#: What a tag is put into to be compared with lyrics.
PROMPT = "The lyrics of a song tagged {}."


class MusicnnMiniLM(nn.Module):
    """Logits of independent tags from 16 kHz mono audio and lyrics."""

    name = "musicnn-minilm"
    output_kind, modalities = "multilabel", ("audio", "lyrics")
    prompts: Float[Tensor, "class feature"]

    def __init__(self, ear: Musicnn, eye: SentenceEncoder, prompts: Sequence[str], similarity: float) -> None:
        """A prompt for each of the ear's tags; prompts are encoded once, and what they all share is taken out."""
        super().__init__()
        self.ear, self.eye, self.similarity = ear, eye, similarity
        self.classes, self.sample_rate, self.channels = ear.classes, ear.sample_rate, ear.channels
        self.max_seconds, self.shortest_seconds = ear.max_seconds, ear.shortest_seconds
        with torch.no_grad():
            directions = eye.embed_strings(list(prompts))
        self.register_buffer("prompts", directions - directions.mean(0), persistent=False)

    def tokenize(self, text: str) -> Tokens:
        """MiniLM's word pieces."""
        return self.eye.tokenize(text)

    def embed_text(self, ids: Int[Tensor, "*batch token"]) -> Float[Tensor, "*batch token dim"]:
        """MiniLM's word embeddings."""
        return self.eye.embed_text(ids)

    def encode_audio(self, audio: Float[Tensor, "batch channel frame"]) -> Float[Tensor, "batch class"]:
        """MusiCNN's logits."""
        logits: Tensor = self.ear(audio)
        return logits

    def encode_text(self, text: TokenBatch) -> Float[Tensor, "batch class"]:
        """How near the lyrics are to each tag's prompt, as logits."""
        return self.similarity * self.eye(text) @ self.prompts.T

    def fuse(self, audio: Float[Tensor, "batch class"], text: Float[Tensor, "batch class"]) -> Float[Tensor, "batch class"]:
        """The sum."""
        return audio + text

    def fuse_pairs(self, audio: Float[Tensor, "na class"], text: Float[Tensor, "nt class"]) -> Float[Tensor, "na nt class"]:
        """The sums of all pairs."""
        return audio[:, None] + text

    def forward(self, audio: Float[Tensor, "batch channel frame"], text: TokenBatch) -> Float[Tensor, "batch class"]:
        """Logits of songs."""
        return self.fuse(self.encode_audio(audio), self.encode_text(text))


def load_musicnn_minilm(dataset: Dataset) -> MusicnnMiniLM:
    """Both towers with their weights; InputError names the package that isn't installed."""
    ear = load_musicnn(dataset)
    return MusicnnMiniLM(ear, load_minilm(), [PROMPT.format(tag) for tag in ear.classes], SIMILARITY).eval()
