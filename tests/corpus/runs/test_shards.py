"""Shards hold every song once; the launcher says which are whose."""

import threading

import pytest
import torch
from hypothesis import given, strategies as st

from musiclime_torch.basics import files as writing
from musiclime_torch.basics.errors import InputError
from musiclime_torch.commands.options import default_device
from musiclime_torch.corpus.runs.shards import Place, claim_folder, cut_shards, find_place
from musiclime_torch.song.manifest import Entry


@given(st.lists(st.integers(), max_size=40), st.integers(1, 9))
def test_shards_hold_every_song_once_in_order(numbers, size):
    entries = [Entry(str(number)) for number in numbers]
    shards = cut_shards(entries, size)
    assert [entry for shard in shards for entry in shard.entries] == entries
    assert all(len(shard.entries) == size for shard in shards[:-1])
    assert len({shard.file for shard in shards}) == len(shards)


def test_places_come_from_the_launcher():
    assert find_place({"RANK": "2", "WORLD_SIZE": "3"}) == Place(2, 3)
    slurm = {"SLURM_ARRAY_TASK_ID": "5", "SLURM_ARRAY_TASK_MIN": "3", "SLURM_ARRAY_TASK_COUNT": "4"}
    assert find_place(slurm) == Place(2, 4)
    for wrong in ({"RANK": "3", "WORLD_SIZE": "3"}, {"RANK": "x", "WORLD_SIZE": "3"}, {"SLURM_ARRAY_TASK_ID": "1"}):
        with pytest.raises(InputError, match="set RANK and WORLD_SIZE"):
            find_place(wrong)


def test_processes_of_a_launcher_have_a_gpu_each(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    assert default_device() == "cuda"
    for rank, device in (("0", "cuda:0"), ("1", "cuda:1"), ("3", "cuda:1")):
        monkeypatch.setenv("LOCAL_RANK", rank)
        assert default_device() == device


def test_slurm_arrays_with_steps_have_a_place_and_lists_have_none():
    def array(task: int, least: int, most: int, count: int, step: int) -> dict[str, str]:
        given = {"ID": task, "MIN": least, "MAX": most, "COUNT": count, "STEP": step}
        return {f"SLURM_ARRAY_TASK_{name}": str(value) for name, value in given.items()}

    assert [find_place(array(task, 0, 4, 3, 2)) for task in (0, 2, 4)] == [Place(rank, 3) for rank in range(3)]
    for task in (1, 3, 7):
        with pytest.raises(InputError, match="use --array=0-2"):
            find_place(array(task, 1, 7, 3, 1))


def test_many_that_begin_a_folder_at_once_all_find_it_begun(tmp_path, monkeypatch):
    monkeypatch.setattr("os.getpid", lambda: 1)  # as in containers on several machines
    for number in range(20):
        gate, said = threading.Barrier(4), []

        def claim(gate=gate, said=said, out=tmp_path / str(number)) -> None:
            gate.wait()
            try:
                said.append(claim_folder(out, {"a": 1}, "m"))
            except InputError as error:
                said.append(str(error))

        threads = [threading.Thread(target=claim) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(said) == 4
        assert len(set(said)) == 1, said
    assert writing.name_partial(tmp_path / "x") != writing.name_partial(tmp_path / "x")


def test_the_first_songs_have_shards_of_their_own():
    entries = tuple(Entry(str(number), None, None, None, ()) for number in range(11))
    for apart in (0, 1, 4, 5, 8, 11, 20):
        shards = cut_shards(entries, 4, apart)
        assert [entry for shard in shards for entry in shard.entries] == list(entries)
        assert [shard.number for shard in shards] == list(range(len(shards)))
        assert all(1 <= len(shard.entries) <= 4 for shard in shards)
        firsts = [int(shard.entries[0].id) for shard in shards]
        assert min(apart, 10) in firsts or apart >= 11
    assert cut_shards(entries, 4, 0) == cut_shards(entries, 4)
