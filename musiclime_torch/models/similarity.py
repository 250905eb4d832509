"""How near a song is to other songs, to words about music, or to a saved taste, as a model that can be explained.

An embedder maps a song to directions: one of its sound, one of its lyrics. `Tower` is one of these sides by itself.
`Similarity` compares both with references: its outputs are cosines, one for each reference, so that a reference is a class
and another song is a foil.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from musiclime_torch.basics.errors import InputError
from musiclime_torch.models.subject import Subject

#: The sides of a song, in the order of a model's arguments, with the method that embeds each.
SIDES = {"audio": "embed_sound", "lyrics": "embed_lyrics"}

#: The encoders of a late-fusion model, which stand in for these.
_ENCODERS = {"audio": "encode_audio", "lyrics": "encode_text"}


@dataclass(frozen=True)
class Reference:
    """What a song is compared with: a name, and a direction for each side that is compared, of unit length."""

    name: str
    directions: Mapping[str, Float[Tensor, " feature"]]


class Tower(nn.Module):
    """One side of an embedder by itself: directions of sounds, or of lyrics, of unit length."""

    output_kind = "embedding"

    def __init__(self, subject: Subject, side: str, embed: Callable[..., Any]) -> None:
        super().__init__()
        self.module, self.embed, self.modalities, self.name = subject.module, embed, (side,), subject.name
        self.sample_rate, self.channels = subject.sample_rate, subject.channels
        self.max_seconds, self.shortest_seconds = subject.max_seconds, subject.shortest_seconds
        _take_text_form(self, subject.model)

    def forward(self, song: Any) -> Float[Tensor, "batch feature"]:
        """Directions; what has none, as silence may, is all zeros."""
        features = self.embed(song)
        return nn.functional.normalize(features.float().flatten(1), dim=1)


def find_towers(subject: Subject) -> dict[str, Tower]:
    """The sides that a model embeds, each by itself.

    Raises:
        InputError: for a model that embeds neither side.
    """
    model, towers = subject.model, {}
    for side, method in SIDES.items():
        if side not in subject.modalities:
            continue
        embed = getattr(model, method, None)
        if embed is None and subject.late_fusion:
            embed = getattr(model, _ENCODERS[side])
        if embed is None and subject.output_kind == "embedding" and len(subject.modalities) == 1:
            embed = model
        if embed is not None:
            towers[side] = Tower(subject, side, embed)
    if not towers:
        raise InputError(
            f"the model {subject.name} gives no embeddings to compare songs by: it needs embed_sound(audio) or "
            'embed_lyrics(text), separate encoders, or outputs of kind "embedding" of sound or lyrics alone.'
        )
    return towers


class Similarity(nn.Module):
    """Cosines of a song with references. Where sound and lyrics are both compared, a cosine is their weighted mean.

    A song longer than the embedder's window has the mean of its windows' cosines. Late fusion: sound and lyrics get crossed
    masks.
    """

    output_kind = "similarity"
    directions_audio: Float[Tensor, "reference feature"]
    directions_lyrics: Float[Tensor, "reference lyric_feature"]
    shares: Float[Tensor, "side reference"]

    def __init__(
        self, towers: Mapping[str, Tower], references: Sequence[Reference], weights: tuple[float, float] = (1.0, 1.0)
    ) -> None:
        """`weights` are those of sound and lyrics. A reference that lacks a side is compared by the other alone."""
        super().__init__()
        # A side that no reference has can't be compared: the model then takes the other one alone.
        used = [side for side in towers if any(side in reference.directions for reference in references)]
        self.towers = nn.ModuleDict({side: towers[side] for side in used})
        first = towers[used[0]]
        self.modalities, self.classes = tuple(used), tuple(reference.name for reference in references)
        self.sample_rate, self.channels = first.sample_rate, first.channels
        self.max_seconds, self.shortest_seconds = first.max_seconds, first.shortest_seconds
        self.name = f"{first.name} (similarity)"
        if "lyrics" in used:
            _take_text_form(self, towers["lyrics"])
        device = next((parameter.device for parameter in self.towers.parameters()), torch.device("cpu"))
        shares = torch.zeros(2, len(references))
        for row, side in enumerate(SIDES):
            rows = [reference.directions.get(side) for reference in references]
            known = [direction for direction in rows if direction is not None]
            shares[row] = weights[row] * torch.tensor([direction is not None for direction in rows])
            blank = torch.zeros_like(known[0]) if known else torch.zeros(0)
            stacked = torch.stack([blank if direction is None else direction.to(blank) for direction in rows])
            # Buffers that are saved and hashed with the weights: other references are another model.
            self.register_buffer(f"directions_{side}", nn.functional.normalize(stacked, dim=1).to(device))
        self.register_buffer("shares", (shares / shares.sum(0)).to(device))

    def encode_audio(self, audio: Float[Tensor, "batch channel frame"]) -> Float[Tensor, "batch reference"]:
        """The sound's part of the cosines."""
        # Cosines of unit vectors are products, and shares are weights of a mean: parts of both sides simply add up.
        return self.shares[0] * (self.towers["audio"](audio) @ self.directions_audio.T)

    def encode_text(self, text: Any) -> Float[Tensor, "batch reference"]:
        """The lyrics' part."""
        return self.shares[1] * (self.towers["lyrics"](text) @ self.directions_lyrics.T)

    def fuse(
        self, audio: Float[Tensor, "batch reference"], text: Float[Tensor, "batch reference"]
    ) -> Float[Tensor, "batch reference"]:
        """The sum of both parts."""
        return audio + text

    def fuse_pairs(
        self, audio: Float[Tensor, "na reference"], text: Float[Tensor, "nt reference"]
    ) -> Float[Tensor, "na nt reference"]:
        """The sums of all pairs."""
        return audio[:, None] + text

    def forward(self, *song: Any) -> Float[Tensor, "batch reference"]:
        """Cosines, from what the references are compared by: sound, lyrics, or both in this order."""
        encoders = {"audio": self.encode_audio, "lyrics": self.encode_text}
        parts = [encoders[side](given) for side, given in zip(self.modalities, song, strict=True)]
        return parts[0] if len(parts) == 1 else self.fuse(*parts)


def _take_text_form(module: Any, model: Any) -> None:
    """Lyrics in the form that the embedder takes them: tokens and embeddings only where it has them."""
    if hasattr(model, "tokenize"):
        module.tokenize = model.tokenize
    if hasattr(model, "embed_text"):
        module.embed_text = model.embed_text
