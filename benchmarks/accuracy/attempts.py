"""Every method tried on one song whose causes are known, at the same number of model passes."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from benchmarks.tools import peers
from benchmarks.tools.peers import Found, Oracle
from benchmarks.worlds.known_causes import Case
from musiclime_torch import PAPER, explain


@dataclass(frozen=True)
class Outcome:
    """What a method gave, None where it refused, and the passes of the two encoders that it took; `significant`: whether the
    interaction of the planted pair is.
    """

    result: Found | None
    passes: tuple[int, int]
    significant: bool | None = None


def run_ours(case: Case, game: Oracle, budget: int, seed: int) -> Outcome:
    """`explain` with its defaults."""
    explanation = explain(case.model, case.track, target=case.target, units=case.units, n_samples=budget - 2, seed=seed)
    together, pairs = explanation.interactions, torch.zeros(game.width, game.width, dtype=torch.float64)
    assert together is not None, "the embedded model is late-fusion"
    scale = together.find_space(None)
    first, second = together.columns.T
    pairs[first, second] = together.values[scale, explanation.target].double()
    significant = None
    if case.kind == "both":
        planted = (together.columns == torch.tensor(case.causes)).all(1)
        significant = bool(together.significant[scale, explanation.target][planted].any())
    outcome = Found(explanation.attributions[explanation.target], pairs)
    return Outcome(outcome, (explanation.audio_passes, explanation.lyrics_passes), significant)


def run_paper(case: Case, game: Oracle, budget: int, seed: int) -> Outcome:
    """MusicLIME's procedure: each word gets what its type got, and only what is positive counts."""
    settings = {**PAPER, "n_samples": budget - 2, "units": "line" if case.units == "line" else "type"}
    explanation = explain(case.model, case.track, target=case.target, seed=seed, **settings)
    owner = {span: column for column, item in enumerate(explanation.components.items) for span in item.spans}
    items = case.components.items
    columns = [owner[item.spans[0]] if item.spans else column for column, item in enumerate(items)]
    return Outcome(
        Found(explanation.attributions[explanation.target][columns].clamp_min(0)),
        (explanation.audio_passes, explanation.lyrics_passes),
    )


def run_peer(method: Callable[[Oracle, int, int], Found], case: Case, game: Oracle, budget: int, seed: int) -> Outcome:
    """A peer's method. SHAP refuses a budget below one whole permutation before it runs the model."""
    game.asked.clear()
    try:
        result = method(game, budget, seed)
    except ValueError:
        if game.asked:
            raise
        result = None
    return Outcome(result, (sum(game.asked), sum(game.asked)))


METHODS = ("musiclime_torch", "musiclime_paper", *peers.PEERS, "random")


def run_all(case: Case, game: Oracle, budget: int, seed: int) -> dict[str, Outcome]:
    """All methods except random attributions."""
    outcomes = {
        "musiclime_torch": run_ours(case, game, budget, seed),
        "musiclime_paper": run_paper(case, game, budget, seed),
        **{name: run_peer(method, case, game, budget, seed) for name, method in peers.PEERS.items()},
    }
    if case.kind == "both":
        sought = run_peer(peers.run_shapiq_pairs, case, game, budget, seed)
        single = outcomes["shapiq"]
        assert single.result is not None, "shapiq accepts every budget used here"
        assert sought.result is not None, "shapiq also gives interactions"
        assert max(sought.passes) <= budget, "shapiq's interactions exceeded the budget"
        outcomes["shapiq"] = replace(single, result=replace(single.result, pairs=sought.result.pairs))
    for name, outcome in outcomes.items():
        assert max(outcome.passes) <= budget, f"{name} took {outcome.passes} passes of a budget of {budget}"
    return outcomes
