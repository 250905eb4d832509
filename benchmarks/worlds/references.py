"""Long crossed runs to measure errors against, with an estimate of their own error."""

from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.worlds.world import World
from musiclime_torch.surrogate import draw_foldover, lay_side, turn

#: Seeds of the reference's masks, far from those of the runs.
SEEDS = (910_000_001, 910_000_002)


@dataclass(frozen=True)
class Reference:
    """Tables (class, 1 + d_audio, 1 + d_lyrics) of coefficients; the squared error of each, estimated from two halves."""

    table: Tensor
    squared_error: Tensor


def make_reference(game: World, n_audio: int, n_lyrics: int, spaces: tuple[str, ...]) -> dict[str, Reference]:
    """The mean of two independent crossed runs of half the masks; a quarter of their squared difference is its error."""
    halves = [_run(game, n_audio // 2, n_lyrics // 2, seed, spaces) for seed in SEEDS]
    return {
        space: Reference((halves[0][space] + halves[1][space]) / 2, (halves[0][space] - halves[1][space]).square() / 4)
        for space in spaces
    }


def _run(game: World, n_audio: int, n_lyrics: int, seed: int, spaces: tuple[str, ...]) -> dict[str, Tensor]:
    """Coefficients of a crossed run, summed over tiles: least squares of stacked orthogonal blocks is their mean."""
    audio, lyrics = draw_foldover(game.d_audio, n_audio, seed), draw_foldover(game.d_lyrics, n_lyrics, seed + 7)
    ears, eyes = lay_side(audio), lay_side(lyrics)
    texts = game.read(lyrics.masks)
    tables = {space: torch.zeros(game.classes, 1 + game.d_audio, 1 + game.d_lyrics).double() for space in spaces}
    for start in range(0, audio.n_samples, 88):
        part = audio.masks[start : start + 88]
        sounds = game.hear(part)
        for space in spaces:
            values = game.spread(sounds, texts, space).double()
            by_audio = turn(values, lyrics, 2) @ eyes.influence.T
            # Pairs stay whole within a tile, so the tile's rows are turned as the whole design's are.
            tile = audio.first(len(part))
            tables[space] += ears.influence[:, start : start + 88] @ turn(by_audio, tile, 1)
    return tables


def split_table(table: Tensor) -> dict[str, Tensor]:
    """(class, coefficient) of the sound's main effects, the lyrics' and the interactions."""
    return {"audio": table[:, 1:, 0], "lyrics": table[:, 0, 1:], "interactions": table[:, 1:, 1:].flatten(1)}
