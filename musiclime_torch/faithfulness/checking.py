"""check(): every measure of one explanation. The model is asked one stack of masks a measure, in batches on its device."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

from musiclime_torch.designs.kernels import PAPER_WIDTH, weigh_by_proximity
from musiclime_torch.evaluation import Probe, ask
from musiclime_torch.evidence import DECIDING
from musiclime_torch.explanation import Explanation
from musiclime_torch.failures import InputError
from musiclime_torch.faithfulness.chance import Deal, Figure, beside_chance, deal
from musiclime_torch.faithfulness.curves import Curves, measure_curves
from musiclime_torch.faithfulness.erasure import Erasure, count_top, measure_erasure
from musiclime_torch.faithfulness.fidelity import measure_fidelity
from musiclime_torch.faithfulness.flips import Flips, measure_flips
from musiclime_torch.faithfulness.infidelity import measure_infidelity
from musiclime_torch.faithfulness.ladder import climb, count_steps
from musiclime_torch.faithfulness.question import Question, asking, recall
from musiclime_torch.faithfulness.randomisation import Randomisation, measure_randomisation
from musiclime_torch.faithfulness.stability import Stability, measure_stability
from musiclime_torch.spaces import Scale, list_spaces, to_values
from musiclime_torch.track import Track

#: Random attributions to compare with, seeds beside the explanation's own, masks it wasn't fitted to, points of a curve.
CHANCES, SEEDS, HELD_OUT, POINTS = 10, 3, 256, 33


@dataclass(frozen=True)
class Check:
    """All measures of one song's attributions to one class.

    Curves and erasure are on the scale `space` (a probability, where outputs offer one), as published figures are; fidelity
    and infidelity on the explanation's own, `fitted_space`. `flips` is None for outputs that decide nothing;
    `fidelity_fitted`, `stability` and `randomisation` are for attributions from elsewhere, or where they were left out.
    """

    title: str
    target: str
    space: str
    fitted_space: str
    components: int
    curves: Curves
    erasure: Erasure
    flips: Flips | None
    fidelity: Figure
    fidelity_fitted: float | None
    infidelity: Figure
    stability: Stability | None
    randomisation: Randomisation | None


def check(
    model: Callable[..., Any],
    track: Track,
    explanation: Explanation,
    *,
    attributions: Sequence[float] | Float[Tensor, " component"] | None = None,
    baseline: Track | None = None,
    chances: int = CHANCES,
    seeds: int = SEEDS,
    shuffled: Sequence[float] = (1.0,),
    held_out: int = HELD_OUT,
    device: torch.device | str | None = None,
    progress: bool = False,
) -> Check:
    """How faithful an explanation's attributions to its target are, beside random attributions of the same sizes.

    Args:
        model: the model that was explained.
        track: the song.
        explanation: of this model and song. It says what is asked: class, components, baselines, scale.
        attributions: others to the same components, from Captum, SHAP or anywhere, to be checked in the place of its own.
        baseline: the song whose stems stood in for removed ones, where it was one.
        chances: number of random attributions to compare with, 2 or more.
        seeds: explanations under other seeds, for stability; 0 leaves it out.
        shuffled: shares of the model's weight tensors, from its output down, to shuffle before it is explained again: (1.0,)
            all at once, (0.25, 0.5, 1.0) in a cascade, () not at all.
        held_out: masks for fidelity and infidelity, independent of those of the explanation.
        device: as `explain` takes it.
        progress: show a bar on standard error, if that is a terminal.

    Raises:
        InputError: with one sentence, for anything that can't be checked.
    """
    _check_numbers(chances, seeds, shuffled, held_out)
    question = recall(model, track, explanation, baseline, device)
    own = attributions is None
    values = explanation.attributions[explanation.target] if own else _read(attributions, len(explanation.components))
    seed = int(question.options["seed"])
    with (
        tqdm(unit="variant", disable=None if progress else True, file=sys.stderr) as bar,
        asking(question, bar.update) as (probe, scale),
    ):
        columns = list(probe.seen)
        if not columns:
            raise InputError("the model can notice none of this song's components: there is nothing to check.")
        dealt = deal(values[columns], chances, seed + 1)
        wide = scale.on("probability") if "probability" in list_spaces(scale.output_kind, len(scale.song)) else scale
        counts = {*count_steps(len(columns), POINTS), *count_top(len(columns))}
        ladder = climb(probe, dealt.orders, sorted(counts))
        curves, erasure = measure_curves(ladder, wide), measure_erasure(ladder, wide)
        flips = measure_flips(probe, scale, dealt) if scale.output_kind in DECIDING else None
        fidelity, infidelity = _hold_out(probe, scale, dealt, question, held_out)
    runs = [question.explain_again(seed=seed + 1 + step) for step in range(seeds if own else 0)]
    rows = torch.stack([values, *(run.attributions[run.target] for run in runs)])[:, columns]
    stages = tuple(shuffled) if own else ()
    return Check(
        title=track.title,
        target=explanation.classes[explanation.target],
        space=wide.space,
        fitted_space=scale.space,
        components=len(columns),
        curves=curves,
        erasure=erasure,
        flips=flips,
        fidelity=fidelity,
        fidelity_fitted=float(explanation.fidelity[explanation.target]) if own else None,
        infidelity=infidelity,
        stability=measure_stability(rows, dealt.attributions[1:]) if runs else None,
        randomisation=measure_randomisation(question, columns, rows[0], dealt.attributions[1:], stages, seed),
    )


def _hold_out(probe: Probe, scale: Scale, dealt: Deal, question: Question, count: int) -> tuple[Figure, Figure]:
    """Fidelity and infidelity on masks whose components are on or off by a fair coin, under the explanation's kernel."""
    options = question.options
    generator = torch.Generator().manual_seed(options["seed"] + 2)
    masks = torch.rand(count, len(probe.seen), generator=generator) < 0.5
    weights = torch.ones(count)
    if options["weights"] in ("lime", "paper"):
        width = PAPER_WIDTH if options["weights"] == "paper" else options["kernel_width"]
        weights = weigh_by_proximity(masks, width)
    values = to_values(scale, ask(probe, masks))[:, scale.column].cpu()
    drops = to_values(scale, scale.song[None])[0, scale.column].cpu() - values
    return (
        beside_chance(measure_fidelity(dealt.attributions, masks, weights, values)),
        beside_chance(measure_infidelity(dealt.attributions, masks, drops)),
    )


def _read(attributions: Any, components: int) -> Float[Tensor, " component"]:
    values = torch.as_tensor(attributions).detach().double().cpu()
    if values.shape != (components,):
        raise InputError(f"attributions of shape {tuple(values.shape)} don't fit: give {components}, one a component.")
    if not bool(torch.isfinite(values).all()):
        raise InputError("some attributions are NaN or infinite: give finite numbers.")
    return values


def _check_numbers(chances: int, seeds: int, shuffled: Sequence[float], held_out: int) -> None:
    if chances < 2:
        raise InputError(f"{chances} random attributions have no spread: give 2 or more.")
    if seeds < 0:
        raise InputError(f"{seeds} seeds are none: give 0 or more.")
    if held_out < 2:
        raise InputError(f"{held_out} masks have no variance to explain: give 2 or more.")
    strange = next((share for share in shuffled if not 0 < share <= 1), None)
    if strange is not None:
        raise InputError(f"a share of {strange:g} of the weights can't be shuffled: give numbers above 0, 1 at most.")
