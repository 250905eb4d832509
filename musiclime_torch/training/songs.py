"""Songs of a manifest as a model learns from them: decoded when they are needed, cut to what the model takes.

A `Batch` is what a model learns from at one step, padded to one length. With component dropout a song's stems are
silenced for moments and its words masked, as explanations will do, and its label stays: variants are then inputs of a
kind the model has seen. Where a piece starts and what is dropped depend on the seed, the epoch and the song.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import pad

from musiclime_torch.basics.arguments import keep_bands
from musiclime_torch.models.contract import Tokens
from musiclime_torch.song.audio.recording import read_audio, resample
from musiclime_torch.song.lyrics.boilerplate import Cleaned, strip_boilerplate
from musiclime_torch.song.lyrics.files import read_lyrics
from musiclime_torch.song.lyrics.lyrics import Lyrics, parse_lyrics
from musiclime_torch.song.manifest import Entry
from musiclime_torch.song.track import fold_quiet, load_track
from musiclime_torch.variants.sound import gate_stems, mix, spread_windows
from musiclime_torch.variants.words import own_tokens

#: Equal segments in which dropout silences stems: the default of explanations.
SEGMENTS = 10


@dataclass(frozen=True)
class Batch:
    """Rows of sound and lyrics with their labels. `attended` is False for dropped words and padding; `known` marks the
    labels that are known. A model of one modality gets no frames, or no tokens, of the other.
    """

    audio: Float[Tensor, "row channel frame"]
    ids: Int[Tensor, "row token"]
    attended: Bool[Tensor, "row token"]
    labels: Float[Tensor, "row class"]
    known: Bool[Tensor, "row class"]


@runtime_checkable
class Songs(Protocol):
    """Songs to learn from: item `epoch * len(songs) + song` is the song as that epoch has it."""

    def __len__(self) -> int:
        """Number of songs."""
        ...

    def __getitem__(self, index: int) -> Batch:
        """One song, as one row or several."""
        ...


def join(batches: Sequence[Batch]) -> Batch:
    """All rows, padded with silence and with unattended tokens."""
    frames = max(batch.audio.shape[2] for batch in batches)
    tokens = max(batch.ids.shape[1] for batch in batches)
    return Batch(
        torch.cat([pad(batch.audio, (0, frames - batch.audio.shape[2])) for batch in batches]),
        torch.cat([pad(batch.ids, (0, tokens - batch.ids.shape[1])) for batch in batches]),
        torch.cat([pad(batch.attended, (0, tokens - batch.attended.shape[1])) for batch in batches]),
        torch.cat([batch.labels for batch in batches]),
        torch.cat([batch.known for batch in batches]),
    )


@dataclass(frozen=True)
class Reading:
    """Lyrics as the model's tokens; `owner` is the word of each token, or the number of words for tokens outside words."""

    tokens: Tokens
    owner: tuple[int, ...]
    words: int


