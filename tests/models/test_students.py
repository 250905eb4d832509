"""A saved student is the same student, and nothing else is taken for one."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from musiclime_torch.basics.errors import InputError
from musiclime_torch.models.students import RECIPE, WEIGHTS, Recipe, Student, choose, load_student

MADE = Recipe(
    "model", "abc", 8000, "logits", ("loud", "even"), 2, mels=8, width=8, rho2=(0.5, 0.25), gain=1.6, taught=("x",)
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    student = Student(MADE)
    student.output_mean.fill_(3.0)
    student.save(tmp_path / "student")
    return tmp_path / "student"


def test_a_saved_student_is_the_same(folder: Path):
    torch.manual_seed(0)
    student = Student(MADE).eval()
    student.output_mean.fill_(3.0)
    loaded = load_student(folder)
    assert loaded.recipe == MADE
    assert not loaded.training
    cells, masks = torch.randn(4, 8, MADE.features), torch.rand(20, 12) < 0.5
    torch.testing.assert_close(loaded.answer(cells, masks), student.answer(cells, masks), atol=0, rtol=0)


def test_masks_choose_combinations_by_segment():
    masks = torch.rand(30, 3 * 5, generator=torch.Generator().manual_seed(0)) < 0.5
    slow = [[sum(2**stem * int(row[stem * 5 + place]) for stem in range(3)) for place in range(5)] for row in masks]
    assert choose(masks, 5).tolist() == slow


def test_a_mask_reads_only_the_cells_that_it_chose():
    student = Student(MADE).eval()
    cells, masks = torch.randn(4, 8, MADE.features), torch.zeros(1, 12, dtype=torch.bool)
    other = cells.clone()
    other[:, 1:] = 9.0
    torch.testing.assert_close(student.answer(cells, masks), student.answer(other, masks))
    other[2, 0] = 9.0
    assert not torch.allclose(student.answer(cells, masks), student.answer(other, masks))


def test_rows_are_answered_alike_in_any_number(monkeypatch: pytest.MonkeyPatch):
    student, cells = Student(MADE).eval(), torch.randn(4, 8, MADE.features)
    masks = torch.rand(50, 12) < 0.5
    whole = student.answer(cells, masks)
    monkeypatch.setattr("musiclime_torch.models.students.ROWS", 7)
    torch.testing.assert_close(student.answer(cells, masks), whole, atol=1e-5, rtol=1e-5)


def rewrite(folder: Path, **changes: Any) -> None:
    saved = json.loads((folder / RECIPE).read_text())
    (folder / RECIPE).write_text(json.dumps(saved | changes))


def drop(folder: Path, name: str) -> None:
    saved = json.loads((folder / RECIPE).read_text())
    del saved[name]
    (folder / RECIPE).write_text(json.dumps(saved))


def add_tensor(folder: Path) -> None:
    save_file(load_file(folder / WEIGHTS) | {"more": torch.zeros(3)}, folder / WEIGHTS)


def spoil(folder: Path) -> None:
    tensors = load_file(folder / WEIGHTS)
    tensors["mean"][0] = float("nan")
    save_file(tensors, folder / WEIGHTS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: (folder / RECIPE).unlink(), "holds no student"),
        (lambda folder: (folder / RECIPE).write_text("{"), "holds no student"),
        (lambda folder: (folder / RECIPE).write_text("[]"), "isn't one"),
        (lambda folder: rewrite(folder, format=99), "of another version"),
        (lambda folder: rewrite(folder, width="wide"), "isn't one"),
        (lambda folder: rewrite(folder, width=10**7), "isn't one"),
        (lambda folder: rewrite(folder, width=16), "distil it again"),
        (lambda folder: rewrite(folder, colour="red"), "isn't one"),
        (lambda folder: drop(folder, "classes"), "isn't one"),
        (lambda folder: (folder / WEIGHTS).unlink(), "can't be read"),
        (lambda folder: (folder / WEIGHTS).write_bytes(b"nothing"), "can't be read"),
        (add_tensor, "has more as .* and its recipe wants nothing"),
        (spoil, "aren't finite"),
    ],
)
def test_what_is_no_student_is_one_sentence(folder: Path, change: Any, message: str):
    change(folder)
    with pytest.raises(InputError, match=message) as raised:
        load_student(folder)
    assert "\n" not in str(raised.value)


def test_a_recipe_counts_what_a_cell_is_heard_as():
    assert replace(MADE, mels=10).features == 50
