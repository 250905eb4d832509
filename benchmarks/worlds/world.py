"""A model on a song as two encoders and a fusion over masks: what the statistical benchmarks are measured on."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from benchmarks.tools.tuning import Tuning, tune
from musiclime_torch import Track, list_components
from musiclime_torch.models import describe_model
from musiclime_torch.variants import (
    Encoded,
    Probe,
    Scale,
    Units,
    encode_audio,
    encode_lyrics,
    fuse,
    prepare_sources,
    to_values,
)

CPU = torch.device("cpu")


AS_IS = Tuning(CPU)


#: Pairs fused at a time.
PAIRS = 2**18


@dataclass(frozen=True)
class World:
    """`hear` and `read` encode masks of d_audio and d_lyrics columns; `fuse` gives outputs of all pairs of encodings.

    `probe` is the model behind them and `track` its song, None where there is none. `neighbourhoods` are the columns of each
    segment of the sound, as `explain` hands them to its designs.
    """

    name: str
    d_audio: int
    d_lyrics: int
    classes: int
    kind: str
    hear: Callable[[Tensor], tuple[Tensor, ...]]
    read: Callable[[Tensor], Tensor]
    fuse: Callable[[tuple[Tensor, ...], Tensor], Tensor]
    probe: Probe | None = None
    track: Track | None = None
    neighbourhoods: tuple[tuple[int, ...], ...] = ()

    def scale(self, space: str) -> Scale:
        """All classes in a space."""
        return Scale(self.kind, space, torch.zeros(self.classes), tuple(map(str, range(self.classes))), 0, None)

    def cross(self, audio: Tensor, lyrics: Tensor, space: str) -> Tensor:
        """Values (class, N_a, N_t) of every pair of masks."""
        return self.spread(self.hear(audio), self.read(lyrics), space)

    def spread(self, encodings: tuple[Tensor, ...], texts: Tensor, space: str) -> Tensor:
        """Values of every pair of encodings, a tile at a time; on the CPU, wherever the model is."""
        step = max(PAIRS // len(texts), 1)
        tiles = [
            to_values(self.scale(space), self.fuse(tuple(sounds[start : start + step] for sounds in encodings), texts))
            for start in range(0, len(encodings[0]), step)
        ]
        return torch.cat(tiles).movedim(2, 0).cpu()

    def join(self, masks: Tensor, space: str) -> Tensor:
        """Values (n, class) of joint masks, on the CPU too: encoded row by row, fused row with row."""
        encodings, texts = self.hear(masks[:, : self.d_audio]), self.read(masks[:, self.d_audio :])
        # `fuse` gives all pairs, so rows are fused in small squares and the diagonals kept.
        squares = [
            self.fuse(tuple(sounds[start : start + 16] for sounds in encodings), texts[start : start + 16])
            for start in range(0, len(masks), 16)
        ]
        return to_values(self.scale(space), torch.cat([square.diagonal().T for square in squares])).cpu()


def make_probe(
    model: nn.Module,
    track: Track,
    units: Units = "word",
    tuning: Tuning = AS_IS,
    segments: int = 10,
    lyrics_baseline: str | None = None,
) -> Probe:
    """A model and a song, its segments and units of its lyrics: what `explain` asks, with ten segments at its defaults."""
    subject = describe_model(model, sample_rate=None, classes=None, output_kind=None, modalities=None)
    components = list_components(track, segments, units, subject.modalities)
    with torch.no_grad():
        sources = prepare_sources(subject, track, components, "silence", lyrics_baseline, 0, tuning.device)
    seen = components.seen(sources.unseen)
    return Probe(subject, sources, seen, len(components), tuning.device, tuning.rows, precision=tuning.precision)


def make_probed(
    name: str, model: nn.Module, track: Track, tuning: Tuning = AS_IS, lyrics_baseline: str | None = None
) -> World:
    """A late-fusion model and its song, with ten segments and words."""
    return ask_probe(name, make_probe(tune(model, tuning), track, tuning=tuning, lyrics_baseline=lyrics_baseline), track)


def ask_probe(name: str, probe: Probe, track: Track) -> World:
    """The late-fusion model and song of a probe."""
    subject = probe.subject
    assert subject.classes is not None

    def listen(masks: Tensor) -> tuple[Tensor, ...]:
        with torch.no_grad():
            return tuple(window.spread() for window in encode_audio(probe, masks))

    def look(masks: Tensor) -> Tensor:
        with torch.no_grad():
            return encode_lyrics(probe, masks).spread()

    def meet(encodings: tuple[Tensor, ...], texts: Tensor) -> Tensor:
        with torch.no_grad():
            return fuse(probe, tuple(map(Encoded, encodings)), Encoded(texts))

    count = len(subject.classes)
    sides = (len(probe.seen_audio), len(probe.seen_lyrics))
    return World(name, *sides, count, subject.output_kind, listen, look, meet, probe, track, probe.neighbourhoods)
