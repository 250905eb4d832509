"""explain(): the one composition of the pipeline, and the sole home of its defaults."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, SupportsIndex

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from musiclime_torch.basics.arguments import check_name, find_class
from musiclime_torch.basics.errors import InputError
from musiclime_torch.basics.progress import open_bar
from musiclime_torch.explanation.arguments import (
    check_baseline,
    check_lyrics_baseline,
    check_shapley,
    check_track,
    read_batch_size,
    read_confidence,
    read_counts,
    read_number,
    read_ridge,
    read_seed,
)
from musiclime_torch.explanation.estimation.crossed import estimate_crossed
from musiclime_torch.explanation.estimation.estimate import Estimate, estimate_nothing
from musiclime_torch.explanation.estimation.joint import estimate_joint
from musiclime_torch.explanation.estimation.shapley import estimate_shapley
from musiclime_torch.explanation.evidence import Evidence
from musiclime_torch.explanation.evidence_search import find_evidence
from musiclime_torch.explanation.explanation import Explanation
from musiclime_torch.explanation.interactions import Interactions
from musiclime_torch.explanation.provenance import record_provenance
from musiclime_torch.models.precision import Precision
from musiclime_torch.models.subject import Subject, describe_model
from musiclime_torch.song.track import Track
from musiclime_torch.surrogate.sampling import VALUES, DesignName, Sampling, WeightsName
from musiclime_torch.surrogate.stopping import Until, read_until
from musiclime_torch.variants.asking import ask
from musiclime_torch.variants.components import Components, Segments, Units, list_components, read_segments
from musiclime_torch.variants.probe import Probe, pick_device, probing
from musiclime_torch.variants.scale import Scale, Space, pick_space, settle_scale
from musiclime_torch.variants.sound import AudioBaseline
from musiclime_torch.variants.words import LyricsBaseline

#: Equal time segments, where the model doesn't say that they would be too short.
SEGMENTS = 10

#: MusicLIME's own settings (Sotirou et al. 2025 and its code): `explain(model, track, **PAPER)`. Its explanations show the
#: predicted class and positive attributions only; preparing the lyrics (lower case, no punctuation) is the model's part.
PAPER: Mapping[str, Any] = MappingProxyType(
    {
        "segments": 10,
        "units": "type",
        "design": "bernoulli+song",
        "n_samples": 5000,
        "weights": "paper",
        "ridge": 1.0,
        "space": "probability",
        "baseline": "silence",
        "lyrics_baseline": "gone",
    }
)


def explain(
    model: Callable[..., Any],
    track: Track,
    *,
    target: SupportsIndex | str | None = None,
    foil: SupportsIndex | str | None = None,
    segments: Segments | None = None,
    units: Units = "word",
    baseline: AudioBaseline = "silence",
    lyrics_baseline: LyricsBaseline | None = None,
    design: DesignName = "auto",
    n_samples: SupportsIndex | tuple[SupportsIndex, SupportsIndex] = 2048,
    until: str | None = None,
    weights: WeightsName = "uniform",
    kernel_width: float = 0.25,
    ridge: float = 0.0,
    space: Space | None = None,
    confidence: float = 0.95,
    evidence: bool = False,
    seed: SupportsIndex = 0,
    batch_size: SupportsIndex = 64,
    precision: Precision = "float32",
    device: torch.device | str | None = None,
    sample_rate: int | None = None,
    classes: Sequence[str] | None = None,
    output_kind: str | None = None,
    modalities: Sequence[str] | None = None,
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
        confidence: of the intervals, of what is told from zero, and of stopping.
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
    check_track(track)
    check_baseline(baseline)
    check_lyrics_baseline(lyrics_baseline)
    check_name(precision, Precision, "precision")
    subject = describe_model(model, sample_rate=sample_rate, classes=classes, output_kind=output_kind, modalities=modalities)
    if target is not None and subject.classes is not None:
        find_class(target, subject.classes)
    space = pick_space(space, subject.output_kind)
    n_samples, seed, batch_size = read_counts(n_samples), read_seed(seed), read_batch_size(batch_size)
    confidence, ridge = read_confidence(confidence), read_ridge(ridge)
    kernel_width = read_number(kernel_width, "kernel_width")
    sampling = Sampling(design, weights, kernel_width, n_samples, seed)
    wanted = None if until is None else read_until(until)
    if weights == "shapley":
        check_shapley(sampling, ridge, until)
    where = pick_device(subject, device)
    segments = _pick_segments(subject, track) if segments is None else read_segments(segments)
    components = list_components(track, segments, units, subject.modalities)
    with (
        open_bar(sampling.total + 2, unit="mask", shown=progress) as bar,
        probing(
            subject, track, components, baseline, lyrics_baseline, seed, where, batch_size, precision, bar.update
        ) as probe,
    ):
        ends, told = _ask_ends(probe)
        scale = settle_scale(subject, ends, space, target, foil)
        estimate = _estimate(probe, scale, ends, sampling, ridge, wanted, confidence)
        check_rank(estimate.dependent, components, probe.seen, ridge)
        found = find_evidence(probe, scale, estimate.coefficients.values[scale.column]) if evidence else None
    settings = {
        "segments": segments,
        "units": units,
        "baseline": baseline.title if isinstance(baseline, Track) else baseline,
        "lyrics_baseline": probe.sources.lyrics_baseline,
        "design": design,
        "n_samples": n_samples,
        "until": until,
        "weights": weights,
        "kernel_width": kernel_width,
        "ridge": ridge,
        "batch_size": batch_size,
        "precision": precision,
        "seed": seed,
        "target": scale.target,
        "foil": scale.foil,
        "sample_rate": sample_rate,
        "classes": None if classes is None else list(classes),
        "output_kind": output_kind,
        "modalities": None if modalities is None else list(modalities),
    }
    warnings = _collect_warnings(track) + told + estimate.notes + probe.room.describe()
    provenance = record_provenance(subject, track, baseline, settings, where)
    return _compose(components, probe, scale, estimate, found, VALUES[weights], confidence, warnings, provenance)


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
        interactions=_gather_interactions(estimate, components, scale.classes, target, probe.seen, confidence),
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
    masks = torch.tensor([[True], [False]]).expand(2, len(probe.seen))
    ends = ask(probe, masks)
    if probe.precision == "float32":
        return ends, ()
    if not probe.subject.late_fusion:
        return ends, (f"{probe.subject.name} has no encoders apart from its head: all of it ran in float32.",)
    exact = ask(replace(probe, precision="float32"), masks)
    moved, span = (ends - exact).abs().amax(), (exact[0] - exact[1]).abs().amax()
    return ends, (
        f"encoders in bfloat16 move the outputs by up to {float(moved):.2g}, where song and empty song lie up to "
        f"{float(span):.2g} apart.",
    )


def _estimate(
    probe: Probe,
    scale: Scale,
    ends: Float[Tensor, "2 class"],
    sampling: Sampling,
    ridge: float,
    until: Until | None,
    confidence: float,
) -> Estimate:
    """Crossed masks where the model and the settings allow them, else joint ones."""
    subject, sides = probe.subject, (probe.heard, len(probe.seen) - probe.heard)
    able = subject.late_fusion and all(sides)
    if not probe.seen:
        return estimate_nothing(probe, scale, ends)
    if sampling.design == "crossed" and not able:
        missing = "encode_audio, encode_text and fuse" if not subject.late_fusion else "components on both sides"
        raise InputError(f"a crossed design needs {missing}, which {subject.name} lacks here: use design joint.")
    if sampling.weights == "shapley":
        return estimate_shapley(probe, scale, ends, sampling, able and sampling.design != "joint")
    if sampling.design == "crossed" and (ridge or sampling.weights == "paper"):
        what = "a ridge penalty" if ridge else "MusicLIME's kernel"
        raise InputError(f"a crossed design is solved without {what}: use design joint.")
    if sampling.design == "crossed" or (sampling.design == "auto" and able and sampling.weights == "uniform" and not ridge):
        return estimate_crossed(probe, scale, ends, sampling, until, confidence)
    estimate = estimate_joint(probe, scale, ends, sampling, ridge, until, confidence)
    if sampling.design != "auto" or not able:
        return estimate
    # A kernel on the distance of both sides together doesn't split into one for each, and nor does a penalty.
    what = "a ridge penalty is solved" if ridge else f"{sampling.weights} weights are solved"
    note = f"{what} on joint masks, though {subject.name} encodes sound and lyrics apart: uniform weights would cross them."
    return replace(estimate, notes=(*estimate.notes, note))


def _gather_interactions(
    estimate: Estimate,
    components: Components,
    classes: tuple[str, ...],
    target: int,
    seen: tuple[int, ...],
    confidence: float,
) -> Interactions | None:
    if not estimate.pairs:
        return None
    pairs, parts = list(estimate.pairs.values()), list(estimate.parts.values())
    nothing = torch.zeros(0, len(classes), 3, dtype=torch.float64)
    return Interactions(
        components=components,
        classes=classes,
        target=target,
        spaces=tuple(estimate.pairs),
        rate=(1 - confidence) / estimate.looks,
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
