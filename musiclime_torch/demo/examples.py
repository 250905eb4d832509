"""Songs to learn from, damaged the way explanations will damage them: stems silenced for moments, words masked.

Labels follow the damage: a tag is off once one of its causes is gone. Where a cue is neither gone nor whole, the tag
has no label.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float16, Int
from torch import Tensor

from musiclime_torch.demo.plan import HALF_BARS, SAMPLE_RATE, SongPlan, plan_song, spawn
from musiclime_torch.demo.songs import render_stems
from musiclime_torch.demo.tags import STEMS, TAGS
from musiclime_torch.rendering import gate_stems, mix

#: Share of a cue that must be left for its tag to stay on, and that may be left for it to be off.
WHOLE, GONE = 0.75, 0.1


@dataclass(frozen=True)
class Example:
    """A planned song with its stems, at half precision to save memory."""

    plan: SongPlan
    stems: Float16[Tensor, "stem channel frame"]


@dataclass(frozen=True)
class Batch:
    """Damaged songs. ``attended`` is False for dropped words and padding; ``known`` says which labels there are."""

    audio: Float[Tensor, "batch 1 frame"]
    ids: Int[Tensor, "batch token"]
    attended: Bool[Tensor, "batch token"]
    labels: Float[Tensor, "batch class"]
    known: Bool[Tensor, "batch class"]


def make_example(seed: int) -> Example:
    """A song with any number of tags, three on average: more to learn from than in songs with one or two."""
    rng = spawn(seed, "tags")
    plan = plan_song(seed, [name for name in TAGS if rng.random() < 0.42])
    return Example(plan, torch.from_numpy(render_stems(plan))[:, None].half())


def make_batch(
    examples: list[Example], variants: int, vocabulary: dict[str, int], mask_id: int, rng: np.random.Generator
) -> Batch:
    """Render ``variants`` damaged versions of every song, padded with silence to the longest song."""
    frames = max(example.plan.frames for example in examples)
    tokens = max(len(example.plan.words) for example in examples)
    rows = len(examples) * variants
    audio = torch.zeros(rows, 1, frames)
    ids = torch.zeros(rows, tokens, dtype=torch.long)
    attended = torch.zeros(rows, tokens, dtype=torch.bool)
    left = np.ones((rows, len(TAGS)))
    for index, example in enumerate(examples):
        here = slice(index * variants, (index + 1) * variants)
        plan, words = example.plan, example.plan.words
        edges, cells = _draw_cells(plan, variants, rng)
        stems = example.stems.float() * torch.from_numpy(rng.uniform(0.7, 1.2, (len(STEMS), 1, 1))).float()
        window = gate_stems(stems, None, edges, SAMPLE_RATE, None).windows[0]
        audio[here, :, : plan.frames] = mix(window, torch.from_numpy(cells))
        kept = rng.random((variants, len(words))) >= _draw_rates(variants, rng)[:, None]
        known = torch.tensor([vocabulary[word] for word in words])
        ids[here, : len(words)] = torch.where(torch.from_numpy(kept), known, mask_id)
        dropped = ~kept & (rng.random((variants, 1)) < 0.25)
        attended[here, : len(words)] = torch.from_numpy(~dropped)
        left[here] = _measure_left(plan, edges, cells, kept)
    return Batch(
        audio, ids, attended, torch.from_numpy(left >= WHOLE).float(), torch.from_numpy((left >= WHOLE) | (left <= GONE))
    )


def _draw_rates(variants: int, rng: np.random.Generator) -> np.ndarray:
    """Shares to remove: a fifth of the variants lose nothing, the others up to two thirds."""
    return np.where(rng.random(variants) < 0.2, 0.0, rng.uniform(0, 0.65, variants))


def _draw_cells(plan: SongPlan, variants: int, rng: np.random.Generator) -> tuple[tuple[float, ...], np.ndarray]:
    """Borders in seconds, at half-bars three times of four, and which cells (variant, stem, segment) stay."""
    seconds = plan.frames / SAMPLE_RATE
    count = HALF_BARS if rng.random() < 0.75 else int(rng.integers(4, 16))
    edges = tuple(seconds * index / count for index in range(count + 1))
    cells = rng.random((variants, len(STEMS), count)) >= _draw_rates(variants, rng)[:, None, None]
    cells &= rng.random((variants, len(STEMS), 1)) >= 0.08
    return edges, cells


def _measure_left(plan: SongPlan, edges: tuple[float, ...], cells: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """What is left of each tag's weakest cause, 0 to 1, and 0 where the song doesn't have the tag: (variant, class)."""
    left = np.zeros((len(cells), len(TAGS)))
    borders = np.array(edges) * SAMPLE_RATE / plan.half_bar
    for column, name in enumerate(TAGS):
        if name not in plan.tags:
            continue
        left[:, column] = 1
        for cause in plan.causes:
            if cause.tag != name:
                continue
            if cause.stem is None:
                share = kept[:, cause.place]
            else:
                overlap = np.minimum(borders[1:], cause.place + 1) - np.maximum(borders[:-1], cause.place)
                share = cells[:, STEMS.index(cause.stem)] @ np.maximum(overlap, 0)
            left[:, column] = np.minimum(left[:, column], share)
    return left
