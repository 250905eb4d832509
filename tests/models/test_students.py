"""A saved student is the same student, and nothing else is taken for one."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from musiclime_torch.basics.errors import InputError
from musiclime_torch.models.student_parts import Listener, Reader, Words, answer, choose
from musiclime_torch.models.students import RECIPE, WEIGHTS, Recipe, Student, load_student

MADE = Recipe(
    "model", "abc", 8000, "logits", ("loud", "even"), 2, mels=8, width=8, rho2=(0.5, 0.25), gain=1.6, taught=("x",),
    reads=6, lyrics_rho2=(0.25, 0.5), lyrics_gain=1.5, taught_lyrics=("y",),
)  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_student().save(tmp_path / "student")
    return tmp_path / "student"


def make_student(**changes: Any) -> Student:
    torch.manual_seed(0)
    return Student(replace(MADE, **changes)).eval()


def make_listener() -> Listener:
    listener = make_student().listener
    assert listener is not None
    return listener


def make_reader() -> Reader:
    reader = make_student().reader
    assert reader is not None
    return reader


def make_words() -> Words:
    """Seven tokens of three columns, the first and the last of nobody."""
    sung = torch.randn(7, MADE.reads, generator=torch.Generator().manual_seed(1))
    return Words(sung, torch.zeros_like(sung), torch.tensor([3, 0, 0, 1, 2, 1, 3]))


@pytest.mark.parametrize("changes", [{}, {"reads": 0}, {"hears": False}])
def test_a_saved_student_is_the_same(tmp_path: Path, changes: dict[str, Any]):
    student = make_student(**changes)
    student.save(tmp_path / "student")
    loaded = load_student(tmp_path / "student")
    assert loaded.recipe == replace(MADE, **changes)
    assert not loaded.training
    assert (loaded.listener is None) == (student.listener is None)
    assert (loaded.reader is None) == (student.reader is None)
    cells, words = torch.randn(4, 8, MADE.features), make_words()
    for source, columns, ours, theirs in (
        (cells, 12, student.listener, loaded.listener),
        (words, 3, student.reader, loaded.reader),
    ):
        if ours is not None and theirs is not None:
            masks = torch.rand(20, columns) < 0.5
            torch.testing.assert_close(answer(theirs, source, masks), answer(ours, source, masks), atol=0, rtol=0)


def test_masks_choose_combinations_by_segment():
    masks = torch.rand(30, 3 * 5, generator=torch.Generator().manual_seed(0)) < 0.5
    slow = [[sum(2**stem * int(row[stem * 5 + place]) for stem in range(3)) for place in range(5)] for row in masks]
    assert choose(masks, 5).tolist() == slow


def test_a_mask_reads_only_the_cells_that_it_chose():
    listener = make_listener()
    cells, masks = torch.randn(4, 8, MADE.features), torch.zeros(1, 12, dtype=torch.bool)
    other = cells.clone()
    other[:, 1:] = 9.0
    torch.testing.assert_close(answer(listener, cells, masks), answer(listener, other, masks))
    other[2, 0] = 9.0
    assert not torch.allclose(answer(listener, cells, masks), answer(listener, other, masks))


def test_a_mask_reads_its_own_words_and_what_is_in_the_place_of_others():
    reader, words = make_reader(), make_words()
    masks = torch.tensor([[True, False, True]])
    hidden = words.owner == 1
    # What the model doesn't see of a song, no student of it sees either.
    sung = torch.where(hidden[:, None], torch.full_like(words.sung, 9.0), words.sung)
    removed = torch.where(hidden[:, None], words.removed, torch.full_like(words.sung, 9.0))
    same = answer(reader, Words(sung, removed, words.owner), masks)
    torch.testing.assert_close(same, answer(reader, words, masks))
    by_hand = torch.where(hidden[:, None], words.removed, words.sung)
    always = Words(by_hand, torch.full_like(by_hand, 9.0), torch.full_like(words.owner, 3))
    torch.testing.assert_close(answer(reader, always, masks), same)
    assert not torch.allclose(answer(reader, words, ~masks), same)


def test_a_reader_knows_the_order_of_words_and_any_number_of_them():
    reader, words = make_reader(), make_words()
    turned = Words(words.sung.flip(0), words.removed, words.owner.flip(0))
    masks = torch.ones(1, 3, dtype=torch.bool)
    assert not torch.allclose(answer(reader, turned, masks), answer(reader, words, masks))
    many = Words(words.sung.repeat(200, 1), words.removed.repeat(200, 1), words.owner.repeat(200))
    assert answer(reader, many, masks).isfinite().all()


def test_rows_are_answered_alike_in_any_number(monkeypatch: pytest.MonkeyPatch):
    listener, cells, reader, words = make_listener(), torch.randn(4, 8, MADE.features), make_reader(), make_words()
    masks, lines = torch.rand(50, 12) < 0.5, torch.rand(50, 3) < 0.5
    whole, text = answer(listener, cells, masks), answer(reader, words, lines)
    monkeypatch.setattr("musiclime_torch.models.student_parts.ROWS", 7)
    torch.testing.assert_close(answer(listener, cells, masks), whole, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(answer(reader, words, lines), text, atol=1e-5, rtol=1e-5)


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
    tensors["reader.mean"][0] = float("nan")
    save_file(tensors, folder / WEIGHTS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: (folder / RECIPE).unlink(), "holds no student"),
        (lambda folder: (folder / RECIPE).write_text("{"), "holds no student"),
        (lambda folder: (folder / RECIPE).write_text("[]"), "isn't one"),
        (lambda folder: rewrite(folder, format=99), "of another version"),
        (lambda folder: rewrite(folder, format=1), "of another version"),
        (lambda folder: rewrite(folder, width="wide"), "isn't one"),
        (lambda folder: rewrite(folder, width=10**7), "isn't one"),
        (lambda folder: rewrite(folder, width=16), "distil it again"),
        (lambda folder: rewrite(folder, reads=-1), "isn't one"),
        (lambda folder: rewrite(folder, reads=0, hears=False), "isn't one"),
        (lambda folder: rewrite(folder, reads=7), "distil it again"),
        (lambda folder: rewrite(folder, reads=0), "has reader.* and its recipe wants nothing"),
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
    assert replace(MADE, mels=10).features == 90
