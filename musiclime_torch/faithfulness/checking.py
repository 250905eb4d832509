"""check(): every measure of one explanation. The model runs one stack of masks per measure, in batches on its device."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from musiclime_torch.basics.errors import InputError
from musiclime_torch.basics.progress import Stages, open_stages
from musiclime_torch.explanation.answers import Answers
from musiclime_torch.explanation.estimation.loop import expect_passes
from musiclime_torch.explanation.evidence import makes_decision
from musiclime_torch.explanation.explanation import Explanation
from musiclime_torch.explanation.settings import Settings
from musiclime_torch.faithfulness.deletion import (
    Curves,
    Erasure,
    Flips,
    count_top,
    measure_curves,
    measure_erasure,
    measure_fidelity,
    measure_flips,
    measure_infidelity,
)
from musiclime_torch.faithfulness.question import Question, asking, recall
from musiclime_torch.faithfulness.stability import (
    Deal,
    Figure,
    Randomisation,
    Stability,
    beside_chance,
    climb,
    count_steps,
    deal,
    measure_randomisation,
    measure_stability,
)
from musiclime_torch.song.track import Track
from musiclime_torch.surrogate.sampling import PAPER_WIDTH, SEED_END, weigh_by_proximity
from musiclime_torch.variants.asking import run_checked
from musiclime_torch.variants.probe import Probe
from musiclime_torch.variants.scale import Scale, list_spaces, to_values

#: Random attributions to compare with, further seeds, held-out masks, points of a curve.
CHANCES, SEEDS, HELD_OUT, POINTS = 10, 3, 256, 33


@dataclass(frozen=True)
class Check:
    """All measures of one song's attributions to one class.

    Curves and erasure are on the scale `space` (a probability, where outputs have one), as in publications; fidelity and
    infidelity are on the explanation's scale, `fitted_space`. `flips` is None for outputs that make no decision;
    `fidelity_fitted`, `stability` and `randomisation` are None for attributions from elsewhere, or where they were left out.
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
    baseline: Track | Mapping[str, Any] | None = None,
    chances: int = CHANCES,
    seeds: int = SEEDS,
    shuffled: Sequence[float] = (1.0,),
    held_out: int = HELD_OUT,
    device: torch.device | str | None = None,
    answers: Answers | None = None,
    progress: bool | Stages = False,
) -> Check:
    """How faithful an explanation's attributions to its target are, compared with random attributions of the same sizes.

    Args:
        model: the model that was explained.
        track: the song.
        explanation: of this model and song. It fixes class, components, baselines and scale.
        attributions: other attributions to the same components, from Captum, SHAP or elsewhere, to be checked in place of
            the explanation's. Those of another model can be checked on this one too, once this one was explained.
        baseline: the song whose stems replaced removed ones, or the mapping with takes, if one was used.
        chances: number of random attributions to compare with, at least 2.
        seeds: explanations under other seeds, for stability; 0 leaves it out.
        shuffled: shares of the model's weight tensors, from its output down, to shuffle before it is explained again: (1.0,)
            all at once, (0.25, 0.5, 1.0) in a cascade, () not at all.
        held_out: number of masks for fidelity and infidelity, independent of those of the explanation.
        device: as `explain` takes it.
        answers: those that the explanation was made with, so that none of them is asked again.
        progress: show a bar for each stage on standard error, if that is a terminal.

    Raises:
        InputError: anything that can't be checked, in one sentence; by their hashes also an explanation of another model,
            song or lyrics.
    """
    # Everything that can be refused is, before the model is asked: a check takes several explanations' time.
    _check_numbers(chances, seeds, shuffled, held_out)
    question = recall(model, track, explanation, baseline, device)
    # Noise is held as a song of its own while it is checked: to the answers, another baseline.
    drawn = "noise" in explanation.provenance["settings"]["baseline"]
    known = Answers() if answers is None or drawn else answers
    is_own = attributions is None
    values = explanation.attributions[explanation.target] if is_own else _read(attributions, len(explanation.components))
    with open_stages(progress) as stages:
        with asking(question, stages, known) as (probe, scale):
            columns = list(probe.seen)
            if not columns:
                raise InputError("the model can't notice any of this song's components: there is nothing to check.")
            masks = count_masks(len(columns), chances, held_out)
            stages.begin("removing and keeping components", expect_passes(probe, masks, masks), foretold=False)
            # Seeds next to the explanation's own: none of these draws may coincide with the masks it was fitted to.
            dealt = deal(values[columns], chances, question.settings.seed + 1)
            # Curves and drops are read in probabilities, where there are any: a logit moves on when a decision is long
            # settled.
            wide = scale.on("probability") if "probability" in list_spaces(scale.output_kind, len(scale.song)) else scale
            steps = sorted({*count_steps(len(columns), POINTS), *count_top(len(columns))})
            ladder = climb(probe, scale, dealt.orders, steps)
            decides = makes_decision(scale.output_kind, len(scale.song))
            flips = measure_flips(probe, scale, dealt) if decides else None
            fidelity, infidelity = _hold_out(probe, scale, dealt, question.settings, held_out)
        stability, randomisation = (
            _repeat(question, known, columns, dealt, seeds, shuffled, stages) if is_own else (None, None)
        )
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
        fidelity_fitted=float(explanation.fidelity[explanation.target]) if is_own else None,
        infidelity=infidelity,
        stability=stability,
        randomisation=randomisation,
    )