class ManifestSongs:
    """`Songs` for `fit`. `separator` separates songs for component dropout, None for no dropout ("none": sound is one
    stem); `random` cuts pieces from anywhere, else from the middle.
    """

    def __init__(
        self,
        entries: Sequence[Entry],
        labels: Float[Tensor, "song class"],
        model: Any,
        *,
        seed: int,
        random: bool,
        separator: str | None,
        max_seconds: float,
        clean: bool,
    ) -> None:
        """Lyrics are read and tokenized here, sound is read on demand."""
        self.entries, self.labels, self.seed, self.random = tuple(entries), labels, seed, random
        self.separator, self.max_seconds = separator, max_seconds
        self.hears, self.reads = "audio" in model.modalities, "lyrics" in model.modalities
        self.rate: int = getattr(model, "sample_rate", 0)
        self.longest: float | None = getattr(model, "max_seconds", None)
        # Lyrics in the form that explanations use: without headers, lines and sections separated by line breaks.
        lyrics = [parse_lyrics(find_text(entry, clean).text if self.reads else "") for entry in self.entries]
        self.texts = [text.text for text in lyrics]
        self.readings = [_read(model, text) if self.reads else None for text in lyrics]

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, index: int) -> Batch:
        """The song as the epoch has it."""
        number = index % len(self.entries)
        # Seeded by the index, which holds the epoch: the same for any number of workers, and after a run is resumed.
        rng = np.random.default_rng([self.seed, index])
        rate = float(draw_rates(1, rng)[0]) if self.separator is not None else 0.0
        audio = self._hear(self.entries[number], rate, rng) if self.hears else torch.zeros(1, 1, 0)
        ids, attended = self._read(number, rate, rng)
        labels = self.labels[number][None]
        return Batch(audio, ids[None], attended[None], labels, torch.ones_like(labels, dtype=torch.bool))

    def _hear(self, entry: Entry, rate: float, rng: np.random.Generator) -> Float[Tensor, "1 1 frame"]:
        stems = load_stems(entry, self.rate, self.max_seconds, self.separator)
        frames = stems.shape[-1]
        length = frames if self.longest is None else min(frames, round(self.longest * self.rate))
        start = int(rng.integers(frames - length + 1)) if self.random else (frames - length) // 2
        stems = stems[:, :, start : start + length]
        if not rate:
            return stems.sum(0)[None]
        edges = tuple(length / self.rate * part / SEGMENTS for part in range(SEGMENTS + 1))
        kept = torch.from_numpy(rng.random((1, len(stems), SEGMENTS)) >= rate)
        return mix(gate_stems(stems, None, edges, self.rate, None)[0], kept)

    def _read(self, number: int, rate: float, rng: np.random.Generator) -> tuple[Int[Tensor, " t"], Bool[Tensor, " t"]]:
        reading = self.readings[number]
        if reading is None:
            return torch.zeros(0, dtype=torch.long), torch.zeros(0, dtype=torch.bool)
        ids, kept = reading.tokens.ids, rng.random(reading.words + 1) >= rate
        # The last entry stands for tokens outside words, which always stay.
        kept[-1] = True
        stays = torch.from_numpy(kept[list(reading.owner)])
        # As explanations do: the mask token where the model has one, else the word isn't attended to.
        if reading.tokens.mask_id is None:
            return ids, stays
        return torch.where(stays, ids, reading.tokens.mask_id), torch.ones_like(stays)


def _read(model: Any, lyrics: Lyrics) -> Reading:
    tokens = model.tokenize(lyrics.text)
    owner = own_tokens(tokens, [((word.start, word.end),) for word in lyrics.words])
    return Reading(tokens, tuple(owner), len(lyrics.words))


def draw_rates(rows: int, rng: np.random.Generator) -> np.ndarray:
    """Shares of components to drop, by row: 0 for a fifth of the rows, uniform up to two thirds for the others."""
    # Explanations keep half of the components on average, with a spread of √(d / 4): the rates cover that and the whole
    # song.
    return np.where(rng.random(rows) < 0.2, 0.0, rng.uniform(0, 0.65, rows))


def cut_windows(sound: Float[Tensor, "1 frame"], rate: int, longest: float | None) -> Float[Tensor, "window 1 piece"]:
    """The windows of a song that a model takes one by one, cut as explanations cut them."""
    frames = None if longest is None else round(longest * rate)
    return torch.stack([sound[:, start:end] for start, end in spread_windows(sound.shape[-1], frames)])


def find_text(entry: Entry, clean: bool) -> Cleaned:
    """The lyrics of an entry, without a site's additions where `clean` is set; "" where it has none."""
    if entry.lyrics is None:
        return Cleaned("")
    text = read_lyrics(entry.lyrics).text if isinstance(entry.lyrics, Path) else entry.lyrics
    return strip_boilerplate(text) if clean else Cleaned(text)


def load_stems(entry: Entry, rate: int, max_seconds: float, separator: str | None) -> Float[Tensor, "stem 1 frame"]:
    """An entry's sound at the model's rate, in mono: its stems, as explanations have them, where there are some or
    `separator` makes them.
    """
    if entry.stems is not None and separator is not None:
        track = fold_quiet(load_track(entry.stems, separator=keep_bands(separator), max_seconds=max_seconds))
        samples, own_rate = track.stems, track.sample_rate
    elif separator in (None, "none"):
        source = entry.audio if entry.audio is not None else entry.stems
        assert source is not None, "an audio model's song has audio"
        if source.is_dir():
            track = load_track(source, max_seconds=max_seconds)
            samples, own_rate = track.stems.sum(0)[None], track.sample_rate
        else:
            recording = read_audio(source, max_seconds=max_seconds)
            samples, own_rate = recording.samples[None], recording.sample_rate
    else:
        assert entry.audio is not None, "a separated song has audio"
        track = fold_quiet(load_track(entry.audio, separator=separator, max_seconds=max_seconds))
        samples, own_rate = track.stems, track.sample_rate
    return resample(samples.mean(1, keepdim=True), own_rate, rate)
