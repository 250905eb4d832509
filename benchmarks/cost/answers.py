"""What an explanation of a music language model's answer costs, against joint rows one by one.

In a prompt the sound comes first, so that its keys and values serve several lyrics: each sound meets k of them. Joint rows
run sound and lyrics together, and all over again for every row. They come in two kinds: *independent*, every component
there or not by a coin's toss, which is how LIME draws rows; and *balanced*, in the blocks that `explain` draws for any model
of sound and lyrics. All three are `explain` on the embedded model; for the last two it is given without what lets sounds be
shared. Squared errors are the variances of the attributions over seeds (all designs are unbiased), in their mean over
components. **Work at equal error** is operations (counted by torch: matrix products and convolutions) times squared error.

For MusicFlamingo's real sizes operations are reckoned, twice the weights per token and attention besides: s for a sound and
t for lyrics after it. Equal rows take k (s + t) / (s + k t) times less work. At equal errors that is multiplied by the ratio
of the squared errors, measured with the same k. Against independent rows it is far above 1. Against balanced rows it is near
or below 1: lyrics that share a sound say less than lyrics with sounds of their own. Joint rows score both answers in one
pass; where each answer takes a pass of its own, as with Captum's `LLMAttribution`, the ratios are twice as large.

At last, seconds of 32 rows in a batch against 32 calls of a row.

    python -m benchmarks.cost.answers [--smoke] [--songs 3] [--seeds 10] [--n-samples 192]
"""

import argparse
import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import nn

from musiclime_torch import explain
from musiclime_torch.demo import (
    MOMENTS,
    QUESTIONS,
    load_demo_answering,
    make_short_track,
    plan_fresh,
)
from musiclime_torch.models import Answering, count_flops
from musiclime_torch.song import Track
from musiclime_torch.surrogate import DesignName, pick_repeats

#: The first seed of the songs.
FRESH = 4_000_000

#: Seconds and tokens of lyrics, question and template.
LENGTHS = ((30, 250), (180, 450))


#: What `explain` draws for a model that keeps what it heard, and the designs of joint rows by their names.
SHARED = "shared sounds"
JOINT: dict[str, DesignName] = {"balanced joint rows": "joint", "independent joint rows": "bernoulli"}

ASKED: dict[str, Any] = {"target": "Yes", "foil": "No", "segments": MOMENTS, "evidence": False}


class Unshared(nn.Module):
    """The same model without what lets a sound be heard once: rows are joint."""

    modalities, output_kind, channels = ("audio", "lyrics"), "logits", 1

    def __init__(self, asking: Answering) -> None:
        super().__init__()
        self.asking, self.classes, self.name = asking, asking.classes, asking.name
        self.sample_rate, self.max_seconds = asking.sample_rate, asking.max_seconds
        self.tokenize, self.embed_text = asking.tokenize, asking.embed_text

    def forward(self, audio: Any, text: Any) -> Any:
        return self.asking(audio, text)


class Shared(Unshared):
    """The same model whose pairs cost a given share: as many lyrics a sound as another model's costs ask for."""

    def __init__(self, asking: Answering, share: float) -> None:
        super().__init__(asking)
        self.share, self.forward_shared = share, asking.forward_shared

    def pair_cost(self, frames: int, tokens: int) -> float:
        """The share, whatever is heard and read."""
        return self.share


@dataclass(frozen=True)
class Way:
    """A model and a design to explain it with."""

    model: nn.Module
    design: DesignName


@dataclass(frozen=True)
class Cost:
    """What a design took of a song, in means over songs and seeds."""

    flops: float
    squared_error: float
    rows: float

    def times(self, other: "Cost") -> float:
        """How many times more work than the other at equal error: of both, error falls with the number of rows."""
        return self.flops * self.squared_error / (other.flops * other.squared_error)


def list_ways(question: str, shares: Mapping[str, float]) -> dict[str, Way]:
    """Designs by their names: sounds shared as the model's own costs say, and as the real model's would, and joint rows."""
    asking = load_demo_answering(question)
    ways = {name: Way(Shared(asking, share).eval(), "auto") for name, share in shares.items()}
    joint = Unshared(asking).eval()
    return {SHARED: Way(asking, "auto"), **ways} | {name: Way(joint, design) for name, design in JOINT.items()}


def measure(ways: Mapping[str, Way], tracks: Sequence[Track], seeds: int, n_samples: int) -> dict[str, Cost]:
    """What each way costs."""
    costs = {}
    for name, way in ways.items():
        sums = torch.zeros(3, dtype=torch.float64)
        for track in tracks:
            slopes = []
            for seed in range(seeds):
                asked = partial(explain, way.model, track, n_samples=n_samples, seed=seed, design=way.design, **ASKED)
                explanation, flops = count_flops(asked)
                slopes.append(explanation.attributions[explanation.target].double())
                sums += torch.tensor([flops, 0, explanation.n_variants], dtype=torch.float64) / seeds
            sums[1] += torch.stack(slopes).var(0).mean()
        costs[name] = Cost(*(sums / len(tracks)).tolist())
    return costs


#: The language model of nvidia/music-flamingo-2601-hf; its tower has the library's default sizes.
LANGUAGE = {
    "model_type": "qwen2", "vocab_size": 151_672, "hidden_size": 3584, "intermediate_size": 18_944, "num_hidden_layers": 28,
    "num_attention_heads": 28, "num_key_value_heads": 4, "tie_word_embeddings": False,
}  # fmt: skip


def make_real() -> Any:
    """MusicFlamingo at its published sizes, without weights."""
    from transformers import MusicFlamingoConfig, MusicFlamingoForConditionalGeneration

    with torch.device("meta"):
        return MusicFlamingoForConditionalGeneration(MusicFlamingoConfig(text_config=LANGUAGE))


