"""Encoder work that matches a number of joint rows on both sides at once, of any world."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.worlds.references import make_reference, split_table
from benchmarks.worlds.world import World
from musiclime_torch import explain
from musiclime_torch.explanation import Answers
from musiclime_torch.models import Student
from musiclime_torch.surrogate import Design, draw_bernoulli, draw_blocks, lay_side, solve, turn

ROWS = 5000


#: Masks of the sound and of the lyrics in the longest crossed design.
LONGEST = (4096, 2600)


#: The most masks that are drawn in blocks of one kind, and in those of the next: Hadamard's, nested ones, then Kerdock's.
ENDS = (255, 3071)

#: Between numbers of masks that blocks are fitted to.
STEP = 64


def count_passes(game: World, masks: tuple[Tensor, Tensor] | None = None) -> tuple[float, float]:
    """Floating-point operations of one pass of either encoder, under these masks or with all there; one each where torch
    counts none.
    """
    costs = []
    some = masks or tuple(torch.ones(4, width, dtype=torch.bool) for width in (game.d_audio, game.d_lyrics))
    for encode, rows in zip((game.hear, game.read), some, strict=True):
        with FlopCounterMode(display=False) as counter:
            encode(rows)
        costs.append(counter.get_total_flops() / len(rows))
    return (costs[0], costs[1]) if all(costs) else (1.0, 1.0)


@dataclass(frozen=True)
class Work:
    """Operations of a pass of either encoder; and of a sound that is looked up, once its table has taken so many passes.

    `table` is 0 where the model has no local maps.
    """

    hear: float
    read: float
    table: int = 0
    look_up: float = 0.0

    def count(self, audio: int, lyrics: int) -> float:
        """What so many masks take, each a pass."""
        return self.hear * audio + self.read * lyrics

    def count_with_tables(self, audio: int, lyrics: int) -> float:
        """What they take where a table is made as soon as it has fewer passes than there are masks, as `explain` does."""
        if not self.table or audio <= self.table:
            return self.count(audio, lyrics)
        return self.hear * self.table + self.look_up * audio + self.read * lyrics


def count_work(game: World, passes: tuple[float, float]) -> Work:
    """What a game's passes take, once its sounds have been heard: by then its table stands, if it can have one.

    Lyrics are read under masks of a design, for words that are gone may cost nothing.
    """
    table = 0 if game.probe is None else game.probe.tally["tables"]
    words = draw_blocks(game.d_lyrics, 448, 0, fitted=True).masks
    looked, read = count_passes(game, (torch.ones(4, game.d_audio, dtype=torch.bool), words))
    return Work(passes[0], read, table, looked if table else 0.0)


def draw_rows(game: World) -> tuple[Tensor, Tensor]:
    """Some joint rows, side by side."""
    audio, lyrics = draw_bernoulli(game.d_audio + game.d_lyrics, 512, 0).masks.split((game.d_audio, game.d_lyrics), 1)
    return audio, lyrics


def compare_sides(audio: Tensor, lyrics: Tensor, truths: dict[str, Tensor]) -> dict[str, float]:
    """Relative squared errors of main effects, the classes' mean: of the sound's, the lyrics', and of all pooled."""
    sides = {"audio": audio, "lyrics": lyrics, "pooled": torch.cat([audio, lyrics], 1)}
    known = truths | {"pooled": torch.cat([truths["audio"], truths["lyrics"]], 1)}
    return {
        part: float(((slopes - known[part]).square().sum(1) / known[part].square().sum(1)).mean())
        for part, slopes in sides.items()
    }


def measure_joint(game: World, rows: int, seed: int, truths: dict[str, Tensor]) -> dict[str, float]:
    design = draw_bernoulli(game.d_audio + game.d_lyrics, rows, seed)
    slopes = solve(design, game.join(design.masks, "logit"), 0.0).coefficients.values
    return compare_sides(slopes[:, : game.d_audio], slopes[:, game.d_audio :], truths)


def draw_sizes(
    d: int, longest: int, seed: int, neighbourhoods: tuple[tuple[int, ...], ...] = ()
) -> list[tuple[int, Design]]:
    """Designs of many sizes as `explain` draws them, each a prefix of the long design of its kind or fitted to its number;
    with the index of the first mask among those of all kinds.
    """
    sizes: list[tuple[int, Design]] = []
    start = drawn = 0
    for most in (*(end for end in ENDS if end < longest), longest):
        design = draw_blocks(d, most, seed, neighbourhoods)
        least = drawn // design.block + 1
        sizes += [
            (start, design.first(size))
            for size in range(least * design.block, min(design.n_samples, max(most, design.block)) + 1, design.block)
        ]
        start, drawn = start + design.n_samples, most
    for size in range(STEP, longest, STEP):
        short, fitted = (draw_blocks(d, size, seed, neighbourhoods, fitted) for fitted in (False, True))
        if fitted.n_samples < short.n_samples:
            sizes.append((start, fitted))
            start += fitted.n_samples
    return sizes


