"""A model and a track made ready for it: the one value that every question to the model goes through."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import get_args

import torch

from musiclime_torch.basics.arguments import T
from musiclime_torch.basics.choices import LyricsBaseline, Precision
from musiclime_torch.basics.edits import GUESS, Edit, read_edit
from musiclime_torch.basics.errors import InputError
from musiclime_torch.basics.progress import Stages
from musiclime_torch.models.batches import Room
from musiclime_torch.models.care import evaluating, find_device, keeping_random_states
from musiclime_torch.models.subject import Subject
from musiclime_torch.song.track import Track
from musiclime_torch.variants.components import Components
from musiclime_torch.variants.local_maps import LocalMaps
from musiclime_torch.variants.renderings import LYRICS, Kept, find_renderings
from musiclime_torch.variants.sound import (
    AudioBaseline,
    Window,
    find_changes,
    find_unheard,
    fit_stems,
    gate_stems,
    make_stand_in,
    spread_baseline,
)
from musiclime_torch.variants.spectra import find_grid, gate_spectra, hears_spectra
from musiclime_torch.variants.swaps import swap_words
from musiclime_torch.variants.words import LyricGates, Swap, gate_lyrics, gate_swaps, list_unread

#: Why a lyric column is unseen.
UNREAD = "no token is its own: past the model's token limit, or one token with a neighbour"
#: Why a lyric column is unseen where words become others.
UNSWAPPED = "no other word takes its place: it stays as it is"


@dataclass(frozen=True)
class Sources:
    """What variants are rendered from. Masks have the audio's columns first, stem-major, then the lyrics'.

    `windows` is () for a model without audio and `lyrics` None for one without lyrics. `unseen` gives the columns that
    change nothing in what the model is given, with the reason. `lyrics_baseline` is the one picked if none was asked for.
    `swaps` are the other words of each lyric column, () where words don't become others.
    """

    windows: tuple[Window, ...]
    n_stems: int
    n_segments: int
    lyrics: LyricGates | None
    lyrics_baseline: str | None
    unseen: dict[int, str]
    swaps: tuple[tuple[Swap, ...], ...] = ()


def prepare_sources(
    subject: Subject,
    track: Track,
    components: Components,
    baseline: AudioBaseline,
    lyrics_baseline: str | None,
    seed: int,
    device: torch.device,
    stages: Stages | None = None,
) -> Sources:
    """Bring the track to the model's rate, channels and device; call inside `models.care.evaluating`.

    `stages` shows the guessing of other words.
    """
    windows, unheard = _prepare_sound(subject, track, components, baseline, seed, device)
    sides = (windows, components.n_stems, components.n_segments)
    if "lyrics" in subject.modalities and lyrics_baseline is not None and is_swap(lyrics_baseline):
        gates, swaps, kept = _prepare_swaps(subject, track, components, lyrics_baseline, device, stages or Stages())
        return Sources(*sides, gates, lyrics_baseline, unheard | kept, swaps)
    lyrics, picked, unread = _prepare_words(subject, track, components, lyrics_baseline, device)
    return Sources(*sides, lyrics, picked, unheard | unread)


def is_swap(lyrics_baseline: str) -> bool:
    """Whether words become other words."""
    return "=" in lyrics_baseline or lyrics_baseline.startswith(GUESS)


def _prepare_swaps(
    subject: Subject, track: Track, components: Components, asked: str, device: torch.device, stages: Stages
) -> tuple[LyricGates, tuple[tuple[Swap, ...], ...], dict[int, str]]:
    spans, n_audio = components.lyric_spans, components.n_audio
    if asked.startswith(GUESS) and track.lyrics is not None:
        stages.begin("guessing other words", len(track.lyrics.words), unit="words")
    swaps = swap_words(track.lyrics, spans, asked, device, stages.update)
    gates = gate_swaps(subject, "" if track.lyrics is None else track.lyrics.text, swaps, device)
    unread = {n_audio + column: UNREAD for column in list_unread(gates, len(spans))}
    kept = {n_audio + column: UNSWAPPED for column, parts in enumerate(swaps) if not parts}
    return gates, swaps, unread | kept


def _prepare_sound(
    subject: Subject, track: Track, components: Components, baseline: AudioBaseline, seed: int, device: torch.device
) -> tuple[tuple[Window, ...], dict[int, str]]:
    if "audio" not in subject.modalities:
        return (), {}
    # Resampled once, before mixing: a mix of resampled stems is the resampled mix, and stems are few where variants are
    # many.
    rate = subject.sample_rate
    assert rate is not None, "describe_model refuses a model that takes audio and has no rate"
    stems = fit_stems(track, rate, subject.channels)
    stand_in = make_stand_in(stems, track.stem_names, rate, baseline, seed, find_grid(subject))
    # Before anything goes to the device: what is unheard is decided on the host.
    unheard = find_unheard(stems, stand_in, components, rate)
    medians = find_medians(baseline, track.stem_names)
    if medians is not None and hears_spectra(subject):
        return gate_spectra(subject, stems.to(device), medians, components.edges, rate), unheard
    there = None if stand_in is None else stand_in.to(device)
    changes = find_changes(stems, stand_in)
    return gate_stems(stems.to(device), there, components.edges, rate, subject.max_seconds, changes), unheard


def describe_swaps(components: Components, sources: Sources) -> dict[str, str]:
    """What a lyric column becomes where its words become others, by the column's number as JSON takes it."""
    return {
        str(components.n_audio + column): " ".join(word for *_, word in parts)
        for column, parts in enumerate(sources.swaps)
        if parts
    }


