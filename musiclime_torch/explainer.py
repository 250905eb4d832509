"""explain(): the one composition of the pipeline, and the sole home of its defaults."""

import sys
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor
from tqdm import tqdm

from musiclime_torch.baselines import AudioBaseline, LyricsBaseline
from musiclime_torch.checks import check_outputs, check_rank
from musiclime_torch.components import Segments, Units, list_components
from musiclime_torch.design import Design
from musiclime_torch.devices import find_device
from musiclime_torch.evaluation import evaluate
from musiclime_torch.explanation import Explanation, find_class
from musiclime_torch.failures import InputError
from musiclime_torch.models.care import evaluating, keeping_random_states
from musiclime_torch.models.subject import Subject, describe_model
from musiclime_torch.provenance import record_provenance
from musiclime_torch.sampling import VALUES, DesignName, WeightsName, draw_design
from musiclime_torch.solver import solve
from musiclime_torch.sources import prepare_sources
from musiclime_torch.spaces import Space, pick_space, to_space
from musiclime_torch.track import Track

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
    target: int | str | None = None,
    segments: Segments = 10,
    units: Units = "word",
    baseline: AudioBaseline = "silence",
    lyrics_baseline: LyricsBaseline | None = None,
    design: DesignName = "foldover",
    n_samples: int = 2048,
    weights: WeightsName = "uniform",
    kernel_width: float = 0.25,
    ridge: float = 0.0,
    space: Space | None = None,
    confidence: float = 0.95,
    seed: int = 0,
    batch_size: int = 64,
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
        segments: number of equal time segments, "3s" for a length, or cut points in seconds.
        units: what of the lyrics is switched: "word", "type", "line" or "section".
        baseline: what a removed stem becomes: "silence", "noise" or another track's stem.
        lyrics_baseline: what a removed word's tokens become: "mask", "zero", "pad" or "gone"; None takes the mask token
            where the model has one.
        design: "foldover" (Hadamard blocks; `n_samples` is rounded up to whole ones), "bernoulli", "bernoulli+song".
        n_samples: number of masks.
        weights: "uniform" (Banzhaf values), "lime" or "paper" (MusicLIME's).
        kernel_width: of LIME's kernel, on distances in [0, 1].
        ridge: penalty on squared slopes.
        space: "logit", "log-odds", "probability" or "raw"; None takes the outputs' own scale.
        confidence: of the intervals.
        seed: of the masks and of noise; no global random state is read or moved.
        batch_size: variants a forward pass.
        device: where masks, mixing and solving happen: the model's own device for None.
        sample_rate: Hz the model hears at. This and the next three go before the model's own declarations.
        classes: names of its outputs.
        output_kind: "logits", "multilabel", "probabilities", "regression" or "embedding".
        modalities: what it takes: ("audio", "lyrics"), ("audio",) or ("lyrics",).
        progress: show a bar on standard error, if that is a terminal.

    Raises:
        InputError: with one sentence, for anything that can't be explained.
    """
    subject = describe_model(model, sample_rate=sample_rate, classes=classes, output_kind=output_kind, modalities=modalities)
    if target is not None and subject.classes is not None:
        find_class(target, subject.classes)
    space = pick_space(space, subject.output_kind)
    _check_numbers(confidence, batch_size, ridge, seed)
    where = _pick_device(subject, device)
    components = list_components(track, segments, units, subject.modalities)
    with keeping_random_states(), evaluating(subject.module):
        sources = prepare_sources(subject, track, components, baseline, lyrics_baseline, seed, where)
        seen = [column for column in range(len(components)) if column not in sources.unseen]
        drawn = draw_design(design, len(seen), n_samples, seed, weights, kernel_width)
        # Everything is sent before the first forward: a copy made later would wait for all that is queued.
        here = drawn.to(where)
        with tqdm(total=drawn.n_samples + 2, unit="variant", disable=None if progress else True, file=sys.stderr) as bar:
            masks = _spread_masks(drawn.masks, seen, len(components))
            outputs = evaluate(subject, sources, masks, where, batch_size, bar.update)
        values = to_space(outputs, subject.output_kind, space, outputs[0])
        fit = solve(here, values[2:], ridge)
    settings = {
        "segments": segments if isinstance(segments, int | str) else list(segments),
        "units": units,
        "baseline": baseline.title if isinstance(baseline, Track) else baseline,
        "lyrics_baseline": sources.lyrics_baseline,
        "design": design,
        "n_samples": n_samples,
        "weights": weights,
        "kernel_width": kernel_width,
        "ridge": ridge,
        "batch_size": batch_size,
        "seed": seed,
    }
    names = _name_classes(subject, values.shape[1])
    check_outputs(values, names, subject.name)
    check_rank(fit, components, seen, ridge)

    attributions = torch.zeros(len(names), len(components), dtype=torch.float64)
    errors = torch.zeros_like(attributions)
    attributions[:, seen] = fit.coefficients.T.cpu()
    errors[:, seen] = fit.standard_errors.T.cpu()
    song = values[0].cpu()
    return Explanation(
        components=components,
        classes=names,
        target=int(song.argmax()) if target is None else find_class(target, names),
        value=VALUES[weights],
        space=space,
        attributions=attributions,
        standard_errors=errors,
        intercept=fit.intercept.cpu(),
        fidelity=fit.fidelity.cpu(),
        output_song=song,
        output_empty=values[1].cpu(),
        n_samples=drawn.n_samples,
        degrees_of_freedom=fit.degrees_of_freedom,
        confidence=confidence,
        unseen=sources.unseen,
        warnings=_collect_warnings(track, drawn, n_samples, seen),
        provenance=record_provenance(subject, track, settings, where),
    )


def _check_numbers(confidence: float, batch_size: int, ridge: float, seed: int) -> None:
    if not 0 < confidence < 1:
        raise InputError(f"a confidence of {confidence} is not between 0 and 1.")
    if batch_size < 1:
        raise InputError(f"a batch of {batch_size} variants holds none: give 1 or more.")
    if not 0 <= ridge < float("inf"):
        raise InputError(f"a ridge penalty of {ridge} is not a number from 0 up.")
    if not 0 <= seed < 2**63:
        raise InputError(f"the seed {seed} is not between 0 and 2**63 - 1.")


def _pick_device(subject: Subject, asked: torch.device | str | None) -> torch.device:
    parameter = None if subject.module is None else next(subject.module.parameters(), None)
    if asked is None:
        return torch.device("cpu") if parameter is None else parameter.device
    device = find_device(asked)
    if parameter is not None and parameter.device != device:
        raise InputError(
            f"the model lies on {parameter.device}, not on {device}: move it there first (model.to({str(asked)!r}))."
        )
    return device


def _spread_masks(masks: Bool[Tensor, "n seen"], seen: list[int], columns: int) -> Bool[Tensor, "rows column"]:
    """The song, the empty song, then every mask; columns the model can't notice stay on."""
    rows = torch.ones(len(masks) + 2, columns, dtype=torch.bool)
    rows[1, seen] = False
    rows[2:, seen] = masks
    return rows


def _name_classes(subject: Subject, count: int) -> tuple[str, ...]:
    if subject.output_kind == "embedding":
        return ("similarity to the song",)
    if subject.classes is None:
        return tuple(f"output {column}" for column in range(count)) if count > 1 else ("output",)
    if len(subject.classes) != count:
        raise InputError(f"the model {subject.name} returned {count} outputs for {len(subject.classes)} class names.")
    return subject.classes


def _collect_warnings(track: Track, design: Design, asked: int, seen: list[int]) -> tuple[str, ...]:
    warnings = list(track.warnings) + list(track.lyrics.warnings if track.lyrics else ())
    if not track.stems.any():
        warnings.append("the song is silent: nothing in its sound can be explained, and its components get zero.")
    if seen and asked < design.block:
        warnings.append(
            f"{asked} masks are fewer than one block for {len(seen)} components: rounded up to {design.n_samples}."
        )
    return tuple(warnings)
