"""What a student can learn from a song: how its cells sound, masks of them, and what the model made of these.

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
from musiclime_torch.models.students import Recipe
from musiclime_torch.song.track import Track
from musiclime_torch.variants.asking import PAIRS, fuse
from musiclime_torch.variants.cells import measure_cells
from musiclime_torch.variants.probe import Probe

#: Fewer masks than this many times the columns teach nothing beside main effects.
FEWEST = 4


@dataclass(frozen=True)
class Lesson:
    """A song as the student hears it, masks of its columns in pairs of complements, and the model's outputs on them."""

    cells: Float[Tensor, "segment combination feature"]
    masks: Bool[Tensor, "n column"]
    outputs: Float[Tensor, "n class"]
    #: The columns that were switched; the others are on in every mask.
    seen: tuple[int, ...]
    #: The song's hash, "" where it has none.
    song: str = ""


def make_lesson(
    probe: Probe, masks: Bool[Tensor, "n seen_audio"], outputs: Float[Tensor, "n class"], track: Track
) -> Lesson:
    """A lesson from outputs on masks of the sound; InputError where there are too few, or the song can't be heard so."""
    seen, rate = probe.seen_audio, probe.subject.sample_rate
    refuse_few(len(masks), len(seen))
    assert rate is not None, "a model that hears has a rate"
    full = torch.ones(len(masks), probe.n_audio, dtype=torch.bool)
    full[:, list(seen)] = masks.cpu()
    return Lesson(measure_cells(probe.sources, rate, Recipe.mels), full, outputs.float().cpu(), seen, track.audio_hash)


def refuse_few(masks: int, columns: int) -> None:
    """InputError for fewer masks than teach anything."""
    if masks < FEWEST * columns:
        raise InputError(f"{masks} masks of {columns} cells are too few to learn from: give {FEWEST * columns} at least.")


def recall_lesson(probe: Probe, estimate: Estimate, track: Track) -> Lesson | None:
    """The lesson of an estimate's own passes; None where it drew no pairs of complements, or too few."""
    if not probe.seen_audio or not isinstance(estimate.sample, Answers | Encodings):
        return None
    sample = estimate.sample
    try:
        masks, outputs = _recall_joint(probe, sample) if isinstance(sample, Answers) else _recall_crossed(probe, sample)
        return make_lesson(probe, masks, outputs, track)
    except InputError:
        return None


def _recall_joint(probe: Probe, sample: Answers) -> tuple[Bool[Tensor, "n seen_audio"], Float[Tensor, "n class"]]:
    folded = sample.design.folded
    return sample.design.masks[:folded, : len(probe.seen_audio)], sample.outputs[:folded]


def _recall_crossed(probe: Probe, sample: Encodings) -> tuple[Bool[Tensor, "n seen_audio"], Float[Tensor, "n class"]]:
    """Outputs averaged over the lyrics' masks: heads are run again, and no encoder."""
    sound = sample.design.audio
    if not sound.folded:
        raise InputError("no pairs of complements were drawn.")
    tiles = torch.arange(sound.folded).split(max(PAIRS // len(sample.texts), 1))
    outputs = [fuse(probe, tuple(window.take(rows) for window in sample.sounds), sample.texts).mean(1) for rows in tiles]
    return sound.masks[: sound.folded], torch.cat(outputs)


def place_lesson(folder: Path, song: str) -> Path:
    """The file of a song's lesson, by its id, which may hold any characters."""
    return folder / f"{hashlib.sha256(song.encode()).hexdigest()[:32]}.safetensors"


def write_lesson(lesson: Lesson, path: Path) -> None:
    """Write it whole or not at all."""
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {"cells": lesson.cells, "masks": lesson.masks, "outputs": lesson.outputs, "seen": torch.tensor(lesson.seen)}
    with writing_atomically(path) as partial:
        save_file({name: value.contiguous() for name, value in tensors.items()}, partial, {"song": lesson.song})


def read_lesson(path: Path) -> Lesson:
    """What `write_lesson` wrote; InputError for anything else."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), "pt") as file:
            cells, masks, outputs, seen = (file.get_tensor(name) for name in ("cells", "masks", "outputs", "seen"))
            song = (file.metadata() or {}).get("song", "")
    except (OSError, SafetensorError) as error:
        raise InputError(f"the lesson {str(path)!r} can't be read ({error}): remove the run's folder.") from error
    return Lesson(cells, masks.bool(), outputs, tuple(seen.tolist()), song)
