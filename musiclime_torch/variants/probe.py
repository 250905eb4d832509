"""What is asked, of which model, how: the one value that every question to it goes through."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch

from musiclime_torch.basics.errors import InputError
from musiclime_torch.models.batches import Room
from musiclime_torch.models.care import evaluating, keeping_random_states
from musiclime_torch.models.devices import find_device
from musiclime_torch.models.precision import Precision
from musiclime_torch.models.subject import Subject
from musiclime_torch.song.track import Track
from musiclime_torch.variants.components import Components
from musiclime_torch.variants.inputs import Sources, prepare_sources
from musiclime_torch.variants.sound import AudioBaseline
from musiclime_torch.variants.words import LyricsBaseline


@dataclass(frozen=True)
class Probe:
    """A model and a track ready to be asked, inside `models.care.evaluating`.

    Masks given to it hold the `seen` of all `columns` alone; columns the model can't notice stay on. `advance` is told
    of every batch done. `precision` is that of encoders that run apart from their head. `room` remembers what fitted.
    """

    subject: Subject
    sources: Sources
    seen: tuple[int, ...]
    columns: int
    device: torch.device
    batch_size: int
    advance: Callable[[int], object]
    precision: Precision = "float32"
    room: Room = field(default_factory=Room)

    @property
    def n_audio(self) -> int:
        """Number of the sound's columns, unseen ones too; the lyrics' come after them."""
        return self.sources.n_stems * self.sources.n_segments

    @property
    def heard(self) -> int:
        """How many of the seen columns are the sound's."""
        return sum(column < self.n_audio for column in self.seen)


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
