"""A student: a small network that answers masks of a song as a model would, for next to nothing.

It hears a song once, cell by cell: every combination of stems in every segment. A mask then picks a combination in each
segment, and the network says what the model would make of them together. It reads no lyrics.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from musiclime_torch.basics.errors import InputError
from musiclime_torch.basics.files import writing_atomically

#: The files of a saved student.
WEIGHTS, RECIPE = "student.safetensors", "student.json"

#: Rows that are answered at a time: their cells stay small.
ROWS = 2048

#: Raised when what is saved is no longer understood by older versions.
FORMAT = 1


@dataclass(frozen=True)
class Recipe:
    """What a student learned from: the model by its outputs, rate and weights (a hash), how it hears, and how well it did.

    `taught` are hashes of the songs that it learned from: it is never asked about these, for it may have learned the very
    answers that it would correct. `rho2` is, for each class, the share of what main effects leave over of the model that the
    student explains on held-out songs; `gain` is how many times lower squared errors are to be expected.
    """

    model: str
    weights: str
    sample_rate: int
    output_kind: str
    classes: tuple[str, ...] | None
    n_outputs: int
    mels: int = 64
    width: int = 64
    rho2: tuple[float, ...] = ()
    gain: float = 1.0
    songs: int = 0
    masks: int = 0
    seed: int = 0
    taught: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def features(self) -> int:
        """Numbers that a cell is heard as: means of three stretches, maximum and spread of every band."""
        return 5 * self.mels


class Student(nn.Module):
    """Cells to outputs. Weights are plain tensors."""

    mean: Float[Tensor, " feature"]
    spread: Float[Tensor, " feature"]
    output_mean: Float[Tensor, " class"]
    output_spread: Float[Tensor, " class"]

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.recipe, width = recipe, recipe.width
        for name, count in (("mean", recipe.features), ("output_mean", recipe.n_outputs)):
            self.register_buffer(name, torch.zeros(count))
        for name, count in (("spread", recipe.features), ("output_spread", recipe.n_outputs)):
            self.register_buffer(name, torch.ones(count))
        self.hear = nn.Sequential(nn.Linear(recipe.features, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        #: Where a segment lies in the song, as a share of it.
        self.place = nn.Linear(2, width)
        self.near = nn.Conv1d(width, width, 3, padding=1)
        self.nearer = nn.Conv1d(width, width, 3, padding=1)
        self.judge = nn.Sequential(
            nn.Linear(2 * width, 2 * width),
            nn.GELU(),
            nn.Linear(2 * width, width),
            nn.GELU(),
            nn.Linear(width, recipe.n_outputs),
        )

    def embed(self, cells: Float[Tensor, "segment combination feature"]) -> Float[Tensor, "segment combination width"]:
        """Every combination of stems in every segment, once a song."""
        heard: Tensor = self.hear((cells - self.mean) / self.spread)
        place = torch.linspace(0, 1, len(cells), device=cells.device)
        return heard + self.place(torch.stack([place, 1 - place], 1))[:, None]

    def forward(
        self, embedded: Float[Tensor, "segment combination width"], chosen: Int[Tensor, "n segment"]
    ) -> Float[Tensor, "n class"]:
        """Outputs in units of their own spread, as they are learned."""
        picked = embedded[torch.arange(len(embedded), device=chosen.device), chosen].transpose(1, 2)
        picked = picked + self.nearer(nn.functional.gelu(self.near(picked)))
        outputs: Tensor = self.judge(torch.cat([picked.mean(2), picked.amax(2)], 1))
        return outputs

    @torch.no_grad()
    def answer(
        self, cells: Float[Tensor, "segment combination feature"], masks: Bool[Tensor, "n column"]
    ) -> Float[Tensor, "n class"]:
        """Outputs under masks of stems × segments, stem-major; on the CPU, where masks are."""
        embedded, chosen = self.embed(cells), choose(masks, len(cells))
        rows = [self(embedded, some) for some in chosen.split(ROWS)]
        return torch.cat(rows) * self.output_spread + self.output_mean

    def save(self, folder: str | Path) -> None:
        """Write weights and recipe; the folder is made where it isn't there."""
        Path(folder).mkdir(parents=True, exist_ok=True)
        tensors = {name: value.contiguous() for name, value in self.state_dict().items()}
        with writing_atomically(Path(folder) / WEIGHTS) as partial:
            save_file(tensors, partial)
        text = json.dumps({"format": FORMAT} | asdict(self.recipe), indent=1)
        with writing_atomically(Path(folder) / RECIPE) as partial:
            partial.write_text(text + "\n", encoding="utf-8")


def choose(masks: Bool[Tensor, "n column"], segments: int) -> Int[Tensor, "n segment"]:
    """The combination of stems in each segment, as a number: bit s is stem s.

    >>> choose(torch.tensor([[True, False, True, True]]), 2).tolist()
    [[3, 2]]
    """
    stems = masks.unflatten(1, (-1, segments)).long()
    return (stems << torch.arange(stems.shape[1], device=masks.device)[:, None]).sum(1)


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
        for name in ("classes", "rho2", "taught"):
            saved[name] = None if saved[name] is None else tuple(saved[name])
        recipe = Recipe(**saved)
        _check_sizes(recipe)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"the student's recipe {str(file)!r} isn't one: distil it again.", argument="proxy") from error
    return recipe


def _check_sizes(recipe: Recipe) -> None:
    """ValueError for sizes that no recipe of ours has: memory would be asked for before the weights are compared."""
    sizes: list[Any] = [recipe.n_outputs, recipe.mels, recipe.width, recipe.sample_rate]
    if not all(isinstance(size, int) and 0 < size < 1_000_000 for size in sizes) or recipe.mels * recipe.width > 1_000_000:
        raise ValueError("sizes")
