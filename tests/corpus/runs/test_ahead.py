"""Processes that read ahead, and what happens where they die."""

import pytest
import torch
from deadly import die_at_once, die_of_sending, die_on

from musiclime_torch.basics.errors import InputError
from musiclime_torch.corpus.runs import ahead
from musiclime_torch.song.manifest import Entry


def test_workers_hand_songs_on_in_order_and_unchanged(entries):
    plain = list(ahead.load_ahead(entries, {"separator": "hpss"}, 0))
    spread = list(ahead.load_ahead(entries, {"separator": "hpss"}, 2))
    assert [entry for entry, _ in spread] == list(entries)
    for (_, one), (_, other) in zip(plain, spread, strict=True):
        assert torch.equal(one.stems, other.stems)
        assert (one.stem_names, one.lyrics, one.audio_hash) == (other.stem_names, other.lyrics, other.audio_hash)


@pytest.mark.parametrize(
    ("deadly", "workers", "given_up"), [({"b": 2}, 1, ""), ({"b": 5}, 1, "b"), ({"b": 1, "c": 5, "e": 1}, 2, "c")]
)
def test_a_process_that_dies_takes_no_other_song_along(tmp_path, monkeypatch, deadly, workers, given_up):
    monkeypatch.setattr(ahead, "load_light", die_on)
    songs = [Entry(name) for name in "abcde"]
    found = {entry.id: said for entry, said in ahead.load_ahead(songs, {"deadly": deadly, "marks": str(tmp_path)}, workers)}
    assert list(found) == list("abcde")
    assert all(said.startswith("its process died 3 times" if name in given_up else name) for name, said in found.items())
    # Three tries, and none more for who happened to be loaded beside another's death.
    assert all(len(list(tmp_path.glob(f"{name}*"))) == min(times + 1, 3) for name, times in deadly.items())


def test_a_song_that_kills_on_its_way_is_given_up(monkeypatch):
    monkeypatch.setattr(ahead, "load_light", die_of_sending)
    found = dict(ahead.load_ahead([Entry(name) for name in "abc"], {"deadly": "b"}, 1))
    assert [said[:25] for said in found.values()] == ["a", "its process died 3 times:", "c"]


def test_processes_that_never_begin_end_the_run(monkeypatch):
    monkeypatch.setattr(ahead, "_begin_worker", die_at_once)
    monkeypatch.setattr(ahead, "FALSE_STARTS", 2)
    with pytest.raises(InputError, match=r"died 2 times before any began a song: .*workers=0"):
        list(ahead.load_ahead([Entry("a"), Entry("b")], {}, 1))