def find_medians(baseline: AudioBaseline, names: tuple[str, ...]) -> list[Edit] | None:
    """The medians that stand in for each stem, None where anything else does."""
    if isinstance(baseline, Track):
        return None
    edits = [read_edit(other) if isinstance(other, str) else None for other in spread_baseline(baseline, names)]
    found = [edit for edit in edits if edit is not None and edit.kind == "median"]
    return found if len(found) == len(names) else None


def _prepare_words(
    subject: Subject, track: Track, components: Components, named: str | None, device: torch.device
) -> tuple[LyricGates | None, LyricsBaseline | None, dict[int, str]]:
    if "lyrics" not in subject.modalities:
        return None, None, {}
    asked = next((known for known in get_args(LyricsBaseline) if known == named), None)
    spans = components.lyric_spans
    lyrics, picked = gate_lyrics(subject, "" if track.lyrics is None else track.lyrics.text, spans, asked, device)
    unread = {components.n_audio + column: UNREAD for column in list_unread(lyrics, len(spans))}
    return lyrics, picked, unread


@dataclass(frozen=True)
class Probe:
    """A model and a track ready to be run, inside `models.care.evaluating`.

    Its masks hold only the `seen` of all `columns`; columns that the model can't notice stay on. `stages` shows the forward
    passes done. `precision` is that of encoders that run apart from their head. `room` remembers which batch sizes fitted
    into memory, `kept` what each window of a longer song was answered, `tally` the passes of each part of the model,
    `local` the tables that masks of the sound are looked up in.
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
    local: LocalMaps = field(default_factory=LocalMaps)

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

    @property
    def neighbourhoods(self) -> tuple[tuple[int, ...], ...]:
        """The stems of each segment, as places in a mask, in the order of time: what a sound's odd terms lie in."""
        # Words have none: products of three in a row held nothing of what the lyrics' main effects err by.
        segments: list[list[int]] = [[] for _ in range(self.sources.n_segments)]
        for place, column in enumerate(self.seen_audio):
            segments[column % self.sources.n_segments].append(place)
        return tuple(map(tuple, segments))

    @property
    def without_tables(self) -> "Probe":
        """The same, but every mask is run."""
        return replace(self, local=LocalMaps(closed=True))

    def count(self, part: str, batches: Iterator[tuple[slice, T]]) -> Iterator[tuple[slice, T]]:
        """The batches as they are, each counted as so many passes of a part of the model."""
        for rows, batch in batches:
            yield rows, batch
            self.tally[part] += rows.stop - rows.start
            self.stages.update(rows.stop - rows.start)


def edit_probe(probe: Probe, track: Track, components: Components, edit: AudioBaseline, seed: int) -> Probe:
    """The same model and song, with removed stems edited otherwise; its passes are counted with the first probe's."""
    windows, _ = _prepare_sound(probe.subject, track, components, edit, seed, probe.device)
    sources = replace(probe.sources, windows=windows)
    return replace(probe, sources=sources, kept=_carry_answers(probe, windows), local=LocalMaps())


def _carry_answers(probe: Probe, windows: tuple[Window, ...]) -> Kept:
    """What was answered and holds for any edit: windows of the song as it is, and the lyrics."""
    # A late-fusion model reads the lyrics once where answers are kept.
    kept, known = Kept(everything=probe.subject.late_fusion), probe.kept
    song = torch.ones(1, probe.columns, dtype=torch.bool)
    words = range(probe.n_audio, probe.columns) if probe.sources.lyrics is not None else ()
    for part, more in (("variants", words), ("encode_audio", ())):
        name = f"{part} in {probe.precision}"
        for number, (own, other) in enumerate(zip(probe.sources.windows, windows, strict=True)):
            here = find_renderings(number, [*own.columns, *more], song)
            if not known.find_missing(name, here):
                there = find_renderings(number, [*other.columns, *more], song)
                kept.add(name, there, [0], known.look_up(name, here).spread())
    for name, number in known.tables:
        if number == LYRICS:
            kept.tables[name, number] = known.tables[name, number]
            kept.places[name, number] = dict(known.places[name, number])
    return kept


@contextmanager
def probing(
    subject: Subject,
    track: Track,
    components: Components,
    baseline: AudioBaseline,
    lyrics_baseline: str | None,
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
        sources = prepare_sources(subject, track, components, baseline, lyrics_baseline, seed, device, stages)
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
