"""What an explanation of a music language model's answer costs, against joint rows one by one.

In a prompt the sound comes first, so that its keys and values serve several lyrics: each sound meets k of them. Joint rows
run sound and lyrics together, and all over again for every row. Both are `explain` on the embedded model; the second is
given the model without what lets sounds be shared. Squared errors are the variances of the attributions over seeds (both
designs are unbiased), in their mean over components. **Work at equal error** is operations (counted by torch: matrix
products and convolutions) times squared error.

For MusicFlamingo's real sizes operations are reckoned, twice the weights per token and attention besides: s for a sound and
t for lyrics after it. Two ratios say how many times less they are. *Equal rows*: k (s + t) / (s + k t). *Equal error*, with
variances V and W of the sound's and the words' sides: (V + W) (s + t) / ((V + W / k) (s + k t)), shown for V = W. The second
is smaller, for lyrics that share a sound say less than lyrics with sounds of their own. Joint rows score both answers in
one pass here; where each answer takes a pass of its own, as with Captum's `LLMAttribution`, the ratios are twice as large.

At last, seconds of 32 rows in a batch against 32 calls of a row.

    python -m benchmarks.cost.answers [--smoke] [--songs 3] [--seeds 10] [--n-samples 192]
"""

import argparse
import json
import time
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
from musiclime_torch.surrogate import pick_repeats

#: The first seed of the songs.
FRESH = 4_000_000

#: Seconds and tokens of lyrics, question and template.
LENGTHS = ((30, 250), (180, 450))


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


def measure(question: str, songs: int, seeds: int, n_samples: int, first: int) -> dict[str, list[float]]:
    """Operations, squared error and rows of each design, in means over songs."""
    asking = load_demo_answering(question)
    sums = {"shared": torch.zeros(3, dtype=torch.float64), "joint": torch.zeros(3, dtype=torch.float64)}
    for song in range(songs):
        track = make_short_track(plan_fresh(first + song, question, True))
        for name, model in (("shared", asking), ("joint", Unshared(asking).eval())):
            slopes, flops, rows = [], 0.0, 0
            for seed in range(seeds):
                explanation, counted = count_flops(partial(explain, model, track, n_samples=n_samples, seed=seed, **ASKED))
                slopes.append(explanation.attributions[explanation.target].double())
                flops, rows = flops + counted / seeds, explanation.n_variants
            error = torch.stack(slopes).var(0).mean()
            sums[name] += torch.tensor([flops, float(error), rows], dtype=torch.float64) / songs
    return {name: values.tolist() for name, values in sums.items()}


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


def compare(sound: float, read: float) -> tuple[int, float, float]:
    """Lyrics a sound, and how many times less work than joint rows: at equal rows, and at equal error."""
    k = pick_repeats(read / (sound + read))
    joint, shared = sound + read, sound + k * read
    return k, k * joint / shared, 2 * joint / ((1 + 1 / k) * shared)


def take_times(question: str, rows: int) -> tuple[float, float]:
    """Seconds of a batch and of its rows one by one, the best of three."""
    asking = load_demo_answering(question)
    track = make_short_track(plan_fresh(FRESH, question, True))
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="one song, two seeds")
    parser.add_argument("--songs", type=int, default=3, help="a question")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--n-samples", type=int, default=192)
    options = parser.parse_args()
    torch.set_num_threads(1)
    songs, seeds = (1, 2) if options.smoke else (options.songs, options.seeds)
    table = Table(title=f"the embedded model, {songs} songs a question, {seeds} seeds")
    for heading in ("question", "rows", "GFLOP", "joint GFLOP", "squared error", "joint error", "x less work, equal error"):
        table.add_column(heading)
    less = {}
    for number, question in enumerate(QUESTIONS):
        results = measure(question, songs, seeds, options.n_samples, FRESH + 1000 * number)
        (flops, error, rows), (alone, alone_error, alone_rows) = results["shared"], results["joint"]
        less[question] = round(alone * alone_error / (flops * error), 3)
        cells = (f"{rows:.0f}, {alone_rows:.0f}", f"{flops / 1e9:.1f}", f"{alone / 1e9:.1f}")
        table.add_row(question, *cells, f"{error:.3g}", f"{alone_error:.3g}", f"{less[question]:.2f}")
    Console(width=140).print(table)
    real, reckoned = make_real(), {}
    print(
        f"MusicFlamingo at its real sizes, {sum(w.numel() for w in real.parameters()) / 1e9:.2f} billion weights, reckoned:"
    )
    for seconds, tokens in LENGTHS:
        sound, read = reckon(real, seconds, tokens)
        k, equal_rows, equal_error = compare(sound, read)
        reckoned[f"{seconds} s"] = {"k": k, "equal rows": round(equal_rows, 2), "equal error": round(equal_error, 2)}
        print(
            f"  {seconds} s and {tokens} tokens: sound {sound / 1e12:.1f} TFLOP, text {read / 1e12:.1f}; {k} lyrics a "
            f"sound; {equal_rows:.2f} times less work at equal rows, {equal_error:.2f} at equal error; "
            f"{2 * equal_rows:.2f} and {2 * equal_error:.2f} where Yes and No are passes of their own"
        )
    batch, single = take_times(next(iter(QUESTIONS)), 32)
    print(f"32 rows in a batch: {single / batch:.1f} times faster than 32 calls ({batch:.3f} s, {single:.3f} s)")
    figures = {"less work, equal error": less, "reckoned": reckoned, "batch": round(single / batch, 2)}
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
