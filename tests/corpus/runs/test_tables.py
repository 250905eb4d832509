"""A run's tables: which pairs are kept, and views of them all."""

import itertools
from dataclasses import replace

import torch
from catalogues import heard, song, write_songs
from models import Additive

from musiclime_torch.corpus.findings.parts import open_tables
from musiclime_torch.corpus.runs.tables import SCHEMAS, Rows
from musiclime_torch.explanation.explainer import explain
from musiclime_torch.song.manifest import Entry


def test_pairs_within_a_side_crowd_no_others_out(track):
    found = explain(Additive(), track, segments=5, n_samples=512, design="joint")
    together = found.interactions
    assert together is not None
    columns = list(itertools.combinations(range(len(found.components)), 2))
    kinds = [item.kind for item in found.components.items]
    mixed = [number for number, (a, b) in enumerate(columns) if (kinds[a], kinds[b]) == ("audio", "lyrics")]
    values = torch.full((1, len(found.classes), len(columns)), 5.0)
    values[..., mixed] = 0.0
    values[..., mixed[4]] = 1.0
    told = replace(
        together,
        spaces=(together.spaces[0],),
        columns=torch.tensor(columns),
        values=values,
        standard_errors=torch.full_like(values, 0.01),
        degrees_of_freedom=torch.full_like(values, 100.0),
        explained=together.explained[:1],
        parts=together.parts[:0],
        part_errors=together.part_errors[:0],
    )
    assert len(columns) - len(mixed) > 50
    rows = Rows()
    rows.add(Entry("a"), track, replace(found, interactions=told), [0], 1.0)
    (row,) = rows.tables["interactions"]
    sound, words = columns[mixed[4]]
    assert (row["stem"], row["word"]) == (found.components.items[sound].stem, found.components.items[words].word)


def test_views_are_there_for_every_table(tmp_path):
    write_songs(tmp_path, [song("1", heard("drums", 1.0))])
    assert open_tables(tmp_path).execute("select count(*) from interactions").fetchall() == [(0,)]


def test_a_song_names_its_files_part_model_and_command(track):
    part = replace(track, offset=30.0, file="a.flac", lyrics_file="a.lrc")
    found = explain(Additive(), part, segments=2, n_samples=16)
    rows = Rows()
    rows.add(Entry("a"), part, replace(found, provenance=found.provenance | {"command": "musiclime corpus x"}), [0], 1.0)
    (row,) = rows.tables["songs"]
    assert (row["file"], row["lyrics_file"], row["start"], row["end"]) == ("a.flac", "a.lrc", 30.0, 32.0)
    assert (row["model"], row["command"]) == ("Additive", "musiclime corpus x")
    assert row["version"]
    assert set(row) == set(SCHEMAS["songs"].names)
