"""A model and a track made ready to be asked, and its outputs put on the scale that is asked about.

`explain` and whatever checks an explanation go through here, so that both ask the very same question.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import SupportsIndex

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from musiclime_torch.basics.classes import find_class
from musiclime_torch.basics.errors import InputError
from musiclime_torch.models.care import evaluating, keeping_random_states
from musiclime_torch.models.devices import find_device
from musiclime_torch.models.precision import Precision
from musiclime_torch.models.subject import Subject
from musiclime_torch.song.track import Track
from musiclime_torch.variants.asking import Probe, ask, check_count
from musiclime_torch.variants.baselines import AudioBaseline, LyricsBaseline
from musiclime_torch.variants.checks import check_outputs
from musiclime_torch.variants.components import Components
from musiclime_torch.variants.inputs import prepare_sources
from musiclime_torch.variants.scale import Scale, Space, to_values


@contextmanager
def probing(
    subject: Subject,
    track: Track,
    components: Components,
    baseline: AudioBaseline,
    lyrics_baseline: LyricsBaseline | None,
    seed: int,
    device: torch.device,
    batch_size: int,
    precision: Precision,
    advance: Callable[[int], object],
) -> Iterator[Probe]:
    """A probe while the model is in eval mode; it gets its flags, and the process its random states, back afterwards."""
    with keeping_random_states(), evaluating(subject.module):
        sources = prepare_sources(subject, track, components, baseline, lyrics_baseline, seed, device)
        seen = tuple(column for column in range(len(components)) if column not in sources.unseen)
        yield Probe(subject, sources, seen, len(components), device, batch_size, advance, precision)


def settle_scale(
    subject: Subject,
    ends: Float[Tensor, "2 class"],
    space: Space,
    target: SupportsIndex | str | None,
    foil: SupportsIndex | str | None,
) -> Scale:
    """Names, target and foil, now that the number of outputs is known; `ends` are those of the song and the empty song."""
    names = _name_classes(subject, ends.shape[1])
    plain = Scale(subject.output_kind, space, ends[0], names, 0, None)
    values = to_values(plain, ends)
    check_outputs(values, names, subject.name)
    about = int(values[0].argmax()) if target is None else find_class(target, names)
    if foil is None:
        return replace(plain, target=about)
    other = find_class(foil, names)
    if other == about:
        raise InputError(f"the foil {names[other]!r} is the target itself: give another class.")
    return replace(plain, classes=(*names, f"{names[about]} rather than {names[other]}"), target=about, foil=other)


def ask_checked(probe: Probe, scale: Scale, masks: Bool[Tensor, "n seen"]) -> Float[Tensor, "n class"]:
    """Outputs for every mask; InputError where one of them is no number on the scale."""
    outputs = ask(probe, masks)
    check_count(probe.subject, len(scale.song), outputs.shape[1])
    # The song's own before them, twice, for the first rows are told as those of the song and the empty song.
    values = to_values(scale, torch.cat([scale.song.to(outputs).expand(2, -1), outputs]))
    check_outputs(values, scale.classes, probe.subject.name)
    return outputs


def pick_device(subject: Subject, asked: torch.device | str | None) -> torch.device:
    """The device asked for, the model's own for None; InputError where the model lies elsewhere."""
    parameter = None if subject.module is None else next(subject.module.parameters(), None)
    if asked is None:
        return torch.device("cpu") if parameter is None else parameter.device
    device = find_device(asked)
    if parameter is not None and parameter.device != device:
        raise InputError(
            f"the model lies on {parameter.device}, not on {device}: move it there first (model.to({str(asked)!r}))."
        )
    return device


def _name_classes(subject: Subject, count: int) -> tuple[str, ...]:
    if subject.output_kind == "embedding":
        return ("similarity to the song",)
    if subject.classes is None:
        return tuple(f"output {column}" for column in range(count)) if count > 1 else ("output",)
    if len(subject.classes) != count:
        raise InputError(f"the model {subject.name} returned {count} outputs for {len(subject.classes)} class names.")
    return subject.classes
