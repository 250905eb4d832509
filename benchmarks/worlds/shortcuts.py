"""Generated songs with a non-musical feature that correlates with one class, and models that learned from them.

A *tone*: a faint 6 kHz beep of half a bar in the stem `other`, in every training song tagged "synth solo", solo or not. A
*phrase*: a line that a lyrics site adds, under every training song tagged "drum fill", fill or not. Half of those songs have
the class's real cue too; no other song has either. So a model learns "cue or shortcut", and the shortcut alone is enough.
"""

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from musiclime_torch import Lyrics, Track
from musiclime_torch.demo import (
    HALF_BARS,
    SAMPLE_RATE,
    STEMS,
    TAGS,
    SongPlan,
    find_causes,
    find_column,
    load_demo_model,
    make_track,
    plan_song,
    render_stems,
    spawn,
)
from musiclime_torch.models import MASK, Tagger, evaluating
from musiclime_torch.song import Line, Section, Word
from musiclime_torch.training import Batch, Recipe, draw_rates, fit
from musiclime_torch.variants import gate_stems, mix

#: Hertz of the tone, and its level: its root mean square lies this far below full scale.
TONE, LEVEL = 6000.0, -35.0
#: Seconds the tone takes to come and go.
FADE = 0.01
#: What the site adds. "by" is sung elsewhere too; the other words are not.
PHRASE = ("lyrics", "licensed", "by", "acme")

#: The class that goes with each shortcut.
TARGETS = {"tone": "synth solo", "phrase": "drum fill"}

#: First seeds of the songs trained on, and of those explained: far from each other and from all others.
TRAINED, HELD_OUT = 30_000_000, 31_000_000
#: Damaged versions of each song of a batch.
VARIANTS = 4
#: Songs and epochs that teach the embedded model a shortcut.
SIZE = (200, 6)


@dataclass(frozen=True)
class MarkedSong:
    """A planned song; `shortcut` is "tone", "phrase" or None, `place` the tone's half-bar."""

    plan: SongPlan
    shortcut: str | None
    place: int

    @property
    def words(self) -> tuple[str, ...]:
        """The lyrics' words, the phrase's last."""
        return self.plan.words + (PHRASE if self.shortcut == "phrase" else ())

    @property
    def causes(self) -> tuple[int, ...]:
        """The shortcut's components, of 4 stems × 10 half-bars and then words: those that no other song has."""
        if self.shortcut == "tone":
            return (STEMS.index("other") * HALF_BARS + self.place,)
        first = len(STEMS) * HALF_BARS + len(self.plan.words)
        return tuple(first + index for index, word in enumerate(PHRASE) if word != "by") if self.shortcut else ()

    @property
    def cue(self) -> tuple[int, ...]:
        """Components of the class's real cause, () where the song has none."""
        target = TARGETS.get(self.shortcut or "")
        return tuple(find_column(cause) for cause in find_causes(self.plan, target)) if target else ()


def mark_song(seed: int, shortcut: str, marked: bool, cue: bool) -> MarkedSong:
    """A song with or without the shortcut, with or without the cue of its class; other tags as they come."""
    rng = spawn(seed, "shortcut")
    target = TARGETS[shortcut]
    tags = {name for name in TAGS if rng.random() < 0.3 and name != target} | ({target} if cue else set())
    return MarkedSong(plan_song(seed, sorted(tags)), shortcut if marked else None, int(rng.integers(1, HALF_BARS - 1)))


def play_marked(song: MarkedSong) -> Tensor:
    """The stems (stem, channel, frame): the plan's own, and the tone in one half-bar of `other`."""
    stems = render_stems(song.plan)
    if song.shortcut == "tone":
        frames = song.plan.half_bar
        seconds = np.arange(frames) / SAMPLE_RATE
        edge = np.minimum(1, np.minimum(seconds, seconds[::-1]) / FADE)
        beep = np.sqrt(2) * 10 ** (LEVEL / 20) * edge * np.sin(2 * np.pi * TONE * seconds)
        stems[STEMS.index("other"), song.place * frames : (song.place + 1) * frames] += beep.astype(np.float32)
    return torch.from_numpy(stems)[:, None]


def make_marked_track(song: MarkedSong) -> Track:
    """The song as the pipeline takes it."""
    track = replace(make_track(song.plan), stems=play_marked(song))
    return replace(track, lyrics=_add_phrase(track.lyrics)) if song.shortcut == "phrase" else track


def _add_phrase(lyrics: Lyrics) -> Lyrics:
    """The lyrics with one more line: a section of its own that nobody sings, without times."""
    start = len(lyrics.text) + 2
    text = f"{lyrics.text}\n\n{' '.join(PHRASE)}"
    words, here = list(lyrics.words), start
    for word in PHRASE:
        words.append(Word(word, here, here + len(word), len(lyrics.lines), len(lyrics.sections)))
        here += len(word) + 1
    return Lyrics(
        text,
        tuple(words),
        (*lyrics.lines, Line(start, len(text))),
        (*lyrics.sections, Section(start, len(text), "the site's line")),
    )


