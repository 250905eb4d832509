"""A student: a small network that answers masks of a song as a model would, for next to nothing.

It hears a song once, cell by cell: every combination of stems in every segment. A mask then picks a combination in each
segment, and the network says what the model would make of them together (`Listener`). Of a model that encodes lyrics
apart it may read these too (`Reader`). It has only the parts that pay.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from musiclime_torch.basics.errors import InputError
from musiclime_torch.basics.files import writing_atomically
from musiclime_torch.models.student_parts import Listener, Reader

#: The files of a saved student.
WEIGHTS, RECIPE = "student.safetensors", "student.json"

#: Raised when what is saved is no longer understood by older versions.
FORMAT = 3


@dataclass(frozen=True)
class Recipe:
    """What a student learned from: the model by its outputs, rate and weights (a hash), how it hears, and how well it did.

    `taught` are hashes of the songs that it learned from: it is never asked about these, for it may have learned the very
    answers that it would correct; nor about the lyrics whose hashes are `taught_lyrics`. `rho2` is, for each class, the
    share of what main effects of the sound leave over of the model that the student explains on held-out songs; `gain` is
    how many times lower squared errors are to be expected, from so many `masks`. The same of the lyrics has `lyrics` in its
    name.

    It `hears` and reads where that pays. `reads` is the length of the model's embeddings, 0 for a student that doesn't read.
    """

    model: str
    weights: str
    sample_rate: int
    output_kind: str
    classes: tuple[str, ...] | None
    n_outputs: int
    mels: int = 32
    width: int = 64
    rho2: tuple[float, ...] = ()
    gain: float = 1.0
    songs: int = 0
    masks: int = 0
    seed: int = 0
    taught: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    hears: bool = True
    reads: int = 0
    lyrics_rho2: tuple[float, ...] = ()
    lyrics_gain: float = 1.0
    lyrics_masks: int = 0
    taught_lyrics: tuple[str, ...] = ()

    @property
    def features(self) -> int:
        """Numbers that a cell is heard as: means of eight stretches, and the maximum, of every band."""
        return 9 * self.mels


class Student(nn.Module):
    """A part that hears, one that reads, or both; the other is None. Weights are plain tensors."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.recipe, sizes = recipe, (recipe.width, recipe.n_outputs)
        self.listener = Listener(recipe.features, *sizes) if recipe.hears else None
        self.reader = Reader(recipe.reads, *sizes) if recipe.reads else None

    def save(self, folder: str | Path) -> None:
        """Write weights and recipe; the folder is made where it isn't there."""
        Path(folder).mkdir(parents=True, exist_ok=True)
        tensors = {name: value.contiguous() for name, value in self.state_dict().items()}
        with writing_atomically(Path(folder) / WEIGHTS) as partial:
            save_file(tensors, partial)
        text = json.dumps({"format": FORMAT} | asdict(self.recipe), indent=1)
        with writing_atomically(Path(folder) / RECIPE) as partial:
            partial.write_text(text + "\n", encoding="utf-8")


def load_student(folder: str | Path) -> Student:
    """A student that `save` wrote.

    Raises:
        InputError: what isn't one.
    """
    recipe, file = _read_recipe(Path(folder)), Path(folder) / WEIGHTS
    student = Student(recipe)
    try:
        tensors = load_file(file)
    except (OSError, SafetensorError) as error:
        raise InputError(f"the student {str(file)!r} can't be read: {error}", argument="proxy") from error
    wanted = {name: tuple(value.shape) for name, value in student.state_dict().items()}
    got = {name: tuple(value.shape) for name, value in tensors.items()}
    if wanted != got:
        odd = sorted(name for name in wanted.keys() | got.keys() if wanted.get(name) != got.get(name))[0]
        raise InputError(
            f"the student {str(file)!r} has {odd} as {got.get(odd, 'nothing')}, and its recipe wants "
            f"{wanted.get(odd, 'nothing')}: distil it again.",
            argument="proxy",
        )
    if not all(value.isfinite().all() for value in tensors.values()):
        raise InputError(f"the student {str(file)!r} has weights that aren't finite: distil it again.", argument="proxy")
    student.load_state_dict(tensors)
    return student.eval()


def _read_recipe(folder: Path) -> Recipe:
    file = folder / RECIPE
    try:
        saved = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(
            f"{str(folder)!r} holds no student ({error}): make one with musiclime distill.", argument="proxy"
        ) from error
    if isinstance(saved, dict) and saved.get("format", FORMAT) != FORMAT:
        raise InputError(f"the student {str(folder)!r} is of another version: distil it again.", argument="proxy")
    try:
        del saved["format"]
        for name in ("classes", "rho2", "taught", "lyrics_rho2", "taught_lyrics"):
            saved[name] = None if saved[name] is None else tuple(saved[name])
        recipe = Recipe(**saved)
        _check_sizes(recipe)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"the student's recipe {str(file)!r} isn't one: distil it again.", argument="proxy") from error
    return recipe


def _check_sizes(recipe: Recipe) -> None:
    """ValueError for sizes that no recipe of ours has: memory would be asked for before the weights are compared."""
    sizes: list[Any] = [recipe.n_outputs, recipe.mels, recipe.width, recipe.sample_rate, recipe.reads + 1]
    if not all(isinstance(size, int) and 0 < size < 1_000_000 for size in sizes):
        raise ValueError("sizes")
    if max(recipe.mels, recipe.reads) * recipe.width > 10_000_000 or not (recipe.hears or recipe.reads):
        raise ValueError("sizes")
