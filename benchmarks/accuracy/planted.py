"""Planted truth: how well explainers find causes that are known, at the same number of model passes.

Songs are generated, with known causes, and never trained on. The embedded model decides by a *moment* (one stem in one of
ten segments), by a *word*, or by a moment and a word *together*; a further row asks whether their *interaction* is the
strongest between sound and words. Written rules (`rules.py`) decide by a *stem*, all of whose moments count about alike (the
sums of its attributions over moments are compared; *its ten moments* must also be the ten largest), and by a *line* most of
whose words are needed, explained by lines and, as *a line's words*, word by word. A class that counts the tags is decided by
*nine causes at once*, each weak beside the others together; how large each is is known (a tag's only cause 1, of two 0.5,
whether averaged over masks or as Shapley values, all else 0), so the correlation with *their sizes* is a row. Two more
models have learned shortcuts (`shortcuts.py`): a faint *tone*, and a *phrase* that a lyrics site adds. They are explained on
songs whose class depends on the shortcut alone: without it the model decides otherwise.

A figure is the share of the planted causes among as many of the largest attributions (signed: what speaks for the class;
ties in random order): precision and recall in one, for both count the same. Means over songs; all methods explain the same
songs, components, models and outputs (logits; the paper's procedure has probabilities), with the same seeds. A model
needn't use a phrase's words equally, so the script also prints how often ours finds each word and how far the output falls
without it.

**Budget**: the most passes a method may take of either encoder, song and empty song included. The script asserts it and
prints the passes taken. A joint variant takes one pass of each. `explain` gets `n_samples` = budget − 2 for its masks of
both sides together, so that it spends less than the others do.

Ours is `explain` with its defaults; the paper's is `explain(**PAPER)` with the budget in place of 5,000 rows, only its
positive attributions, and lines where lines are asked for. Peers: `peers.py`. Interactions: shapiq's `ProxySPEX` gets a
budget of its own; where a method offers no interactions, or refuses so small a budget, the figure is 0. 128 masks are about
the fewest that `explain` takes (one block a side), 192 that all methods take (SHAP's smallest step, a permutation and back,
up to 181).

    python -m benchmarks.accuracy.planted [--smoke] [--songs 20,20] [--budget 128,192] [--device cpu|cuda] [--seed 0]
"""

import argparse
import json
import math
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from scipy.special import stdtrit
from torch import nn

from benchmarks.accuracy.attempts import METHODS, run_all
from benchmarks.tools import peers
from benchmarks.tools.peers import Found, Oracle
from benchmarks.tools.scoring import count_found, is_strongest, match_sizes
from benchmarks.worlds import shortcuts
from benchmarks.worlds.known_causes import CLASSES, Case, list_cases, make_game
from musiclime_torch.demo import HALF_BARS, STEMS, load_demo_model, plan_song
from musiclime_torch.models import Tagger
from musiclime_torch.surrogate import bound_share

#: The rows that songs of a kind give.
ROWS = {
    "phrase": ("shortcut: phrase",),
    "tone": ("shortcut: tone",),
    "both": ("stem and word together", "their interaction"),
    "stem": ("stem", "its ten moments"),
    "cue": ("moment",),
    "word": ("word",),
    "line": ("line",),
    "quote": ("a line's words",),
    "many": ("nine causes at once", "their sizes"),
}
#: Draws behind chance's figures.
DRAWS = 200


