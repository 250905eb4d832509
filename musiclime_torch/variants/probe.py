"""A model and a track ready to be run: the one value that every question to the model goes through."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch

from musiclime_torch.basics.arguments import T
from musiclime_torch.basics.choices import LyricsBaseline, Precision
from musiclime_torch.basics.errors import InputError
from musiclime_torch.basics.progress import Stages
from musiclime_torch.models.batches import Room
from musiclime_torch.models.care import evaluating, keeping_random_states
from musiclime_torch.models.devices import find_device
from musiclime_torch.models.subject import Subject
from musiclime_torch.song.track import Track
from musiclime_torch.variants.components import Components
from musiclime_torch.variants.inputs import Sources, prepare_sources
from musiclime_torch.variants.renderings import Kept
from musiclime_torch.variants.sound import AudioBaseline


@dataclass(frozen=True)
class Probe:
    """A model and a track ready to be run, inside `models.care.evaluating`.

    Its masks hold only the `seen` of all `columns`; columns that the model can't notice stay on. `stages` shows the forward
    passes done. `precision` is that of encoders that run apart from their head. `room` remembers which batch sizes fitted
    into memory, `kept` what each window of a longer song was answered, `tally` the passes of each part of the model.
    """

    subject: Subject
    sources: Sources
    seen: tuple[int, ...]
    columns: int
    device: torch.device
    batch_size: int
    stages: Stages = field(default_factory=Stages)
    precision: Precision = "float32"
    room: Room = field(default_factory=Room)
    kept: Kept = field(default_factory=Kept)
    tally: Counter[str] = field(default_factory=Counter)

    @property
    def n_audio(self) -> int:
        """Number of audio columns, unseen ones too; the lyrics' columns come after them."""
        return self.sources.n_stems * self.sources.n_segments

    @property
    def seen_audio(self) -> tuple[int, ...]:
        """The seen columns of the audio. A mask has them first."""
        return tuple(column for column in self.seen if column < self.n_audio)

    @property
    def seen_lyrics(self) -> tuple[int, ...]:
        """The seen columns of the lyrics, numbered among all columns."""
        return tuple(column for column in self.seen if column >= self.n_audio)

    def count(self, part: str, batches: Iterator[tuple[slice, T]]) -> Iterator[tuple[slice, T]]:
        """The batches as they are, each counted as so many passes of a part of the model."""
        for rows, batch in batches:
            yield rows, batch
            self.tally[part] += rows.stop - rows.start
            self.stages.update(rows.stop - rows.start)


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
    stages: Stages,
    kept: Kept | None = None,
) -> Iterator[Probe]:
    """A probe while the model is in eval mode; then the model gets its flags back, and the process its random states.

    `kept` are answers of an earlier probe of the same model and song under the same settings.
    """
    with keeping_random_states(), evaluating(subject.module):
        sources = prepare_sources(subject, track, components, baseline, lyrics_baseline, seed, device)
        # Unseen columns never enter a design: they would cost masks, and get exactly zero without.
        seen = components.seen(sources.unseen)
        known = Kept() if kept is None else kept
        yield Probe(subject, sources, seen, len(components), device, batch_size, stages, precision, kept=known)


def pick_device(subject: Subject, asked: torch.device | str | None) -> torch.device:
    """The device asked for, the model's own for None; InputError if the model is on another one."""
    # Mixing and solving happen where the model is: moving somebody's model to another device isn't ours to do.
    parameter = None if subject.module is None else next(subject.module.parameters(), None)
    if asked is None:
        return torch.device("cpu") if parameter is None else parameter.device
    device = find_device(asked)
    if parameter is not None and parameter.device != device:
        raise InputError(
            f"the model is on {parameter.device}, not on {device}: move it there first (model.to({str(asked)!r})).",
            argument="device",
        )
    return device
