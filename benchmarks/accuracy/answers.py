"""Why this answer? A music language model with planted causes explained, beside what others offer for such models.

The embedded model answers questions about fresh songs of four seconds. Of each answer the cause is known: a *sound* (one
stem at one of four moments), a *word* of eight, or *both together*. It is found where the largest of the 24 attributions
are the planted ones; of both together also their *pair*, which should be significant and the largest of all 128 pairs of
sound and word. Only songs that the model answers rightly count, for only there is the cause known; how many these are is
printed.

All methods explain the same songs and components, and remove them in the same way (silence, and embeddings of zero). Ours
is `explain` with the answers contrasted, Yes rather than No; MM-SHAP's procedure gets the same contrast. Captum's
`LLMAttribution` explains one answer, Yes. **Budget**: rows of the language model that a method asks for. Ours takes those
that its design needs, and others as many: MM-SHAP whole permutations, 48 rows each, and once its own ten; Captum's
`KernelShap` the same number of samples, its `FeatureAblation` one row a component. They are run with
`forward_in_tokens=False`, without which Captum never hears the sound (`benchmarks/tools/llm_peers.py`); the last column
has its defaults. mllm-shap explains words alone, by the absolute value here, for what it explains has no direction; it is
run where it is installed, which takes Python 3.12.

    python -m benchmarks.accuracy.answers [--smoke] [--songs 20] [--n-samples 192] [--seed 0]
"""

import argparse
import json
from dataclasses import dataclass, field, replace
from importlib.util import find_spec

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from benchmarks.tools.llm_peers import run_captum, run_mllm_shap, run_mm_shap
from benchmarks.tools.peers import Oracle
from benchmarks.tools.scoring import count_found, is_strongest
from benchmarks.worlds.world import make_probe
from musiclime_torch import Explanation, explain
from musiclime_torch.demo import (
    MOMENTS,
    QUESTIONS,
    find_model,
    find_reasons,
    find_short_column,
    load_demo_answering,
    make_short_track,
    plan_fresh,
    render_short,
)
from musiclime_torch.models import Answering
from musiclime_torch.song import Track
from musiclime_torch.surrogate import bound_share
from musiclime_torch.variants import run_joint

#: The first seed: songs that neither training nor its record has seen.
FRESH = 3_000_000

#: What each question's causes are.
KINDS = dict(zip(QUESTIONS, ("sound (solo)", "sound (crowd)", "word", "both together"), strict=True))

OURS, DEAF = "musiclime_torch", "Captum FeatureAblation, defaults"
SHAP = ("MM-SHAP, equal rows", "MM-SHAP, 10 permutations")
#: Captum's methods with their options of `LLMAttribution.attribute`; whether they get a budget.
CAPTUM: dict[str, tuple[bool, dict[str, bool]]] = {
    "Captum KernelShap, one pass": (True, {"forward_in_tokens": False}),
    "Captum FeatureAblation, one pass": (False, {"forward_in_tokens": False}),
    DEAF: (False, {}),
}
MLLM = "mllm-shap, words alone"
METHODS = (OURS, *SHAP, *CAPTUM, *((MLLM,) if find_spec("mllm_shap") else ()))


@dataclass
class Tally:
    """By question and method, in how many songs the causes came first; rows that were asked for; and of the pairs."""

    hits: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    answered: dict[str, list[bool]] = field(default_factory=dict)
    #: Whether the pair is significant, and whether it is the largest.
    pairs: list[tuple[bool, float]] = field(default_factory=list)
    #: The largest attribution that Captum's defaults give any sound.
    deaf: float = 0.0

    def add(self, question: str, method: str, hit: float, rows: int) -> None:
        """A song's figure."""
        self.hits.setdefault(question, {}).setdefault(method, []).append(float(hit == 1))
        self.rows[method] = max(self.rows.get(method, 0), rows)


def make_game(model: Answering, track: Track) -> Oracle:
    """The song as a callable on masks: the contrast of the two answers."""
    probe = make_probe(model, track, segments=MOMENTS)
    probe = replace(probe, seen=tuple(range(probe.columns)))

    def answer(masks: Tensor) -> Tensor:
        with torch.no_grad():
            outputs = run_joint(probe, masks)
        return outputs[:, :1] - outputs[:, 1:]

    return Oracle(answer, probe.n_audio, probe.columns - probe.n_audio, 0)


