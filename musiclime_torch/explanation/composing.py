"""The result put together: an estimate of the columns that the model can notice becomes an explanation of all components."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from musiclime_torch.explanation.estimation.loop import Estimate
from musiclime_torch.explanation.evidence import Evidence
from musiclime_torch.explanation.explanation import Explanation
from musiclime_torch.explanation.interactions import Interactions
from musiclime_torch.models.subject import Subject
from musiclime_torch.song.track import Track
from musiclime_torch.surrogate.intervals import share_risk
from musiclime_torch.variants.components import Components
from musiclime_torch.variants.probe import Probe
from musiclime_torch.variants.scale import Scale

#: In place of infinitely many degrees of freedom, which JSON doesn't have.
MOST_FREEDOM = 1e9


def compose(
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
    """The estimate with names, and zeros for the components that the model can't notice."""
    # A foil adds a class, "target rather than foil", as the last row: that is the one to show.
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
        interactions=_gather_interactions(estimate, scale, probe.seen, confidence),
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


def collect_warnings(track: Track) -> tuple[str, ...]:
    """What reading the song and its lyrics warned of, and that it is silent."""
    warnings = list(track.warnings) + list(track.lyrics.warnings if track.lyrics else ())
    if not track.stems.any():
        warnings.append("the song is silent: its sound can't be explained, and its components get zero.")
    return tuple(warnings)


def tell_of_no_lyrics(subject: Subject, track: Track) -> tuple[str, ...]:
    """A note where the model reads lyrics and the song has none; or where one that is asked about a song doesn't hear it."""
    if subject.modalities == ("lyrics",) and track.lyrics is not None and hasattr(subject.model, "asked"):
        return (f"{subject.name} doesn't hear: the lyrics alone are explained.",)
    if "lyrics" not in subject.modalities or track.lyrics is not None:
        return ()
    if "audio" in subject.modalities:
        return (f"no lyrics were found: {subject.name} is given an empty text, and the sound alone is explained.",)
    return (f"no lyrics were found, and {subject.name} reads nothing else: there is nothing to explain; give the lyrics.",)


def _gather_interactions(estimate: Estimate, scale: Scale, seen: tuple[int, ...], confidence: float) -> Interactions | None:
    """Pairs and shares of the variance in every space they were solved in; None where the masks gave no pairs."""
    if not estimate.pairs:
        return None
    pairs, parts = list(estimate.pairs.values()), list(estimate.parts.values())
    classes = tuple(range(len(scale.classes))) if scale.kept is None else scale.kept
    no_parts = torch.zeros(0, len(classes), 3, dtype=torch.float64)
    return Interactions(
        spaces=tuple(estimate.pairs),
        classes=classes,
        risk=share_risk(confidence, estimate.looks),
        part_freedom=min(float(parts[0].freedom[0, 0]), MOST_FREEDOM) if parts else 1.0,
        columns=torch.tensor(seen)[pairs[0].columns.cpu()],
        values=torch.stack([pair.coefficients.values for pair in pairs]).cpu(),
        standard_errors=torch.stack([pair.coefficients.errors for pair in pairs]).cpu(),
        degrees_of_freedom=torch.stack([pair.coefficients.freedom for pair in pairs]).cpu(),
        explained=torch.stack([pair.explained for pair in pairs]).cpu(),
        parts=torch.stack([part.values for part in parts]).cpu() if parts else no_parts,
        part_errors=torch.stack([part.errors for part in parts]).cpu() if parts else no_parts,
    )


def _spread(
    table: Float[Tensor, "class seen"], seen: tuple[int, ...], columns: int, other: float
) -> Float[Tensor, "class column"]:
    """All components' columns; those that the model can't notice get `other`."""
    full = torch.full((len(table), columns), other, dtype=torch.float64)
    full[:, list(seen)] = table.cpu()
    return full
