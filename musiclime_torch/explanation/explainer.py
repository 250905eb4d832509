"""explain(): the one composition of the pipeline."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, SupportsIndex

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from musiclime_torch.basics.arguments import Segments, find_class
from musiclime_torch.basics.choices import DesignName, LyricsBaseline, Precision, Space, StandIn, Units, WeightsName
from musiclime_torch.basics.errors import InputError
from musiclime_torch.basics.progress import open_bar
from musiclime_torch.explanation.estimation.crossed import estimate_crossed
from musiclime_torch.explanation.estimation.estimate import Estimate, estimate_nothing
from musiclime_torch.explanation.estimation.joint import estimate_joint
from musiclime_torch.explanation.estimation.shapley import estimate_shapley
from musiclime_torch.explanation.evidence import Evidence
from musiclime_torch.explanation.evidence_search import find_evidence
from musiclime_torch.explanation.explanation import Explanation
from musiclime_torch.explanation.interactions import Interactions
from musiclime_torch.explanation.planning import Plan, plan_sampling
from musiclime_torch.explanation.provenance import record_provenance
from musiclime_torch.explanation.settings import SETTINGS, Settings, read_settings
from musiclime_torch.models.subject import Subject, describe_model
from musiclime_torch.song.track import Track
from musiclime_torch.surrogate.design import mask_ends
from musiclime_torch.surrogate.intervals import share_risk
from musiclime_torch.surrogate.sampling import VALUES
from musiclime_torch.variants.asking import run_joint
from musiclime_torch.variants.components import Components, list_components
from musiclime_torch.variants.probe import Probe, pick_device, probing
from musiclime_torch.variants.scale import Scale, pick_space, settle_scale

#: Equal time segments, where the model doesn't say that they would be too short.
SEGMENTS = 10


def explain(
    model: Callable[..., Any],
    track: Track,
    *,
    target: SupportsIndex | str | None = Settings.target,
    foil: SupportsIndex | str | None = Settings.foil,
    segments: Segments | None = Settings.segments,
    units: Units = Settings.units,
    baseline: StandIn | Track = Settings.baseline,
    lyrics_baseline: LyricsBaseline | None = Settings.lyrics_baseline,
    design: DesignName = Settings.design,
    n_samples: SupportsIndex | tuple[SupportsIndex, SupportsIndex] = Settings.n_samples,
    until: str | None = Settings.until,
    weights: WeightsName = Settings.weights,
    kernel_width: float = Settings.kernel_width,
    ridge: float = Settings.ridge,
    space: Space | None = Settings.space,
    confidence: float = Settings.confidence,
    evidence: bool = Settings.evidence,
    seed: SupportsIndex = Settings.seed,
    batch_size: SupportsIndex = Settings.batch_size,
    precision: Precision = Settings.precision,
    device: torch.device | str | None = Settings.device,
    sample_rate: int | None = Settings.sample_rate,
    classes: Sequence[str] | None = Settings.classes,
    output_kind: str | None = Settings.output_kind,
    modalities: Sequence[str] | None = Settings.modalities,
    progress: bool = False,
) -> Explanation:
    """Explain what a model makes of a track: every component's attribution to every class, with its standard error.

    Args:
        model: any callable `model(audio, text) -> (batch, class)`; see `musiclime_torch.models.contract` for what it may
            declare.
        track: the song, from `load_track` or made by hand.
        target: class the views show, by name or number; the predicted one for None. All classes are solved anyway.
        foil: another class: why the target and not this one, as one more class to look at.
        segments: number of equal time segments, "3s" for a length, or cut points in seconds; None makes ten, or fewer where
            they would be shorter than what the model says it can judge.
        units: what of the lyrics is switched: "word", "type", "line" or "section".
        baseline: what a removed stem becomes: "silence", "noise" or another track's stem.
        lyrics_baseline: what a removed word's tokens become: "mask", "zero", "pad" or "gone"; None takes the mask token
            where the model has one.
        design: "auto" crosses masks of the sound with masks of the lyrics where a model offers `encode_audio`,
            `encode_text` and `fuse` and the weights allow it, and draws joint masks otherwise. "crossed" and "joint" insist.
            Both draw fold-over blocks and may give complements up after a pilot; "foldover", "kerdock", "unfolded",
            "bernoulli" and "bernoulli+song" are joint designs of one kind.
        n_samples: number of masks, in whole blocks. A crossed design spends what n_samples / 2 joint masks would cost the
            model's encoders; (sound, lyrics) gives the masks of each side.
        until: stop before that budget is spent once "top 5" (the order of the 5 largest is settled) or "width 0.1" (every
            half interval is that narrow, in the units of `space`) holds for the target.
        weights: "uniform" (Banzhaf values), "shapley", "lime" or "paper" (MusicLIME's).
        kernel_width: of LIME's kernel, on distances in [0, 1].
        ridge: penalty on squared slopes, beside the weighted sum of squared errors: more masks, less of it.
        space: "logit", "log-odds", "probability" or "raw"; None takes the outputs' own scale.
        confidence: of the intervals, of what is significant, and of stopping.
        evidence: also search for components that alone keep the decision, and for components whose removal flips it.
        seed: of the masks and of noise; no global random state is read or moved.
        batch_size: variants a forward pass.
        precision: "bfloat16" for faster encoders, where a model has them apart; see `musiclime_torch.models.precision`. What
            it changes is among the warnings.
        device: where masks, mixing and solving happen: the model's own device for None.
        sample_rate: Hz the model hears at. This and the next three go before the model's own declarations.
        classes: names of its outputs.
        output_kind: "logits", "multilabel", "probabilities", "regression" or "embedding".
        modalities: what it takes: ("audio", "lyrics"), ("audio",) or ("lyrics",).
        progress: show a bar on standard error, if that is a terminal.

    Raises:
        InputError: with one sentence, for anything that can't be explained.
    """
    given = locals()  # the arguments, before anything else has a name here
    return explain_with(model, track, read_settings({name: given[name] for name in SETTINGS}), progress)


def explain_with(model: Callable[..., Any], track: Track, settings: Settings, progress: bool = False) -> Explanation:
    """`explain`, its arguments in one value: for those who keep them, pass them on, or ask twice."""
    _check_track(track)
    subject = describe_model(
        model,
        sample_rate=settings.sample_rate,
        classes=settings.classes,
        output_kind=settings.output_kind,
        modalities=settings.modalities,
    )
    if settings.target is not None and subject.classes is not None:
        find_class(settings.target, subject.classes)
    space = pick_space(settings.space, subject.output_kind)
    segments = _pick_segments(subject, track) if settings.segments is None else settings.segments
    components = list_components(track, segments, settings.units, subject.modalities)
    # Refused here, before anything is prepared; planned again once it is known which components the model can notice.
    plan_sampling(subject, (components.n_audio, len(components) - components.n_audio), settings)
    device = pick_device(subject, settings.device)
    with (
        open_bar(settings.total + 2, unit="mask", shown=progress) as bar,
        probing(
            subject,
            track,
            components,
            settings.baseline,
            settings.lyrics_baseline,
            settings.seed,
            device,
            settings.batch_size,
            settings.precision,
            bar.update,
        ) as probe,
    ):
        plan = plan_sampling(subject, (len(probe.seen_audio), len(probe.seen_lyrics)), settings)
        ends, warnings = _ask_ends(probe)
        scale = settle_scale(subject, ends, space, settings.target, settings.foil)
        estimate = _estimate(probe, scale, ends, plan, settings)
        check_rank(estimate.dependent, components, probe.seen, settings.ridge)
        attributions = estimate.coefficients.values[scale.column]
        evidence = find_evidence(probe, scale, attributions) if settings.evidence else None
    # What None came to mean for this model and song, so that the record says all of it.
    settled = replace(
        settings,
        target=scale.target,
        foil=scale.foil,
        segments=segments,
        space=space,
        lyrics_baseline=probe.sources.lyrics_baseline,
    )
    provenance = record_provenance(subject, track, settled, device)
    warnings = _collect_warnings(track) + warnings + estimate.notes + plan.notes + probe.room.describe()
    value = VALUES[settings.weights]
    return _compose(components, probe, scale, estimate, evidence, value, settings.confidence, warnings, provenance)


def _check_track(track: object) -> None:
    """InputError for what is no track, a path above all."""
    if isinstance(track, str | Path):
        raise InputError(f"the track is a path: give load_track({str(track)!r}).")
    if not isinstance(track, Track):
        raise InputError(f"expected a Track from load_track(path) or made by hand, got {track!r}.")


def _compose(
    components: Components,
    probe: Probe,
    scale: Scale,
    estimate: Estimate,
    evidence: Evidence | None,
    value: str,
    confidence: float,
    warnings: tuple[str, ...],
    provenance: dict[str, Any],
) -> Explanation:
    """The estimate with names, and rows for what the model can't notice."""
    target = scale.target if scale.foil is None else len(scale.classes) - 1
    return Explanation(
        components=components,
        classes=scale.classes,
        target=target,
        value=value,
        space=scale.space,
        attributions=_spread(estimate.coefficients.values, probe.seen, len(components), 0.0),
        standard_errors=_spread(estimate.coefficients.errors, probe.seen, len(components), 0.0),
        degrees_of_freedom=_spread(estimate.coefficients.freedom, probe.seen, len(components), float("inf")),
        intercept=estimate.intercept.cpu(),
        fidelity=estimate.fidelity.cpu(),
        output_song=estimate.ends[0].cpu(),
        output_empty=estimate.ends[1].cpu(),
        interactions=_gather_interactions(estimate, scale.classes, probe.seen, confidence),
        evidence=evidence,
        design=estimate.design,
        n_variants=estimate.n_variants,
        audio_passes=estimate.passes[0],
        lyrics_passes=estimate.passes[1],
        looks=estimate.looks,
        stopped=estimate.stopped,
        confidence=confidence,
        unseen=probe.sources.unseen,
        warnings=warnings,
        provenance=provenance,
    )


def _pick_segments(subject: Subject, track: Track) -> int:
    fitting = SEGMENTS if subject.shortest_seconds is None else int(track.seconds / subject.shortest_seconds + 1e-9)
    return max(min(SEGMENTS, fitting), 1)


def _ask_ends(probe: Probe) -> tuple[Float[Tensor, "2 class"], tuple[str, ...]]:
    """Outputs for the song and the empty song, and what a lower precision does to them."""
    masks = mask_ends(len(probe.seen))
    ends = run_joint(probe, masks)
    if probe.precision == "float32":
        return ends, ()
    if not probe.subject.late_fusion:
        return ends, (f"{probe.subject.name} has no encoders apart from its head: all of it ran in float32.",)
    exact = run_joint(replace(probe, precision="float32"), masks)
    moved, span = (ends - exact).abs().amax(), (exact[0] - exact[1]).abs().amax()
    return ends, (
        f"encoders in bfloat16 move the outputs by up to {float(moved):.2g}, where song and empty song lie up to "
        f"{float(span):.2g} apart.",
    )


def _estimate(probe: Probe, scale: Scale, ends: Float[Tensor, "2 class"], plan: Plan, settings: Settings) -> Estimate:
    if plan.kind == "nothing":
        return estimate_nothing(probe, scale, ends)
    if plan.kind in ("coalitions", "crossed coalitions"):
        return estimate_shapley(probe, scale, ends, plan.sampling, plan.kind == "crossed coalitions")
    if plan.kind == "crossed":
        return estimate_crossed(probe, scale, ends, plan.sampling, plan.until, settings.confidence)
    return estimate_joint(probe, scale, ends, plan.sampling, settings.ridge, plan.until, settings.confidence)


def _gather_interactions(
    estimate: Estimate, classes: tuple[str, ...], seen: tuple[int, ...], confidence: float
) -> Interactions | None:
    if not estimate.pairs:
        return None
    pairs, parts = list(estimate.pairs.values()), list(estimate.parts.values())
    nothing = torch.zeros(0, len(classes), 3, dtype=torch.float64)
    return Interactions(
        spaces=tuple(estimate.pairs),
        risk=share_risk(confidence, estimate.looks),
        part_freedom=float(parts[0].freedom[0, 0]) if parts else 1.0,
        columns=torch.tensor(seen)[pairs[0].columns.cpu()],
        values=torch.stack([pair.coefficients.values for pair in pairs]).cpu(),
        standard_errors=torch.stack([pair.coefficients.errors for pair in pairs]).cpu(),
        degrees_of_freedom=torch.stack([pair.coefficients.freedom for pair in pairs]).cpu(),
        explained=torch.stack([pair.explained for pair in pairs]).cpu(),
        parts=torch.stack([part.values for part in parts]).cpu() if parts else nothing,
        part_errors=torch.stack([part.errors for part in parts]).cpu() if parts else nothing,
    )


def _spread(
    table: Float[Tensor, "class seen"], seen: tuple[int, ...], columns: int, other: float
) -> Float[Tensor, "class column"]:
    """All components' columns; those the model can't notice get `other`."""
    full = torch.full((len(table), columns), other, dtype=torch.float64)
    full[:, list(seen)] = table.cpu()
    return full


def _collect_warnings(track: Track) -> tuple[str, ...]:
    warnings = list(track.warnings) + list(track.lyrics.warnings if track.lyrics else ())
    if not track.stems.any():
        warnings.append("the song is silent: nothing in its sound can be explained, and its components get zero.")
    return tuple(warnings)


def check_rank(dependent: Bool[Tensor, " d"], components: Components, seen: Sequence[int], ridge: float) -> None:
    """InputError that names a component whose mask column the others contain; a ridge penalty makes do with it."""
    found = dependent.nonzero().flatten().tolist()
    if found and ridge == 0:
        raise InputError(
            f"the masks can't tell {components.items[seen[found[0]]].name!r} from other components "
            f"({len(found)} of {len(seen)} columns): ask for more masks, or set a ridge penalty."
        )
