"""Files that are complete or not there. What killed processes leave behind: tests/laws/test_interrupted.py."""

import os
from pathlib import Path

import pytest

from musiclime_torch.basics.errors import InputError
from musiclime_torch.basics.files import (
    name_partial,
    refuse_devices,
    refuse_file,
    remove_partials,
    write_atomically,
    writing_atomically,
)


def test_a_file_is_there_once_its_writing_has_ended(tmp_path: Path):
    path = tmp_path / "new" / "a.txt"
    write_atomically(b"one", path, "out")
    with writing_atomically(path) as partial:
        partial.write_bytes(b"two")
        assert path.read_bytes() == b"one"
    assert path.read_bytes() == b"two"
    assert list(path.parent.iterdir()) == [path]


def test_a_folder_that_cannot_be_written_to_is_named_with_its_argument(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"file can't be written to \(.*\): give another out folder\.") as raised:
        write_atomically(b"", tmp_path / "file" / "a.txt", "out")
    assert raised.value.argument == "out"


def test_what_is_half_written_is_removed_by_name_alone(tmp_path: Path):
    ours, others = name_partial(tmp_path / "a.txt"), name_partial(tmp_path / "b.txt")
    ours.write_text("")
    others.write_text("")
    remove_partials(tmp_path, {"a.txt"})
    assert list(tmp_path.iterdir()) == [others]


def test_a_file_is_no_folder_and_a_pipe_is_no_file(tmp_path: Path):
    (tmp_path / "file").write_text("")
    os.mkfifo(tmp_path / "pipe")
    refuse_file(None)
    refuse_file(tmp_path)
    refuse_file(tmp_path / "later")
    with pytest.raises(InputError, match=r"^out .*file is a file: give a folder\.") as raised:
        refuse_file(tmp_path / "file")
    assert raised.value.argument == "out"
    refuse_devices(tmp_path / "file")
    refuse_devices(tmp_path / "missing")
    with pytest.raises(InputError, match="is a pipe or a device"):
        refuse_devices(tmp_path / "pipe")


def test_a_folder_that_cannot_be_made_is_refused_before_anything_runs(tmp_path: Path):
    (tmp_path / "file").write_text("x")
    for out, said in ((tmp_path / "file", "is a file"), (tmp_path / "file" / "a" / "b", "can't be written to")):
        with pytest.raises(InputError, match=f"^plots .* {said}"):
            refuse_file(out, "plots")
    refuse_file(tmp_path / "new" / "deeper")
    refuse_file(None)
