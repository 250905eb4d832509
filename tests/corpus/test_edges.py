"""Catalogues at their edges: what has no shares, odd names, songs and controls that fail, runs that don't fit together."""

import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import soundfile
import torch
from catalogues import heard, make_global, read, song
from click.testing import CliRunner
from models import Additive
from pyarrow import parquet
from rich.console import Console

from musiclime_torch.basics.errors import InputError
from musiclime_torch.commands.cli import cli
from musiclime_torch.corpus.findings.aggregation import aggregate
from musiclime_torch.corpus.findings.auditing import audit
from musiclime_torch.corpus.reports.terminal import make_tables
from musiclime_torch.corpus.runs.ahead import load_entry
from musiclime_torch.corpus.runs.job import begin_job
from musiclime_torch.corpus.runs.running import run_here
from musiclime_torch.song.manifest import Entry


def test_what_nobody_knows_is_shown_as_such(tmp_path):
    found = make_global(tmp_path, [song(str(n), read("love", 0.0, error=0.1)) for n in range(12)])
    shown = Console(width=120, record=True, file=(tmp_path / "shown").open("w"))
    for table in make_tables(found, (), 3):
        shown.print(table)
    text = shown.export_text()
    assert "nan" not in text
    assert "–" in text
    from musiclime_torch.corpus.reports.page import to_corpus_html

    assert "<td>–</td>" in to_corpus_html(found, (), title="none")


def test_songs_of_which_nothing_is_seen_are_counted(tmp_path):
    songs = [song(str(n), heard("drums", 1.0)) for n in range(3)] + [song("blind", heard("drums", 0.0, unseen=True))]
    assert make_global(tmp_path, songs).songs == 4


def test_names_are_no_markup(tmp_path):
    songs = [
        song(str(n), heard("vocals [dry]", 1.0 + 0.01 * n), read("love", 1.0 + 0.01 * n), of=of)
        for of in ("sad [slow]", "[/b] x")
        for n in range(12)
    ]
    for number, one in enumerate(songs):
        one["id"] = str(number)
    console = Console(width=140, record=True, file=(tmp_path / "shown").open("w"))
    for table in make_tables(make_global(tmp_path / "run", songs), (), 3):
        console.print(table)
    shown = console.export_text()
    assert all(name in shown for name in ("sad [slow]", "[/b] x", "vocals [dry]"))


@pytest.fixture
def entries(tmp_path: Path) -> tuple[Entry, ...]:
    """Three short mono songs; the second one's lyrics trip a model."""
    for number in range(3):
        noise = torch.randn(8000, generator=torch.Generator().manual_seed(number)).numpy() * 0.1
        soundfile.write(tmp_path / f"{number}.wav", noise, 8000)
    return tuple(Entry(str(n), tmp_path / f"{n}.wav", "hold me" if n != 1 else "hold trip") for n in range(3))


OPTIONS = {"segments": 2, "n_samples": 32}


class Tripping(Additive):
    """Fails on one word."""

    failure: Exception = IndexError("index out of range")

    def tokenize(self, text):
        if "trip" in text:
            raise self.failure
        return super().tokenize(text)


def begin(entries, out, **more):
    return begin_job(entries, out, **{"options": OPTIONS, "loading": {"separator": "none"}, **more})


