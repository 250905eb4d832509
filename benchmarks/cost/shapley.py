"""Shapley values from joint and from crossed rows: their errors at equal encoder passes, and the coverage of their
intervals.

Two kinds of games whose Shapley values are known: sums of products of up to three components, and a softmax over bounded
units, enumerated. A joint row costs two passes, one a side; crossed masks cost one each.

    python -m benchmarks.cost.shapley [--smoke] [--seeds 100]
"""

import argparse
import json
from dataclasses import dataclass

import torch
from rich.console import Console
from rich.table import Table
from scipy.special import stdtrit
from torch import Tensor

from musiclime_torch.surrogate import (
    Known,
    draw_levels,
    draw_leverage,
    enumerate_masks,
    mask_ends,
    solve_exact,
    solve_levels,
    solve_leverage,
)

CLASSES = 4

#: Kind, components a side, masks a side, levels.
CASES = [
    ("products", 6, 6, 48, 48, 4),
    ("products", 6, 6, 64, 64, 4),
    ("products", 6, 6, 256, 64, 4),
    ("products", 6, 6, 512, 512, 4),
    ("products", 1, 11, 64, 64, 4),
    ("saturating", 6, 6, 48, 48, 4),
    ("saturating", 6, 6, 128, 128, 4),
    ("saturating", 6, 6, 128, 128, 8),
    ("saturating", 6, 6, 256, 256, 4),
    ("products", 20, 30, 128, 128, 4),
    ("products", 20, 30, 384, 128, 4),
    ("products", 20, 30, 512, 512, 4),
]


@dataclass(frozen=True)
class Products:
    """Products of k members each; a product's members share its strength equally."""

    members: list[Tensor]
    strengths: list[Tensor]

    def __call__(self, masks: Tensor) -> Tensor:
        return sum(masks.double()[..., who].prod(-1) @ much for who, much in zip(self.members, self.strengths, strict=True))

    def values(self, d: int) -> Tensor:
        truth = torch.zeros(d, CLASSES, dtype=torch.float64)
        for who, much in zip(self.members, self.strengths, strict=True):
            for member in who.T:
                truth.index_add_(0, member, much / who.shape[1])
        return truth.T


@dataclass(frozen=True)
class Saturating:
    """A softmax over bounded units."""

    inner: Tensor
    outer: Tensor

    def __call__(self, masks: Tensor) -> Tensor:
        return (((masks.double() - 0.5) @ self.inner).tanh() @ self.outer).softmax(-1)

    def values(self, d: int) -> Tensor:
        masks = enumerate_masks(d).masks
        return solve_exact(masks, self(masks)).values


def make_game(kind: str, d: int) -> Products | Saturating:
    generator = torch.Generator().manual_seed(0)
    if kind == "saturating":
        inner = 4 / d**0.5 * torch.randn(d, 6, generator=generator, dtype=torch.float64)
        return Saturating(inner, 2 * torch.randn(6, CLASSES, generator=generator, dtype=torch.float64))
    members = [torch.stack([torch.randperm(d, generator=generator)[:k] for _ in range(3 * d)]) for k in (1, 2, 3)]
    return Products(members, [torch.randn(3 * d, CLASSES, generator=generator, dtype=torch.float64) for _ in members])


def explain_joint(game: Products | Saturating, d: int, rows: int, seed: int) -> Known:
    design = draw_leverage(d, rows, seed)
    ends = game(mask_ends(d))
    return solve_leverage(design, game(design.masks), ends[0], ends[1])


def explain_crossed(
    game: Products | Saturating, d_audio: int, d_lyrics: int, budget: tuple[int, int, int], seed: int
) -> Known:
    design = draw_levels(d_audio, d_lyrics, *budget, seed)
    values = []
    for audio_rows, lyric_rows in zip(design.audio_rows, design.lyric_rows, strict=True):
        audio, lyrics = design.audio[audio_rows], design.lyrics[lyric_rows]
        left, right = audio[:, None].expand(-1, len(lyrics), -1), lyrics[None].expand(len(audio), -1, -1)
        values.append(game(torch.cat([left, right], 2)))
    ends = game(mask_ends(d_audio + d_lyrics))
    return solve_levels(design, values, ends[0], ends[1])


def judge(fits: list[Known], truth: Tensor) -> tuple[Tensor, float]:
    """Mean squared error of every component, and the share of nominal 95% intervals that hold the truth."""
    errors = torch.stack([fit.values - truth for fit in fits])
    halves = [torch.from_numpy(stdtrit(fit.freedom.numpy(), 0.975)) * fit.errors for fit in fits]
    return errors.square().mean((0, 1)), float((errors.abs() <= torch.stack(halves)).double().mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="two seeds a case, the small cases only")
    parser.add_argument("--seeds", type=int, default=100)
    options = parser.parse_args()
    seeds, cases = (2, CASES[:2]) if options.smoke else (options.seeds, CASES)
    table = Table(title=f"squared error of joint rows over that of crossed ones, equal passes, {seeds} seeds")
    for heading in (
        "game",
        "components",
        "masks",
        "levels",
        "audio",
        "lyrics",
        "all",
        "joint 95% holds",
        "crossed 95% holds",
    ):
        table.add_column(heading)
    shares = []
    for kind, d_audio, d_lyrics, *budget in cases:
        d, rows = d_audio + d_lyrics, (budget[0] + budget[1]) // 2
        game = make_game(kind, d)
        truth = game.values(d)
        # The fewest joint rows that leave their errors degrees of freedom may be more than the crossed masks cost.
        joint, held = judge([explain_joint(game, d, max(rows, 2 * d + 6), seed) for seed in range(seeds)], truth)
        budgets = (budget[0], budget[1], budget[2])
        crossed, share = judge([explain_crossed(game, d_audio, d_lyrics, budgets, seed) for seed in range(seeds)], truth)
        shares.append(share)
        ratios = [joint[part].mean() / crossed[part].mean() for part in (slice(d_audio), slice(d_audio, d), slice(d))]
        masks = f"{budget[0]} + {budget[1]}"
        figures = [*(f"{ratio:.1f}" for ratio in ratios), f"{held:.1%}", f"{share:.1%}"]
        table.add_row(kind, f"{d_audio} + {d_lyrics}", masks, str(budget[2]), *figures)
    Console(width=120).print(table)
    print(json.dumps({"least_held": round(min(shares), 4), "most_held": round(max(shares), 4), "seeds": seeds}))


if __name__ == "__main__":
    main()
