"""check(): every measure of one explanation. The model is asked one stack of masks a measure, in batches on its device."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from musiclime_torch.basics.errors import InputError
from musiclime_torch.basics.progress import open_bar
from musiclime_torch.explanation.evidence_search import DECIDING
from musiclime_torch.explanation.explanation import Explanation
from musiclime_torch.explanation.settings import Settings
from musiclime_torch.faithfulness.deletion import (
    Curves,
    Erasure,
    Flips,
    count_top,
    measure_curves,
    measure_erasure,
    measure_flips,
)
from musiclime_torch.faithfulness.fidelity import measure_fidelity, measure_infidelity
from musiclime_torch.faithfulness.ladder import Deal, Figure, beside_chance, climb, count_steps, deal
from musiclime_torch.faithfulness.question import Question, asking, recall
from musiclime_torch.faithfulness.stability import Randomisation, Stability, measure_randomisation, measure_stability
from musiclime_torch.song.track import Track
from musiclime_torch.surrogate.sampling import PAPER_WIDTH, SEED_END, weigh_by_proximity
from musiclime_torch.variants.asking import run_checked
from musiclime_torch.variants.probe import Probe
from musiclime_torch.variants.scale import Scale, list_spaces, to_values

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
            Those of another model are checked on this one so too, once this one was explained.
        baseline: the song whose stems stood in for removed ones, where it was one.
        chances: number of random attributions to compare with, 2 or more.
        seeds: explanations under other seeds, for stability; 0 leaves it out.
        shuffled: shares of the model's weight tensors, from its output down, to shuffle before it is explained again: (1.0,)
            all at once, (0.25, 0.5, 1.0) in a cascade, () not at all.
        held_out: masks for fidelity and infidelity, independent of those of the explanation.
        device: as `explain` takes it.
        progress: show a bar on standard error, if that is a terminal.

    Raises:
        InputError: with one sentence, for anything that can't be checked; an explanation of another model, song or lyrics,
            by their hashes, can't.
    """
    _check_numbers(chances, seeds, shuffled, held_out)
    question = recall(model, track, explanation, baseline, device)
    own = attributions is None
    values = explanation.attributions[explanation.target] if own else _read(attributions, len(explanation.components))
    with (
        open_bar(unit="variant", shown=progress) as bar,
        asking(question, bar.update) as (probe, scale),
    ):
        columns = list(probe.seen)
        if not columns:
            raise InputError("the model can notice none of this song's components: there is nothing to check.")
        dealt = deal(values[columns], chances, question.settings.seed + 1)
        wide = scale.on("probability") if "probability" in list_spaces(scale.output_kind, len(scale.song)) else scale
        ladder = climb(probe, scale, dealt.orders, sorted({*count_steps(len(columns), POINTS), *count_top(len(columns))}))
        flips = measure_flips(probe, scale, dealt) if scale.output_kind in DECIDING else None
        fidelity, infidelity = _hold_out(probe, scale, dealt, question.settings, held_out)
    stability, randomisation = _repeat(question, columns, dealt, seeds, shuffled) if own else (None, None)
    return Check(
        title=track.title,
        target=explanation.classes[explanation.target],
        space=wide.space,
        fitted_space=scale.space,
        components=len(columns),
        curves=measure_curves(ladder, wide),
        erasure=measure_erasure(ladder, wide),
        flips=flips,
        fidelity=fidelity,
        fidelity_fitted=float(explanation.fidelity[explanation.target]) if own else None,
        infidelity=infidelity,
        stability=stability,
        randomisation=randomisation,
    )


def _repeat(
    question: Question, columns: Sequence[int], dealt: Deal, seeds: int, shuffled: Sequence[float]
) -> tuple[Stability | None, Randomisation | None]:
    """The measures that more explanations give: under other seeds, and of the model with its weights shuffled."""
    own, chance, seed = dealt.attributions[0], dealt.attributions[1:], question.settings.seed
    # The last seed there is comes before the first.
    again = [question.explain_again(seed=(seed + 1 + step) % SEED_END) for step in range(seeds)]
    runs = torch.stack([own, *(run.attributions[run.target, list(columns)] for run in again)])
    randomisation = measure_randomisation(question, columns, own, chance, tuple(shuffled), seed)
    if not again:
        return None, randomisation
    # Draws of their own: taken from `chance` in turn, they would all be the same where there are no more than seeds.
    several = deal(own, len(chance) * seeds, seed + 3).attributions[1:].unflatten(0, (len(chance), seeds))
    return measure_stability(runs, chance, several), randomisation


def _hold_out(probe: Probe, scale: Scale, dealt: Deal, settings: Settings, count: int) -> tuple[Figure, Figure]:
    """Fidelity and infidelity on masks whose components are on or off by a fair coin, under the explanation's kernel."""
    generator = torch.Generator().manual_seed(settings.seed + 2)
    masks = torch.rand(count, len(probe.seen), generator=generator) < 0.5
    weights = _weigh(masks, len(probe.seen_audio), settings)
    values = to_values(scale, run_checked(probe, scale, masks))[:, scale.column].cpu()
    drops = to_values(scale, scale.song[None])[0, scale.column].cpu() - values
    return (
        beside_chance(measure_fidelity(dealt.attributions, masks, weights, values)),
        beside_chance(measure_infidelity(dealt.attributions, masks, drops)),
    )


def _weigh(masks: Bool[Tensor, "n d"], heard: int, settings: Settings) -> Float[Tensor, " n"]:
    """Row weights as the explanation was fitted under: with crossed masks those of the sound times those of the lyrics."""
    if settings.weights not in ("lime", "paper"):
        return torch.ones(len(masks))
    width = PAPER_WIDTH if settings.weights == "paper" else settings.kernel_width
    if settings.design == "crossed":
        return weigh_by_proximity(masks[:, :heard], width) * weigh_by_proximity(masks[:, heard:], width)
    return weigh_by_proximity(masks, width)


def _read(attributions: Any, components: int) -> Float[Tensor, " component"]:
    try:
        values = torch.as_tensor(attributions).detach().double().cpu()
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(
            f"attributions {str(attributions)[:40]} can't be read as numbers: give {components}, one a component."
        ) from error
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