def count_masks(components: int, chances: int, held_out: int = HELD_OUT) -> int:
    """Masks that the measures of one explanation take, at most: those of further explanations come on top.

    >>> count_masks(20, 10)
    718
    """
    ladder = len({*count_steps(components, POINTS), *count_top(components)})
    return (1 + chances) * 2 * ladder + held_out


def _repeat(
    question: Question,
    answers: Answers,
    columns: Sequence[int],
    dealt: Deal,
    seeds: int,
    shuffled: Sequence[float],
    stages: Stages,
) -> tuple[Stability | None, Randomisation | None]:
    """The measures that need further explanations: under other seeds, and of the model with its weights shuffled."""
    original, chance, seed = dealt.attributions[0], dealt.attributions[1:], question.settings.seed
    # Seeds wrap around at the largest one.
    about, again = stages.about, []
    for step in range(seeds):
        stages.about = _join(about, f"seed {step + 2} of {seeds + 1}")
        again.append(question.explain_again(answers, stages, seed=(seed + 1 + step) % SEED_END))
    stages.about = _join(about, "weights shuffled")
    runs = torch.stack([original, *(run.attributions[run.target, list(columns)] for run in again)])
    randomisation = measure_randomisation(question, columns, original, chance, tuple(shuffled), seed, stages)
    stages.about = about
    if not again:
        return None, randomisation
    # Drawn separately: a largest change over several random attributions needs as many for each chance. Taken from `chance`
    # in turn, all chances would share the same ones where there are no more of them than seeds.
    several = deal(original, len(chance) * seeds, seed + 3).attributions[1:].unflatten(0, (len(chance), seeds))
    return measure_stability(runs, chance, several), randomisation


def _join(about: str, what: str) -> str:
    return f"{about}: {what}" if about else what


def _hold_out(probe: Probe, scale: Scale, dealt: Deal, settings: Settings, count: int) -> tuple[Figure, Figure]:
    """Fidelity and infidelity on masks with each component on with probability ½, under the explanation's kernel."""
    # Held-out masks: an R² on the masks that were fitted would reward a design with as many masks as components.
    generator = torch.Generator().manual_seed(settings.seed + 2)
    masks = torch.rand(count, len(probe.seen), generator=generator) < 0.5
    weights = _weigh(masks, len(probe.seen_audio), settings)
    values = to_values(scale, run_checked(probe, scale, masks))[:, scale.column].cpu()
    drops = to_values(scale, scale.song[None])[0, scale.column].cpu() - values
    return (
        beside_chance(measure_fidelity(dealt.attributions, masks, weights, values)),
        beside_chance(measure_infidelity(dealt.attributions, masks, drops)),
    )


def _weigh(masks: Bool[Tensor, "n d"], n_audio: int, settings: Settings) -> Float[Tensor, " n"]:
    """The row weights of the explanation's fit; with crossed masks, the product of the weights of both sides."""
    if settings.weights not in ("lime", "paper"):
        return torch.ones(len(masks))
    width = PAPER_WIDTH if settings.weights == "paper" else settings.kernel_width
    if settings.design == "crossed":
        return weigh_by_proximity(masks[:, :n_audio], width) * weigh_by_proximity(masks[:, n_audio:], width)
    return weigh_by_proximity(masks, width)


def _read(attributions: Any, components: int) -> Float[Tensor, " component"]:
    try:
        # Whoever made them: lists, arrays, and tensors with gradients or on a device.
        values = torch.as_tensor(attributions).detach().double().cpu()
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(
            f"attributions {str(attributions)[:40]} can't be read as numbers: give {components}, one per component.",
            argument="attributions",
        ) from error
    if values.shape != (components,):
        raise InputError(
            f"attributions of shape {tuple(values.shape)} don't fit: give {components}, one per component.",
            argument="attributions",
        )
    if not bool(torch.isfinite(values).all()):
        raise InputError("some attributions are NaN or infinite: give finite numbers.", argument="attributions")
    return values


def _check_numbers(chances: int, seeds: int, shuffled: Sequence[float], held_out: int) -> None:
    if chances < 2:
        raise InputError(f"chances must be at least 2, got {chances}.", argument="chances")
    if seeds < 0:
        raise InputError(f"seeds must be at least 0, got {seeds}.", argument="seeds")
    if held_out < 2:
        raise InputError(f"held_out must be at least 2, got {held_out}.", argument="held_out")
    strange = next((share for share in shuffled if not 0 < share <= 1), None)
    if strange is not None:
        raise InputError(f"shuffled must be shares above 0 and at most 1, got {strange:g}.", argument="shuffled")
