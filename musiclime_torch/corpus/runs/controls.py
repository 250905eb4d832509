"""A song as its own control: its segments in another order, with an inaudible stem and a line of filler text.

What follows the music when segments rotate belongs to the music; what stays where it was belongs to the position. What the
decoys get is what an irrelevant component gets: the effects of masking, sampling and the model's quirks together.
"""

import hashlib
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from musiclime_torch.basics.arguments import Segments
from musiclime_torch.song.lyrics.lyrics import parse_lyrics
from musiclime_torch.song.track import Track
from musiclime_torch.variants.components import Components, cut, find_borders
from musiclime_torch.variants.sound import CROSS_FADE, make_noise

#: Name of the inaudible stem.
DECOY = "decoy"
#: Its level relative to the song: below the last of 16 bits, and inaudible under the song.
DECOY_LEVEL = 1e-5
#: A line of printers' filler text, which has nothing to do with any class.
FILLER = "lorem ipsum dolor sit"


@dataclass(frozen=True)
class Control:
    """`shift` is by how many segments the music has moved to the front: position p holds what was at p + shift.

    `filler` is the span of the filler line in the lyrics' text.
    """

    track: Track
    edges: tuple[float, ...]
    shift: int
    filler: tuple[int, int] | None

    def is_decoy(self, components: Components, column: int) -> bool:
        """Whether a column of the control's components is a decoy."""
        item = components.items[column]
        if item.kind == "audio":
            return item.stem == DECOY
        inside = self.filler or (0, 0)
        return all(inside[0] <= start and end <= inside[1] for start, end in item.spans)


def is_chosen(song: str, share: float) -> bool:
    """Whether a song is among the share that gets a control; decided by its id, so that it is the same in every run."""
    return int.from_bytes(hashlib.sha256(f"control {song}".encode()).digest()[:8], "big") < share * 2**64


def make_control(track: Track, segments: Segments, song: str) -> Control:
    """Rotate a track by a number of segments that its id draws, and put the decoys in."""
    edges = cut(track.seconds, segments, track.offset)
    count = len(edges) - 1
    digest = hashlib.sha256(f"shift {song}".encode()).digest()
    # Never 0: every segment moves, or position and music couldn't be told apart. Drawn from the id, so that it is the same
    # in every run and all shifts occur over a catalogue.
    shift = 0 if count < 2 else 1 + int.from_bytes(digest[:8], "big") % (count - 1)
    stems, moved = _rotate(track.stems, edges, shift, track.sample_rate)
    hiss = make_noise(stems.sum(0, keepdim=True), int.from_bytes(digest[8:12], "big")) * DECOY_LEVEL
    lyrics, filler = track.lyrics, None
    if lyrics is not None:
        lines = lyrics.text.splitlines()
        middle = len(lines) // 2
        lyrics = parse_lyrics("\n".join([*lines[:middle], FILLER, *lines[middle:]]))
        start = lyrics.text.index(FILLER)
        filler = (start, start + len(FILLER))
    rotated = replace(
        track, stems=torch.cat([stems, hiss]), stem_names=(*track.stem_names, DECOY), lyrics=lyrics, offset=0.0, warnings=()
    )
    return Control(rotated, moved, shift, filler)


def _rotate(
    stems: Float[Tensor, "stem channel frame"], edges: tuple[float, ...], shift: int, sample_rate: int
) -> tuple[Float[Tensor, "stem channel frame"], tuple[float, ...]]:
    """Segments in their new order with the borders they have there; edges that used not to meet fade, so as not to click."""
    pieces = [stems[..., first:last] for first, last in pairwise(find_borders(edges, sample_rate, stems.shape[-1]))]
    pieces = [*pieces[shift:], *pieces[:shift]]
    joint = len(pieces) - shift
    ramp = torch.linspace(0, 1, max(round(CROSS_FADE * sample_rate), 2))
    if shift:
        pieces[joint - 1] = _fade(pieces[joint - 1], ramp.flip(0), last=True)
        pieces[joint] = _fade(pieces[joint], ramp, last=False)
    lengths = torch.tensor([0, *(piece.shape[-1] for piece in pieces)]).cumsum(0)
    return torch.cat(pieces, -1), tuple(float(frames) / sample_rate for frames in lengths)


def _fade(piece: Tensor, ramp: Float[Tensor, " frame"], last: bool) -> Tensor:
    gains = piece.new_ones(piece.shape[-1])
    (gains[-len(ramp) :] if last else gains[: len(ramp)]).copy_(ramp[-piece.shape[-1] :])
    return piece * gains