def test_a_model_that_cuts_songs_short_is_found_out(entries, tmp_path):
    """It hears the first half of a second, says nothing of it, and is explained with joint masks."""

    def hear(audio: torch.Tensor) -> torch.Tensor:
        loud = audio[..., : audio.shape[-1] // 2].unflatten(-1, (5, -1)).square().mean((1, 3)).sqrt()
        return torch.stack([loud @ torch.tensor([3.0, -1.0, 2.0, 1.0, 2.0]), 0.1 * loud.sum(1)], 1)

    options = {"modalities": ("audio",), "sample_rate": 8000, "classes": ("a", "b"), "segments": 10, "n_samples": 256}
    run_here(hear, begin(entries, tmp_path / "out", options=options), workers=0)
    found = aggregate(tmp_path / "out", min_songs=3)
    (one,) = (one for one in audit(tmp_path / "out", found, min_songs=3) if one.kind == "unseen")
    assert "the last 5 of 10 positions" in one.message


def test_a_manifest_is_the_same_by_any_path(entries, tmp_path, monkeypatch):
    first = begin(entries, tmp_path / "out")
    monkeypatch.chdir(tmp_path)
    near = [replace(one, audio=Path(os.path.relpath(one.audio, tmp_path))) for one in entries]
    assert begin(near, tmp_path / "out").settings_hash == first.settings_hash


def test_a_song_that_trips_a_model_is_a_row_and_a_dead_device_an_end(entries, tmp_path):
    done = run_here(Tripping(), begin(entries, tmp_path / "out"), workers=0)
    assert (done.explained, done.failed) == (2, 1)
    assert "IndexError: index out of range" in done.first_failure
    dead = Tripping()
    dead.failure = torch.AcceleratorError("device-side assert")
    with pytest.raises(Exception, match="device-side assert"):
        run_here(dead, begin(entries, tmp_path / "dead"), workers=0)
    assert not list((tmp_path / "dead").glob("songs/*"))


def test_a_function_without_any_declaration_runs_too(entries, tmp_path):
    def judge(audio, texts):
        return torch.stack([audio.square().mean((1, 2)), -audio.square().mean((1, 2))], 1) * 100

    job = begin(entries[:1], tmp_path / "out", options={**OPTIONS, "sample_rate": 8000})
    assert run_here(judge, job, workers=0).explained == 1


def test_a_control_that_fails_leaves_its_song(entries, tmp_path):
    # Sound in 2 segments and two words: the control has a stem and four words more than these masks can tell apart.
    options = {"segments": 2, "design": "bernoulli", "n_samples": 8}
    done = run_here(Additive(), begin(entries, tmp_path / "out", options=options, controls=1.0), workers=0)
    assert (done.explained, done.failed) == (3, 0)
    rows = parquet.read_table(tmp_path / "out" / "songs" / "000000.parquet").to_pylist()
    assert all(any("this song has no control" in said for said in row["warnings"]) for row in rows)
    assert aggregate(tmp_path / "out").songs == 3


def test_a_run_does_not_go_on_with_other_weights(entries, tmp_path):
    first = begin(entries[:2], tmp_path / "out", shard_size=1)
    run_here(Additive(), first, workers=0)
    for path in (tmp_path / "out").glob("*/000001.parquet"):
        path.unlink()
    other = Additive()
    with torch.no_grad():
        other.gain[0] += 1
    with pytest.raises(InputError, match="other weights"):
        run_here(other, first, workers=0)
    assert run_here(Additive(), first, workers=0).explained == 1


def test_trying_again_loses_nothing(entries, tmp_path):
    """With a failure in every shard: other weights are refused still, and what there is stays."""
    tripping = Tripping()
    run_here(tripping, begin(entries, tmp_path / "out"), workers=0)
    again = begin(entries, tmp_path / "out", retry=True)
    other = Tripping()
    with torch.no_grad():
        other.gain[0] += 1
    with pytest.raises(InputError, match="other weights"):
        run_here(other, again, workers=0)
    assert aggregate(tmp_path / "out").songs == 2
    done = run_here(tripping, again, workers=0)
    assert (done.explained, done.failed, done.before) == (2, 1, 0)
    (row,) = parquet.read_table(tmp_path / "out" / "failures.parquet").to_pylist()
    assert row["id"] == "1"


def test_a_class_that_is_not_there_is_said_before_anything_is_begun(entries, tmp_path):
    (tmp_path / "m.csv").write_text("id,audio\na,0.wav\n")
    command = ["corpus", str(tmp_path / "m.csv"), "--model", "demo", "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(cli, [*command, "--target", "jaz"])
    assert "no class 'jaz'" in str(done.exception)
    assert not (tmp_path / "out").exists()
    (tmp_path / "none.csv").write_text("id,audio\na,nowhere.wav\n")
    command[1] = str(tmp_path / "none.csv")
    done = CliRunner().invoke(cli, [*command, "--workers", "0"], standalone_mode=False)
    assert "no song could be explained" in str(done.exception)


def test_lyrics_in_a_cell_are_read_as_in_a_file(entries, tmp_path):
    timed = load_entry(replace(entries[0], lyrics="[00:00.10]hold me\n[00:00.50]now"), {"separator": "none"})
    assert not isinstance(timed, str)
    assert timed.lyrics is not None
    assert [word.text for word in timed.lyrics.words] == ["hold", "me", "now"]
    assert not timed.warnings
    endless = load_entry(replace(entries[0], lyrics="la " * 20_001), {"separator": "none"})
    assert "more than any song" in str(endless)


def test_tags_are_not_blamed_for_a_cells_lyrics(entries, monkeypatch):
    monkeypatch.setattr("musiclime_torch.song.track.embedded_lyrics", lambda path: SimpleNamespace(words=()))
    track = load_entry(entries[0], {"separator": "none"})
    assert not isinstance(track, str)
    assert track.warnings == ()
