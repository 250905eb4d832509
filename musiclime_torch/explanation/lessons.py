"""What a student can learn from a song: how its cells sound and what its words are, masks of either, and what the model made
of these.

Any explanation has asked the model about such masks. What it was told is a lesson that costs no pass; it is written beside a
run's tables until the student has learned from it.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from musiclime_torch.basics.errors import InputError
from musiclime_torch.basics.files import writing_atomically
from musiclime_torch.explanation.estimation.crossed import Encodings
from musiclime_torch.explanation.estimation.joint import Answers
from musiclime_torch.explanation.estimation.loop import Estimate
from musiclime_torch.models.student_parts import Words
from musiclime_torch.models.students import Recipe
from musiclime_torch.song.track import Track
from musiclime_torch.variants.cells import measure_cells
from musiclime_torch.variants.fusing import PAIRS, fuse
from musiclime_torch.variants.probe import Probe
from musiclime_torch.variants.renderings import Encoded
from musiclime_torch.variants.words import list_words

#: Fewer masks than this many times the columns teach nothing beside main effects.
FEWEST = 4


@dataclass(frozen=True)
class Exercise:
    """One side of a song as the student knows it, masks of its columns in pairs of complements, and the model's outputs."""

    source: Float[Tensor, "segment combination feature"] | Words
    masks: Bool[Tensor, "n column"]
    outputs: Float[Tensor, "n class"]
    #: The columns that were switched; the others are on in every mask.
    seen: tuple[int, ...]
    #: The hash of the sound or of the words, "" where it has none.
    song: str = ""


@dataclass(frozen=True)
class Lesson:
    """A song's sound and, of a model that encodes lyrics apart, its words."""

    sound: Exercise
    lyrics: Exercise | None = None


def set_sound(
    probe: Probe, masks: Bool[Tensor, "n seen_audio"], outputs: Float[Tensor, "n class"], track: Track
) -> Exercise:
    """The sound's part of a lesson; InputError where masks are too few, or the song can't be heard so."""
    seen, rate = probe.seen_audio, probe.subject.sample_rate
    refuse_few(len(masks), len(seen))
    assert rate is not None, "a model that hears has a rate"
    cells = measure_cells(probe.sources, rate, Recipe.mels)
    return Exercise(cells, _spread(masks, seen, probe.n_audio), outputs.float().cpu(), seen, track.audio_hash)


def set_lyrics(
    probe: Probe, masks: Bool[Tensor, "n seen_lyrics"], outputs: Float[Tensor, "n class"], track: Track
) -> Exercise | None:
    """The lyrics' part of a lesson; None where masks are too few, or the model takes no embeddings."""
    seen = tuple(column - probe.n_audio for column in probe.seen_lyrics)
    words = list_words(probe.sources.lyrics)
    if words is None or not seen or len(masks) < FEWEST * len(seen):
        return None
    full = _spread(masks, seen, probe.columns - probe.n_audio)
    return Exercise(words, full, outputs.float().cpu(), seen, hash_lyrics(track))


def hash_lyrics(track: Track) -> str:
    """A hash of a song's words, "" for none: another recording of them has the same."""
    return "" if track.lyrics is None else hashlib.sha256(track.lyrics.text.encode()).hexdigest()


def _spread(masks: Bool[Tensor, "n seen"], seen: tuple[int, ...], columns: int) -> Bool[Tensor, "n column"]:
    full = torch.ones(len(masks), columns, dtype=torch.bool)
    full[:, list(seen)] = masks.cpu()
    return full


def refuse_few(masks: int, columns: int) -> None:
    """InputError for fewer masks than teach anything."""
    if masks < FEWEST * columns:
        raise InputError(f"{masks} masks of {columns} cells are too few to learn from: give {FEWEST * columns} at least.")


def recall_lesson(probe: Probe, estimate: Estimate, track: Track) -> Lesson | None:
    """The lesson of an estimate's own passes; None where it drew no pairs of complements, or too few."""
    sample = estimate.sample
    if not probe.seen_audio or not isinstance(sample, Answers | Encodings):
        return None
    try:
        if isinstance(sample, Encodings):
            return _recall_crossed(probe, sample, track)
        folded = sample.design.folded
        masks = sample.design.masks[:folded, : len(probe.seen_audio)]
        return Lesson(set_sound(probe, masks, sample.outputs[:folded], track))
    except InputError:
        return None


def _recall_crossed(probe: Probe, sample: Encodings, track: Track) -> Lesson:
    """Outputs averaged over the other side's masks: heads are run again, and no encoder."""
    design = sample.design
    sounds, texts = design.audio.folded, design.lyrics.folded
    if not sounds:
        raise InputError("no pairs of complements were drawn.")
    heard, read = average_sides(probe, sample.sounds, sample.texts)
    return Lesson(
        set_sound(probe, design.audio.masks[:sounds], heard[:sounds], track),
        set_lyrics(probe, design.lyrics.masks[:texts], read[:texts], track),
    )


def average_sides(
    probe: Probe, sounds: tuple[Encoded, ...], texts: Encoded
) -> tuple[Float[Tensor, "na class"], Float[Tensor, "nt class"]]:
    """The mean outputs of each mask of the sound over all of the lyrics, and of each of these over all of the sound."""
    heard, read = [], torch.zeros(())
    for rows in torch.arange(len(sounds[0])).split(max(PAIRS // len(texts), 1)):
        outputs = fuse(probe, tuple(window.take(rows) for window in sounds), texts)
        heard.append(outputs.mean(1))
        read = read + outputs.sum(0).cpu() / len(sounds[0])
    return torch.cat(heard), read


def place_lesson(folder: Path, song: str) -> Path:
    """The file of a song's lesson, by its id, which may hold any characters."""
    return folder / f"{hashlib.sha256(song.encode()).hexdigest()[:32]}.safetensors"


def write_lesson(lesson: Lesson, path: Path) -> None:
    """Write it whole or not at all."""
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    sides = {"sound": lesson.sound} | ({} if lesson.lyrics is None else {"lyrics": lesson.lyrics})
    tensors = {f"{side}.{name}": value.contiguous() for side, part in sides.items() for name, value in _list(part).items()}
    with writing_atomically(path) as partial:
        save_file(tensors, partial, {side: part.song for side, part in sides.items()})


def _list(part: Exercise) -> dict[str, Tensor]:
    tensors = {"masks": part.masks, "outputs": part.outputs, "seen": torch.tensor(part.seen)}
    if isinstance(part.source, Words):
        return tensors | vars(part.source)
    return tensors | {"cells": part.source}


def read_lesson(path: Path) -> Lesson:
    """What `write_lesson` wrote; InputError for anything else."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), "pt") as file:
            songs = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
            return Lesson(*(_gather(tensors, side, songs[side]) for side in ("sound", "lyrics") if side in songs))
    except (OSError, KeyError, SafetensorError, TypeError) as error:
        raise InputError(f"the lesson {str(path)!r} can't be read ({error}): remove the run's folder.") from error


def _gather(tensors: dict[str, Tensor], side: str, song: str) -> Exercise:
    masks, outputs, seen = (tensors[f"{side}.{name}"] for name in ("masks", "outputs", "seen"))
    if side == "sound":
        source: Tensor | Words = tensors["sound.cells"]
    else:
        source = Words(*(tensors[f"lyrics.{name}"] for name in ("sung", "removed", "owner")))
    return Exercise(source, masks.bool(), outputs, tuple(seen.tolist()), song)