def gather_masks(sizes: list[tuple[int, Design]]) -> Tensor:
    """The masks of all long designs."""
    longest = {start: design.masks for start, design in sizes}  # the last one of each is the longest
    all_masks = torch.zeros(
        max(start + len(masks) for start, masks in longest.items()), sizes[0][1].masks.shape[1], dtype=torch.bool
    )
    for start, masks in longest.items():
        all_masks[start : start + len(masks)] = masks
    return all_masks


def measure_crossed(
    game: World, longest: tuple[int, int], seed: int, truths: dict[str, Tensor]
) -> dict[tuple[int, int], dict[str, float]]:
    """Errors of crossed designs of many sizes, by their numbers of masks; masks they share are encoded once."""
    sides = [
        draw_sizes(game.d_audio, longest[0], seed, game.neighbourhoods),
        draw_sizes(game.d_lyrics, longest[1], seed + 1),
    ]
    values = game.cross(*map(gather_masks, sides), "logit")
    by_audio, by_lyrics = (sum_prefixes(values, sides[1 - side], dim) for side, dim in ((0, 2), (1, 1)))
    errors = {}
    for ear_start, audio in sides[0]:
        for eye_start, lyrics in sides[1]:
            na, nt = audio.n_samples, lyrics.n_samples
            sounds = find_effects(by_audio[eye_start, nt][:, ear_start : ear_start + na] / nt, audio)
            read = find_effects(by_lyrics[ear_start, na][:, eye_start : eye_start + nt] / na, lyrics)
            errors[na, nt] = compare_sides(sounds, read, truths)
    return errors


def sum_prefixes(values: Tensor, sizes: list[tuple[int, Design]], dim: int) -> dict[tuple[int, int], Tensor]:
    """Sums over the first masks of one side of all pairs (class, N_a, N_t), by where a design begins and its size.

    Designs of a kind are prefixes of each other, so each sum is the one before and what is new.
    """
    sums: dict[tuple[int, int], Tensor] = {}
    begun, done, total = -1, 0, torch.empty(0)
    for start, design in sizes:
        if start != begun:
            begun, done, total = start, 0, torch.zeros(()).double()
        total = total + values.narrow(dim, start + done, design.n_samples - done).sum(dim, dtype=torch.float64)
        done = design.n_samples
        sums[start, done] = total
    return sums


def find_effects(means: Tensor, design: Design) -> Tensor:
    """Main effects (class, d) of one side from its masks' means (class, N) over the other side."""
    return turn(means[..., None], design, 1)[..., 0] @ lay_side(design).influence[1:].T


def find_truths(game: World, longest: tuple[int, int], reach: int) -> dict[str, Tensor]:
    """Main effects of both sides from many times the masks."""
    return split_table(make_reference(game, reach * longest[0] // 2, reach * 208, ("logit",))["logit"].table)


def measure_guided(
    game: World, student: Student, sizes: tuple[Sequence[int], Sequence[int]], seeds: int, truths: dict[str, Tensor]
) -> dict[tuple[int, int], dict[str, float]]:
    """Median errors over seeds of explanations with a student, by masks of the sound and of the lyrics."""
    assert game.probe is not None
    assert game.track is not None
    runs: dict[tuple[int, int], list[dict[str, float]]] = {}
    for seed in range(1, seeds + 1):
        answers = Answers()
        for asked in product(*sizes):
            found = explain(
                game.probe.subject.model, game.track, n_samples=asked, seed=1000 * seed, proxy=student, answers=answers,
                lyrics_baseline=game.probe.sources.lyrics_baseline,
            )  # fmt: skip
            sounds, read = found.attributions.double().split((game.d_audio, game.d_lyrics), 1)
            runs.setdefault(asked, []).append(compare_sides(sounds, read, truths))
    return {asked: {part: statistics.median(run[part] for run in some) for part in some[0]} for asked, some in runs.items()}


def measure_game(
    game: World, rows: int, longest: tuple[int, int], seeds: int, truths: dict[str, Tensor]
) -> tuple[dict[str, float], dict[tuple[int, int], dict[str, float]]]:
    """Median errors over seeds: of joint rows, and of crossed designs by their numbers of masks."""
    joint = [measure_joint(game, rows, 1000 * seed, truths) for seed in range(1, seeds + 1)]
    runs = [measure_crossed(game, longest, 1000 * seed, truths) for seed in range(1, seeds + 1)]
    crossed = {
        counts: {part: statistics.median(run[counts][part] for run in runs) for part in runs[0][counts]}
        for counts in runs[0]
    }
    return {part: statistics.median(run[part] for run in joint) for part in joint[0]}, crossed
