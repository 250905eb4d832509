"""What a catalogue's numbers can be trusted with: names of folders, damaged files, runs that can't be compared, and sampling
noise that no two songs share.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from catalogues import make_global, make_track, write_songs
from models import Additive
from pyarrow import parquet

from musiclime_torch.basics.errors import InputError
from musiclime_torch.corpus.findings import parts
from musiclime_torch.corpus.findings.aggregation import aggregate
from musiclime_torch.corpus.findings.auditing import audit
from musiclime_torch.corpus.findings.comparing import compare
from musiclime_torch.corpus.reports.terminal import describe_comparison
from musiclime_torch.corpus.runs.job import begin_job, write_shard
from musiclime_torch.corpus.runs.running import explain_shard
from musiclime_torch.corpus.runs.shards import TABLES
from musiclime_torch.models.contract import TokenBatch
from musiclime_torch.song.manifest import Entry


def draw(count: int, of: str = "pop", stem: str = "drums", shift: float = 0.0) -> list[dict]:
    rng = np.random.default_rng(count)
    rows = [
        [(stem, 0, None, float(rng.normal()) + shift, 0.1, False), (None, None, "love", 1.0, 0.1, False)]
        for _ in range(count)
    ]
    return [{"id": f"s{number}", "class": of, "rows": row} for number, row in enumerate(rows)]


# --- folders ---


@pytest.mark.parametrize(("name", "other"), [("run[1]", "run1"), ("run*", "runs"), ("ru?", "run")])
def test_folders_are_no_patterns(tmp_path, name, other):
    write_songs(tmp_path / name, draw(12))
    write_songs(tmp_path / other, draw(20, shift=3.0))
    found = aggregate(tmp_path / name)
    assert found.songs == 12
    assert [one.songs for one in audit(tmp_path / name, found)] == [12]
    found = compare(tmp_path / name, tmp_path / other)
    assert (found.songs, found.only_second.songs) == (12, 8)
    assert compare(tmp_path / other, tmp_path / name).shifts


def test_folders_are_no_columns(tmp_path):
    write_songs(tmp_path / "class=jazz" / "id=1", draw(12))
    found = aggregate(tmp_path / "class=jazz" / "id=1")
    assert [(one.name, one.songs) for one in found.classes] == [("pop", 12)]
    assert compare(tmp_path / "class=jazz" / "id=1", tmp_path / "class=jazz" / "id=1").songs == 12


# --- damage ---


def _cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def _overwrite(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[4 : len(data) // 2] = bytes(len(data) // 2 - 4)
    path.write_bytes(data)


@pytest.mark.parametrize("damage", [_cut_off, _overwrite, Path.unlink])
@pytest.mark.parametrize("name", ["attributions", "songs"])
def test_damaged_tables_are_named(tmp_path, damage, name):
    write_songs(tmp_path / "a", draw(40))
    write_songs(tmp_path / "b", draw(40))
    path = tmp_path / "a" / name / "000000.parquet"
    damage(path)
    # Without its songs a shard doesn't count.
    said = "explained yet" if (damage, name) == (Path.unlink, "songs") else "can't be read .*remove its file"
    for ask in (lambda: aggregate(tmp_path / "a"), lambda: compare(tmp_path / "b", tmp_path / "a")):
        with pytest.raises(InputError, match=said):
            ask()


@pytest.mark.parametrize("name", TABLES)
def test_a_shard_that_was_cut_off_is_done_again(tmp_path, name):
    entries = [Entry("a"), Entry("b")]
    job = begin_job(entries, tmp_path, options={"segments": 2, "n_samples": 32}, shard_size=1)
    for shard, seed in zip(job.shards, (0, 1), strict=True):
        write_shard(job, shard, explain_shard(Additive(), job, [(shard.entries[0], make_track(seed))]))
    assert job.divide() == ([], list(job.shards))
    _cut_off(tmp_path / name / "000001.parquet")
    left, before = job.divide()
    assert [shard.number for shard in left] == [1]
    assert [shard.number for shard in before] == [0]


# --- comparisons that would mislead ---


def test_other_stems_are_not_compared(tmp_path):
    write_songs(tmp_path / "a", draw(12))
    write_songs(tmp_path / "b", draw(12, stem="mix"))
    with pytest.raises(InputError, match=r"'s0' has stems drums and mix\): run both with the same separator"):
        compare(tmp_path / "a", tmp_path / "b")


def test_lines_are_not_compared_with_words(tmp_path):
    for name in "ab":
        write_songs(tmp_path / name, draw(12))
    path = tmp_path / "b" / "attributions" / "000000.parquet"
    table = parquet.read_table(path)
    rows = [{**row, "word": None, "line": 1, "text": row["word"]} if row["word"] else row for row in table.to_pylist()]
    parquet.write_table(table.from_pylist(rows, table.schema), path)
    with pytest.raises(InputError, match=r"'s0' has lyrics in words and lines\): run both with the same units"):
        compare(tmp_path / "a", tmp_path / "b")


def test_what_only_one_run_heard_leaves_the_rest_to_compare(tmp_path):
    songs = draw(12)
    write_songs(tmp_path / "a", songs)
    write_songs(tmp_path / "b", [one | {"rows": one["rows"][1:]} for one in songs])
    assert compare(tmp_path / "a", tmp_path / "b").compared == 1


def test_songs_with_other_files_are_told(tmp_path):
    for name in "ab":
        write_songs(tmp_path / name, draw(12))
        path = tmp_path / name / "songs" / "000000.parquet"
        table = parquet.read_table(path)
        rows = [
            {**row, "audio_hash": f"{name if number < 3 else 0}", "lyrics_hash": None if number != 5 else f"{name}"}
            for number, row in enumerate(table.to_pylist())
        ]
        parquet.write_table(table.from_pylist(rows, table.schema), path)
    found = compare(tmp_path / "a", tmp_path / "b")
    assert found.altered == 4
    assert any(line.startswith("4 of them have other sound or lyrics") for line in describe_comparison(found, 3))
    assert compare(tmp_path / "a", tmp_path / "a").altered == 0


def test_a_run_in_which_nothing_was_explained_is_named(tmp_path):
    write_songs(tmp_path / "a", draw(12))
    write_songs(tmp_path / "b", [])
    for pair in (("a", "b"), ("b", "a")):
        with pytest.raises(InputError, match=r"no song in '.*b' has been explained yet"):
            compare(*(tmp_path / name for name in pair))


# --- noise ---


def test_noise_at_the_edges_is_no_position_bias(tmp_path):
    rng = np.random.default_rng(0)
    songs = [
        {
            "id": f"s{number}",
            "class": "a",
            "rows": [
                ("all", place, None, float(rng.normal(0, 0.1 if place in (0, 7) else 0.03)), 0.1, False)
                for place in range(8)
            ],
        }
        for number in range(20)
    ]
    assert not [one for one in audit(tmp_path, make_global(tmp_path, songs)) if one.kind == "position"]


def test_no_two_songs_share_their_sampling_noise(tmp_path):
    """Of one song under many names only the masks differ, and so attributions spread as their standard errors say."""
    entries = [Entry(f"song {number}") for number in range(24)]
    options = {"segments": 5, "n_samples": 96}
    job = begin_job(entries, tmp_path, options=options, shard_size=len(entries))
    track = make_track(0)
    rows = explain_shard(Curved(), job, [(entry, track) for entry in entries]).tables
    assert not rows["failures"]
    assert len({row["seed"] for row in rows["songs"]}) == len(entries)
    columns: dict[tuple, list[tuple[float, float]]] = {}
    for row in rows["attributions"]:
        key = (row["class"], row["stem"], row["position"], row["word"], row["line"])
        columns.setdefault(key, []).append((row["attribution"], row["standard_error"]))
    ratios = []
    for found in columns.values():
        values, errors = np.array(found).T
        if len(found) == len(entries) and errors.mean() > 1e-9:
            ratios.append(values.var(ddof=1) / (errors**2).mean())
    assert len(ratios) > 5
    assert 0.5 < np.mean(ratios) < 2
    again = explain_shard(Curved(), job, [(entries[3], replace(track))]).tables
    own = [row for row in rows["attributions"] if row["id"] == "song 3"]
    assert [row["attribution"] for row in again["attributions"]] == pytest.approx([row["attribution"] for row in own])
    other = explain_shard(Curved(), replace(job, settings=replace(job.settings, seed=1)), [(entries[3], track)]).tables
    assert [row["seed"] for row in other["songs"]] != [row["seed"] for row in again["songs"]]


class Curved(Additive):
    """What no sum of components is, so that masks leave noise."""

    def forward(self, audio: torch.Tensor, text: TokenBatch) -> torch.Tensor:
        return super().forward(audio, text).sin() * 3


# --- memory ---


def test_parts_end_by_songs_too(tmp_path, monkeypatch):
    for number in range(4):
        write_songs(tmp_path / str(number), draw(3))
    out = tmp_path / "0"
    for number in range(1, 4):
        for name in TABLES:
            (tmp_path / str(number) / name / "000000.parquet").rename(out / name / f"{number:06d}.parquet")
    assert len(parts.cut_parts(out)) == 1
    monkeypatch.setattr(parts, "PART_SONGS", 6)
    assert [len(part) for part in parts.cut_parts(out)] == [2, 2]