def reckon(model: Any, seconds: int, tokens: int) -> tuple[float, float]:
    """Operations of a sound and of the lyrics after it, attention included."""
    body, embedding = model.model.language_model, model.get_input_embeddings()
    count = lambda part: sum(weight.numel() for weight in part.parameters())  # noqa: E731
    head = model.get_output_embeddings().weight.numel()
    language, tower = count(body) - count(embedding), count(model) - count(body) - head
    text, audio = model.config.text_config, model.config.audio_config
    heard, windows = 25 * seconds, seconds / 30
    # Each position meets all others of its window in the tower, and those before it in the language model: scores and sums.
    inner = 4 * audio.num_hidden_layers * audio.hidden_size * 1500 * 1500 * windows
    wide = text.num_attention_heads * getattr(text, "head_dim", text.hidden_size // text.num_attention_heads)
    pairs = 4 * text.num_hidden_layers * wide
    sound = 2 * tower * 50 * seconds + inner + 2 * language * heard + pairs * heard * heard / 2
    read = 2 * language * tokens + pairs * tokens * (heard + tokens / 2) + 2 * head
    return sound, read


def average(ratios: Sequence[float]) -> float:
    """The geometric mean."""
    return math.exp(sum(map(math.log, ratios)) / len(ratios))


def take_times(question: str, rows: int) -> tuple[float, float]:
    """Seconds of a batch and of its rows one by one, the best of three."""
    asking = load_demo_answering(question)
    track = make_short_track(plan_fresh(FRESH, question, True))
    assert track.lyrics is not None
    sound, lyrics = track.stems.sum(0)[None].expand(rows, -1, -1).contiguous(), track.lyrics.text
    best = [float("inf"), float("inf")]
    with torch.inference_mode():
        for _ in range(3):
            started = time.perf_counter()
            batch = asking(sound, [lyrics] * rows)
            middle = time.perf_counter()
            single = torch.cat([asking(row[None], [lyrics]) for row in sound])
            best = [min(best[0], middle - started), min(best[1], time.perf_counter() - middle)]
    torch.testing.assert_close(batch, single, atol=1e-4, rtol=1e-4)
    return best[0], best[1]


def show_measured(costs: Mapping[str, Mapping[str, Cost]], title: str) -> dict[str, dict[str, float]]:
    """Print the designs' costs by question; how many times more work joint rows take at equal error."""
    table, less = Table(title=title), {}
    for heading in ("question", "design", "rows", "GFLOP", "squared error", "x the work of shared sounds, equal error"):
        table.add_column(heading)
    for question, by in costs.items():
        less[question] = {name: round(by[name].times(by[SHARED]), 3) for name in JOINT}
        for name in (SHARED, *JOINT):
            cost = by[name]
            cells = (f"{cost.rows:.0f}", f"{cost.flops / 1e9:.1f}", f"{cost.squared_error:.3g}")
            table.add_row(question if name == SHARED else "", name, *cells, f"{cost.times(by[SHARED]):.2f}")
    Console(width=140).print(table)
    return less


def show_reckoned(
    name: str, sound: float, read: float, shared: Sequence[Cost], costs: Sequence[Mapping[str, Cost]]
) -> dict[str, float]:
    """Print how many times less work sharing takes at the real sizes, with errors as they were measured at the same k."""
    k = pick_repeats(read / (sound + read))
    rows = k * (sound + read) / (sound + k * read)
    ratios = {
        kind: rows
        * average(
            [
                by[kind].squared_error * by[kind].rows / (own.squared_error * own.rows)
                for own, by in zip(shared, costs, strict=True)
            ]
        )
        for kind in JOINT
    }
    print(
        f"  {name}: sound {sound / 1e12:.1f} TFLOP, text {read / 1e12:.1f}; {k} lyrics a sound; times less work: "
        f"{rows:.2f} at equal rows, and at equal error "
        + ", ".join(f"{ratio:.2f} than {kind}" for kind, ratio in ratios.items())
        + "; twice as many where Yes and No are passes of their own"
    )
    return {"k": k, "equal rows": round(rows, 2)} | {kind: round(ratio, 2) for kind, ratio in ratios.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="one song, two seeds")
    parser.add_argument("--songs", type=int, default=3, help="a question")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--n-samples", type=int, default=192)
    options = parser.parse_args()
    torch.set_num_threads(1)
    songs, seeds = (1, 2) if options.smoke else (options.songs, options.seeds)
    real = make_real()
    sizes = {f"{seconds} s, {tokens} tokens": reckon(real, seconds, tokens) for seconds, tokens in LENGTHS}
    shares = {name: read / (sound + read) for name, (sound, read) in sizes.items()}
    costs = {}
    for number, question in enumerate(QUESTIONS):
        tracks = [make_short_track(plan_fresh(FRESH + 1000 * number + song, question, True)) for song in range(songs)]
        costs[question] = measure(list_ways(question, shares), tracks, seeds, options.n_samples)
    less = show_measured(costs, f"the embedded model, {songs} songs a question, {seeds} seeds")
    print(
        f"MusicFlamingo at its real sizes, {sum(w.numel() for w in real.parameters()) / 1e9:.2f} billion weights, reckoned:"
    )
    reckoned = {
        name: show_reckoned(name, *size, [cost[name] for cost in costs.values()], list(costs.values()))
        for name, size in sizes.items()
    }
    batch, single = take_times(next(iter(QUESTIONS)), 32)
    print(f"32 rows in a batch: {single / batch:.1f} times faster than 32 calls ({batch:.3f} s, {single:.3f} s)")
    figures: dict[str, Any] = {"less work, equal error": less, "reckoned": reckoned, "batch": round(single / batch, 2)}
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