def explain_song(model: Answering, question: str, seed: int, n_samples: int, tally: Tally) -> None:
    """All methods on one song to which the answer is Yes."""
    plan = plan_fresh(seed, question, True)
    track, causes = make_short_track(plan), tuple(map(find_short_column, find_reasons(plan, question)))
    assert track.lyrics is not None
    with torch.no_grad():
        scores = model(track.stems.sum(0)[None], [track.lyrics.text])[0]
    tally.answered.setdefault(question, []).append(bool(scores[0] > scores[1]))
    if not tally.answered[question][-1]:
        return
    ours = explain(model, track, target="Yes", foil="No", segments=MOMENTS, n_samples=n_samples, seed=seed)
    tally.add(question, OURS, count_found(ours.attributions[ours.target], causes, len(causes), seed), ours.lyrics_passes)
    if len(causes) == 2:
        _look_at_pair(ours, causes, tally)
    game, rows = make_game(model, track), ours.lyrics_passes
    for method, permutations in zip(SHAP, (max(rows // 48, 1), 10), strict=True):
        game.asked.clear()
        values = run_mm_shap(game, permutations, seed).attributions
        tally.add(question, method, count_found(values, causes, len(causes), seed), sum(game.asked))
    for method, (sampled, how) in CAPTUM.items():
        values, asked = run_captum(model, render_short(plan), track.lyrics, rows if sampled else None, seed, **how)
        tally.add(question, method, count_found(values, causes, len(causes), seed), asked)
        tally.deaf = max(tally.deaf, float(values[: game.d_audio].abs().max())) if method == DEAF else tally.deaf
    if MLLM in METHODS:
        values, asked = run_mllm_shap(find_model(), render_short(plan), track.lyrics, question, rows, seed)
        tally.add(question, MLLM, count_found(values.abs(), causes, len(causes), seed), asked)


def _look_at_pair(ours: Explanation, causes: tuple[int, ...], tally: Tally) -> None:
    together, width = ours.interactions, len(ours.components)
    scale = together.find_space(None)
    pairs = torch.zeros(width, width, dtype=torch.float64)
    pairs[tuple(together.columns.T)] = together.values[scale, ours.target].double()
    planted = (together.columns == torch.tensor(causes)).all(1)
    significant = bool(together.significant[scale, ours.target][planted].any())
    tally.pairs.append((significant, is_strongest(pairs, causes, ours.components.n_audio)))


def show(tally: Tally) -> Table:
    """Shares of songs with their intervals."""
    table = Table(title="songs whose planted causes come first of 24 components (95% over songs)")
    for heading in ("cause", "songs", *METHODS):
        table.add_column(heading, overflow="fold")
    for question, methods in tally.hits.items():
        count = len(methods[OURS])
        cells = []
        for method in METHODS:
            low, high = bound_share(sum(methods[method]), count, 0.95)
            cells.append(f"{np.mean(methods[method]):.2f} ({low:.2f}-{high:.2f})")
        table.add_row(KINDS[question], str(count), *cells)
    table.add_row("most rows", "", *(str(tally.rows[method]) for method in METHODS))
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="one song a question, few rows")
    parser.add_argument("--songs", type=int, default=20, help="a question")
    parser.add_argument("--n-samples", type=int, default=192)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    songs, n_samples = (1, 60) if options.smoke else (options.songs, options.n_samples)
    tally = Tally()
    for number, question in enumerate(QUESTIONS):
        model = load_demo_answering(question)
        for song in range(songs):
            explain_song(model, question, FRESH + options.seed + 10_000 * number + song, n_samples, tally)
    Console(width=160).print(show(tally))
    right = [good for goods in tally.answered.values() for good in goods]
    print(f"answered rightly: {sum(right)} of {len(right)} songs")
    significant, largest = (sum(part) for part in zip(*tally.pairs, strict=True)) if tally.pairs else (0, 0)
    print(f"the planted pair, ours: significant in {significant} of {len(tally.pairs)} songs, the largest in {largest:.0f}")
    print(f"the largest attribution of any sound by Captum's defaults: {tally.deaf}")
    shares = {
        KINDS[asked]: {name: round(float(np.mean(hits)), 4) for name, hits in by.items()} for asked, by in tally.hits.items()
    }
    print(json.dumps({"found": shares, "pair significant": significant, "pair largest": largest, "pairs": len(tally.pairs)}))


if __name__ == "__main__":
    main()
