"""The model and the song that come with the package, read from ``demo/assets``; nothing is downloaded."""

import hashlib
import json
from bisect import bisect
from importlib.resources import as_file, files
from itertools import accumulate
from pathlib import Path

import numpy as np
import soundfile
import torch

from musiclime_torch.demo.plan import SAMPLE_RATE, STEMS, Cause, SongPlan, locate_cause
from musiclime_torch.models.tagger import Tagger
from musiclime_torch.song.lyrics.files import read_lyrics
from musiclime_torch.song.track import Track


def find_assets() -> Path:
    """The folder with the weights and the song."""
    with as_file(files("musiclime_torch.demo") / "assets") as folder:
        return folder


def demo_song() -> Path:
    """The embedded song, ``song.ogg``; ``song.lrc`` and ``stems/`` lie beside it."""
    return find_assets() / "song.ogg"


def load_demo_model(folder: Path | None = None) -> Tagger:
    """The trained model, in eval mode; from another folder, one that ``demo.training`` wrote there."""
    return Tagger.from_pretrained(folder or find_assets())


def load_demo_plan() -> SongPlan:
    """What the embedded song was made from, as written beside it: its causes are known.

    Not planned again from its seed: other versions of numpy may draw other numbers.
    """
    plan = json.loads((find_assets() / "song.json").read_text(encoding="utf-8"))["plan"]
    lengths, causes = tuple(plan.pop("line_lengths")), tuple(Cause(**cause) for cause in plan.pop("causes"))
    return SongPlan(**plan, line_lengths=lengths, causes=causes)


def load_demo_track() -> Track:
    """The embedded song in its four stems, as they come out of their ogg files; the song is their sum."""
    stems = []
    for name in STEMS:
        sound, rate = soundfile.read(find_assets() / "stems" / f"{name}.ogg", dtype="float32", always_2d=True)
        assert rate == SAMPLE_RATE
        stems.append(torch.from_numpy(np.ascontiguousarray(sound.T)))
    together = torch.stack(stems)
    return Track(
        stems=together,
        stem_names=STEMS,
        sample_rate=SAMPLE_RATE,
        lyrics=read_lyrics(find_assets() / "song.lrc"),
        title="demo song",
        source="the embedded song's own stems",
        audio_hash=hashlib.sha256(together.numpy().tobytes()).hexdigest(),
    )


def describe_causes() -> str:
    """What was planted in the embedded song, one line a tag: what an explanation should find."""
    plan = load_demo_plan()
    lines = []
    for name in sorted(plan.tags):
        parts = [describe_cause(plan, cause) for cause in plan.causes if cause.tag == name]
        lines.append(f"{name}: {' and '.join(parts)}")
    return "Planted in this song:\n" + "\n".join(f"  {line}" for line in lines)


def describe_cause(plan: SongPlan, cause: Cause) -> str:
    """Where a cause lies: a stem and its time, or a word and its line."""
    if cause.stem is not None:
        start, end = locate_cause(plan, cause)
        return f"{cause.stem} 0:{start:04.1f}-0:{end:04.1f}"
    return f'the word "{cause.word}" (line {bisect(tuple(accumulate(plan.line_lengths)), cause.place) + 1})'