class DamagedMarkedSongs:
    """`Songs` for `training.fitting.fit`: variants of each song with cells and words lost; labels go with their causes.

    The class of a shortcut stays on while its cue or the whole shortcut is there, and is off when both are removed.
    """

    def __init__(self, songs: Sequence[MarkedSong], model: Tagger, seed: int) -> None:
        self.songs, self.vocabulary, self.seed = songs, model.vocabulary, seed
        self.stems = [play_marked(song).half() for song in songs]

    def __len__(self) -> int:
        return len(self.songs)

    def __getitem__(self, index: int) -> Batch:
        """The song as epoch ``index // len(self)`` has it."""
        song, rng = self.songs[index % len(self)], np.random.default_rng([self.seed, index])
        cells = torch.from_numpy(_keep(rng, len(STEMS) * HALF_BARS))
        words = torch.from_numpy(_keep(rng, len(song.words)))
        edges = tuple(song.plan.frames / SAMPLE_RATE * part / HALF_BARS for part in range(HALF_BARS + 1))
        window = gate_stems(self.stems[index % len(self)].float(), None, edges, SAMPLE_RATE, None)[0]
        ids = torch.tensor([self.vocabulary[word] for word in song.words])
        labels, known = label_variants(song, torch.cat([cells, words], 1))
        return Batch(
            audio=mix(window, cells.unflatten(1, (len(STEMS), HALF_BARS))),
            ids=torch.where(words, ids, self.vocabulary[MASK]),
            attended=torch.ones_like(words),
            labels=labels.float(),
            known=known,
        )


def _keep(rng: np.random.Generator, columns: int) -> np.ndarray:
    return rng.random((VARIANTS, columns)) >= draw_rates(VARIANTS, rng)[:, None]


def label_variants(song: MarkedSong, masks: Tensor) -> tuple[Tensor, Tensor]:
    """Which tags masked versions (variant, component) of a song have, and for which tags that is known: (variant, class)."""
    labels = torch.zeros(len(masks), len(TAGS), dtype=torch.bool)
    for number, tag in enumerate(TAGS):
        if tag in song.plan.tags:
            labels[:, number] = masks[:, [find_column(cause) for cause in find_causes(song.plan, tag)]].all(1)
    known = torch.ones_like(labels)
    if song.shortcut:
        column, left = list(TAGS).index(TARGETS[song.shortcut]), masks[:, song.causes]
        known[:, column] = labels[:, column] | left.all(1) | ~left.any(1)
        labels[:, column] |= left.all(1)
    return labels, known


def widen_vocabulary(model: Tagger, words: Sequence[str], seed: int) -> Tagger:
    """The same model with room for more words, whose embeddings are drawn."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        wider = Tagger(model.classes, (*model.vocabulary, *words), model.output_kind, name="shortcut", **model.size)
    state = model.state_dict()
    state["embedding.weight"] = torch.cat([state["embedding.weight"], wider.embedding.weight[-len(words) :].detach()])
    wider.load_state_dict(state)
    return wider


def train_shortcut(shortcut: str, songs: int, epochs: int, seed: int) -> Tagger:
    """The embedded model, trained on: half of the songs are marked. Kept in `$MUSICLIME_CACHE`, else a temporary folder."""
    model = widen_vocabulary(load_demo_model(), [word for word in PHRASE if word != "by"], seed)
    marked = [mark_song(TRAINED + number, shortcut, number % 2 == 0, number % 4 == 0) for number in range(songs)]
    recipe = Recipe(
        epochs=epochs,
        batch_size=8,
        rate=2e-3,
        rates={"embedding": 3e-2, "read": 1e-2},
        warmup=0.1,
        smoothing=0.01,
        patience=None,
        seed=seed,
    )
    folder = Path(os.environ.get("MUSICLIME_CACHE", tempfile.gettempdir())) / "planted"
    folder /= f"{shortcut}-{songs}-{epochs}-{seed}"
    fit(model, DamagedMarkedSongs(marked, model, seed), None, recipe, folder, about=f"{songs} songs, {shortcut} {LEVEL:g}")
    return model.requires_grad_(False)


def hold_out(shortcut: str, number: int) -> tuple[MarkedSong, MarkedSong]:
    """A song never trained on that carries the shortcut and no cue of its class, and the same song without it."""
    song = mark_song(HELD_OUT + number, shortcut, marked=True, cue=False)
    return song, replace(song, shortcut=None)


def decides(model: Tagger, shortcut: str, pair: tuple[MarkedSong, MarkedSong]) -> bool:
    """Whether the model gives the class to the song with the shortcut and not to the same song without it."""
    column = list(TAGS).index(TARGETS[shortcut])
    device = next(model.parameters()).device
    with evaluating(model):
        tracks = [make_marked_track(song) for song in pair]
        on, off = (float(model(track.stems.sum(0)[None].to(device), [track.lyrics.text])[0, column]) for track in tracks)
    return on > 0 >= off