def score(case: Case, game: Oracle, result: Found | None, seed: int) -> dict[tuple[str, int], float]:
    """Figures by row and k: 0 stands for as many as there are causes. All are 0 where nothing was found."""
    if result is None:
        return dict.fromkeys(score(case, game, Found(torch.zeros(game.width)), seed), 0.0)
    values, row = result.attributions, ROWS[case.kind][0]
    figures = {}
    if case.kind == "stem":
        stems = values[: game.d_audio].unflatten(0, (len(STEMS), HALF_BARS)).sum(1)
        figures["stem", 0] = count_found(stems, (case.causes[0] // HALF_BARS,), 1, seed)
        row = "its ten moments"
    for k in (0, 3, 5):
        figures[row, k] = count_found(values, case.causes, k or len(case.causes), seed)
    if case.effects:
        truth = torch.zeros(game.width, dtype=torch.float64)
        truth[list(case.causes)] = torch.tensor(case.effects, dtype=torch.float64)
        figures["their sizes", 0] = match_sizes(values, truth)
    if case.kind == "both":
        figures["their interaction", 0] = is_strongest(result.pairs, case.causes, game.d_audio)
    return figures


def score_chance(case: Case, game: Oracle, seed: int) -> dict[tuple[str, int], float]:
    """The mean figures of random attributions."""
    draws = [score(case, game, peers.run_random(game, 0, DRAWS * seed + draw), draw) for draw in range(DRAWS)]
    return {key: float(np.mean([figures[key] for figures in draws])) for key in draws[0]}


def look_at_causes(case: Case, game: Oracle, result: Found) -> list[tuple[bool, float]]:
    """Of each cause, whether it is among as many of the largest, and how far the output falls without it alone."""
    masks = torch.ones(1 + len(case.causes), game.width, dtype=torch.bool)
    masks[range(1, len(masks)), list(case.causes)] = False
    outputs = game.answer(masks)[:, game.target]  # outside the budget, as no method sees it
    largest = result.attributions.topk(len(case.causes)).indices.tolist()
    return [(column in largest, float(outputs[0] - left)) for column, left in zip(case.causes, outputs[1:], strict=True)]


@dataclass(frozen=True)
class Results:
    """Figures of songs in their order, by (row, k), budget and method; the most passes of each encoder; by budget, whether
    the planted pair was significant; in how many songs of a (row, budget) a method refused; for each song with a phrase, its
    words as `look_at_causes` gives them.
    """

    figures: dict[tuple[str, int], dict[int, dict[str, list[float]]]] = field(default_factory=dict)
    passes: dict[int, dict[str, tuple[int, int]]] = field(default_factory=dict)
    significant: dict[int, list[bool]] = field(default_factory=dict)
    refused: dict[tuple[str, int, str], int] = field(default_factory=dict)
    phrases: dict[int, list[list[tuple[bool, float]]]] = field(default_factory=dict)

    def add(self, budget: int, method: str, figures: dict[tuple[str, int], float]) -> None:
        for key, figure in figures.items():
            self.figures.setdefault(key, {}).setdefault(budget, {}).setdefault(method, []).append(figure)

    def count(self, budget: int, method: str, passes: tuple[int, int]) -> None:
        most = self.passes.setdefault(budget, {}).get(method, (0, 0))
        self.passes[budget][method] = (max(most[0], passes[0]), max(most[1], passes[1]))


def measure(models: dict[str, Tagger], plan: dict[int, int], device: str, seed: int) -> Results:
    """All methods on all songs that there is a model for; `plan` says how many songs a row each budget has."""
    results = Results()
    for kind in [kind for kind in ROWS if kind in CLASSES or kind in models]:
        started = time.perf_counter()
        cases = list_cases(kind, models.get(kind, models["embedded"]))
        for number, case in enumerate(islice(cases, max(plan.values()))):
            game = make_game(case, device)
            for budget, songs in sorted(plan.items()):
                if number >= songs:
                    continue
                outcomes = run_all(case, game, budget, seed + number)
                ours = outcomes["musiclime_torch"].result
                if kind == "phrase" and ours is not None:
                    results.phrases.setdefault(budget, []).append(look_at_causes(case, game, ours))
                for method, outcome in outcomes.items():
                    results.add(budget, method, score(case, game, outcome.result, seed + number))
                    results.count(budget, method, outcome.passes)
                    for row in ROWS[kind] if outcome.result is None else ():
                        results.refused[row, budget, method] = results.refused.get((row, budget, method), 0) + 1
                    if outcome.significant is not None:
                        results.significant.setdefault(budget, []).append(outcome.significant)
                results.add(budget, "random", score_chance(case, game, seed + number))
        print(f"{kind}: {max(plan.values())} songs in {time.perf_counter() - started:.0f} s", flush=True)
        for row in ROWS[kind]:
            for budget, by_method in results.figures[row, 0].items():
                means = ", ".join(f"{method} {np.mean(figures):.3f}" for method, figures in by_method.items())
                print(f"  {row}, {budget} passes: {means}", flush=True)
    return results


def show(results: Results, budget: int) -> Table:
    """Means with their intervals, for one budget."""
    table = Table(title=f"share of the causes among the largest, {budget:,} passes (95% over songs; in the top 3, top 5)")
    for heading in ("row", "songs", *METHODS):
        table.add_column(heading, overflow="fold")
    for (row, k), by_budget in results.figures.items():
        if k or budget not in by_budget:
            continue
        cells = []
        for method in METHODS:
            figures = by_budget[budget][method]
            refused = results.refused.get((row, budget, method), 0)
            if refused == len(figures):
                cells.append("refuses")
                continue
            low, high = bound_share(sum(figures), len(figures), 0.95)
            deeper = [
                np.mean(results.figures[row, more][budget][method]) for more in (3, 5) if (row, more) in results.figures
            ]
            digits = 4 if row == "their sizes" else 2  # near 1 the distance to it is what can be read
            shown = f"{np.mean(figures):.{digits}f} ({low:.2f}-{high:.2f})" + "".join(f" {mean:.2f}" for mean in deeper)
            offers = method in ("musiclime_torch", "shapiq", "random")
            shown += f" (refuses {refused})" if refused else ""
            cells.append(shown if row != "their interaction" or offers else "none offered")
        table.add_row(row, str(len(by_budget[budget]["random"])), *cells)
    passes = [f"{sound} + {words}" for sound, words in results.passes[budget].values()]
    table.add_row("most passes (sound + lyrics)", "", *passes, "")
    return table


def compare(results: Results, budget: int) -> Iterator[str]:
    """Ours against the best of the others in each row, song by song."""
    for (row, k), by_budget in results.figures.items():
        if k or budget not in by_budget:
            continue
        figures = by_budget[budget]
        best = max(METHODS[1:], key=lambda name: float(np.mean(figures[name])))
        apart = np.array(figures["musiclime_torch"]) - np.array(figures[best])
        half = stdtrit(len(apart) - 1, 0.975) * apart.std(ddof=1) / math.sqrt(len(apart)) if len(apart) > 1 else math.nan
        where = f"{budget:,} passes, {row}: ours"
        if apart.mean():
            word = "leads" if apart.mean() > 0 else "is behind"
            yield f"{where} {word} {best} by {abs(apart.mean()):.2g} ± {half:.2g}"
        else:
            level = [name for name in METHODS[1:] if np.mean(figures[name]) == np.mean(figures[best])]
            why = "nothing is left to find" if np.mean(figures[best]) == 1 else "all miss equally often"
            yield f"{where} level with {', '.join(level)}: {why}"


def tell_phrases(results: Results, budget: int) -> Iterator[str]:
    """Why a part of the phrase is missed."""
    for place, songs in enumerate(zip(*results.phrases.get(budget, []), strict=True), 1):
        hits, lost = zip(*songs, strict=True)
        yield (
            f"{budget:,} passes, shortcut: phrase: ours finds its word {place} in {np.mean(hits):.0%} of songs; without it "
            f"alone the logit falls by {np.median(lost):.2f} in the middle, {min(lost):.2f} to {max(lost):.2f}"
        )


def audit_phrase(model: nn.Module, songs: int, n_samples: int) -> str:
    """What `musiclime global` reports for a catalogue of songs that carry the phrase and no tag's cause, so that the
    predicted class is the phrase's.
    """
    import soundfile

    from musiclime_torch.corpus import aggregate, audit, begin_job, run_here
    from musiclime_torch.song import read_manifest

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = ["id,audio,lyrics"]
        for number in range(songs):
            song = replace(shortcuts.hold_out("phrase", number)[0], plan=plan_song(shortcuts.HELD_OUT + number, ()))
            track = shortcuts.make_marked_track(song)
            soundfile.write(folder / f"{number}.flac", track.stems.sum(0)[0].numpy(), track.sample_rate)
            (folder / f"{number}.txt").write_text(track.lyrics.text + "\n", encoding="utf-8")
            rows.append(f"{number},{number}.flac,{number}.txt")
        (folder / "manifest.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
        options = {"n_samples": n_samples, "segments": 5}
        job = begin_job(
            read_manifest(folder / "manifest.csv"), folder / "out", options=options, loading={"separator": "none"}
        )
        run_here(model, job, workers=0)
        findings = audit(folder / "out", aggregate(folder / "out"))
    messages = [finding.message for finding in findings if finding.kind == "boilerplate"]
    return "; ".join(messages) or "no boilerplate found"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="a song a row, no shortcuts (models learn them in minutes)")
    parser.add_argument("--songs", default="20,20", help="a row, for each budget")
    parser.add_argument("--budget", default="128,192", help="passes of either encoder that a method may take")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    songs, budgets = ([int(number) for number in text.split(",")] for text in (options.songs, options.budget))
    plan = {192: 1} if options.smoke else dict(zip(budgets, songs, strict=True))
    models = {"embedded": load_demo_model().to(options.device)}
    for kind in () if options.smoke else shortcuts.TARGETS:
        models[kind] = shortcuts.train_shortcut(kind, *shortcuts.SIZE, options.seed).to(options.device)
        decided = sum(shortcuts.decides(models[kind], kind, shortcuts.hold_out(kind, number)) for number in range(40))
        print(
            f"{kind}: decides {decided} of 40 held-out songs that carry it and no cue (on with it, off without)", flush=True
        )
    results = measure(models, plan, options.device, options.seed)
    for budget in plan:
        Console(width=200).print(show(results, budget))
        print("\n".join([*compare(results, budget), *tell_phrases(results, budget)]))
        significant = results.significant[budget]
        print(f"{budget:,} passes: the planted pair is significant in {sum(significant)} of {len(significant)} songs (ours)")
    if not options.smoke:
        print(f"the audit of 40 songs with the phrase, 256 masks each: {audit_phrase(models['phrase'], 40, 256)}")
    print(
        json.dumps(
            {
                method: {
                    f"{row}, {budget} passes": round(float(np.mean(by_budget[budget][method])), 4)
                    for budget in plan
                    for (row, k), by_budget in results.figures.items()
                    if not k and budget in by_budget
                }
                for method in METHODS
            }
        )
    )


if __name__ == "__main__":
    main()
