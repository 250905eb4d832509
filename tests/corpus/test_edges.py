"""Catalogues at their edges: what has no shares, odd names, songs and controls that fail, runs that don't fit together."""

import itertools
import os
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import soundfile
import torch
from catalogues import heard, make_global, read, song, write_songs
from click.testing import CliRunner
from models import Additive
from pyarrow import parquet
from rich.console import Console

from musiclime_torch.basics import files as writing
from musiclime_torch.basics.errors import InputError
from musiclime_torch.commands.cli import cli
from musiclime_torch.commands.options import default_device
from musiclime_torch.corpus.findings.aggregation import aggregate
from musiclime_torch.corpus.findings.auditing import audit
from musiclime_torch.corpus.findings.parts import open_tables
from musiclime_torch.corpus.reports.columns import write_summary
from musiclime_torch.corpus.reports.terminal import make_tables
from musiclime_torch.corpus.runs.ahead import load_entry
from musiclime_torch.corpus.runs.job import begin_job
from musiclime_torch.corpus.runs.running import run_here
from musiclime_torch.corpus.runs.shards import Place, claim_folder, find_place
from musiclime_torch.corpus.runs.tables import Rows
from musiclime_torch.explanation.explainer import explain
from musiclime_torch.song.manifest import Entry, read_manifest

# --- shares ---


def test_lines_have_a_share_of_the_lyrics_and_are_no_features(tmp_path):
    songs = [song(str(n), heard("drums", 1.0), read(None, 2.0), read(None, 2.0)) for n in range(12)]
    found = make_global(tmp_path, songs)
    (one,) = found.classes
    assert one.lyrics_share == pytest.approx(8 / 9)
    assert one.lyrics_share_by_component == pytest.approx(4 / 5)
    assert {feature.kind for feature in found.features} == {"audio"}


def test_songs_that_are_all_noise_have_no_shares(tmp_path):
    words = [song(str(n), read("love", 1.0 if n % 2 else 0.0, error=0.1)) for n in range(12)]
    (one,) = make_global(tmp_path / "words", words).classes
    assert (one.songs, one.lyrics_share, one.lyrics_share_by_component, one.stem_shares) == (12, 1.0, 1.0, {})
    sounds = [song(str(n), heard("drums", 1.0 if n % 2 else 0.0, error=0.1)) for n in range(12)]
    (one,) = make_global(tmp_path / "sounds", sounds).classes
    assert (one.songs, one.lyrics_share, one.stem_shares) == (12, 0.0, {"drums": 1.0})
    only_words = [song(str(n), *([heard("drums", 1.0)] if n % 2 else []), read("love", 1.0)) for n in range(4)]
    (one,) = make_global(tmp_path / "half", only_words).classes
    assert one.stem_shares == {"drums": 1.0}
    assert one.lyrics_share == pytest.approx(0.75)


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


def test_columns_that_only_some_classes_have_are_written(tmp_path):
    songs = [song("1", heard("vocals", 1.0)), song("2", heard("drums", 1.0), of="b")]
    write_summary(make_global(tmp_path / "run", songs), (), tmp_path)
    rows = parquet.read_table(tmp_path / "classes.parquet").to_pylist()
    assert [(row["share of vocals"], row["share of drums"]) for row in rows] == [(1.0, None), (None, 1.0)]


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


# --- pairs, audits, comparisons ---


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


def draw_positions(*sizes: float, first_unseen: bool = False) -> list[tuple]:
    return [heard("all", size, place, 0.01, first_unseen and place == 0) for place, size in enumerate(sizes)]


def test_ends_are_looked_for_song_by_song(tmp_path):
    """The last position of a song, not of the longest one."""
    long = song("long", *draw_positions(*[0.1] * 40, 9.0))
    plain = [song(f"p{n}", *draw_positions(*[0.1] * (5 + n % 3))) for n in range(11)]
    found = make_global(tmp_path / "plain", [*plain, long])
    assert not [one for one in audit(tmp_path / "plain", found) if one.kind == "position"]
    loud = [song(f"p{n}", *draw_positions(*[0.1] * (5 + n % 3), 0.6)) for n in range(11)]
    found = make_global(tmp_path / "loud", loud)
    (one,) = (one for one in audit(tmp_path / "loud", found) if one.kind == "position")
    assert "the last position weighs 6.0 times" in one.message
    assert (one.songs, len(one.examples)) == (11, 10)


def test_silent_beginnings_are_no_beginnings(tmp_path):
    songs = [song(f"s{n}", *draw_positions(0.0, 0.1, 0.1, 0.1, 0.1, first_unseen=True)) for n in range(12)]
    assert not [one for one in audit(tmp_path, make_global(tmp_path, songs)) if one.kind == "position"]


def test_boilerplate_is_found_in_lines_too(tmp_path):
    line = "You might also like a very long song title of somebody else's"
    songs = [song(str(n), heard("drums", 1.0), read(line, 2.0), read(f"line {n}", 0.1)) for n in range(12)]
    write_songs(tmp_path, songs)
    path = tmp_path / "attributions" / "000000.parquet"
    table = parquet.read_table(path)
    rows = [{**row, "text": row["word"], "word": None} for row in table.to_pylist()]
    parquet.write_table(table.from_pylist(rows, table.schema), path)
    (one,) = (one for one in audit(tmp_path, aggregate(tmp_path)) if one.kind == "boilerplate")
    assert one.about == (line.lower(),)
    assert one.examples == tuple(sorted(str(n) for n in range(12)))[:10]
    assert "you might also like a very long…" in one.message


def test_silent_stems_are_nothing_to_report(tmp_path):
    songs = [song(str(n), heard("drums", 1.0), heard("vocals", 0.0, unseen=True)) for n in range(12)]
    assert not audit(tmp_path, make_global(tmp_path, songs))


# --- running ---


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


# --- what manifests hold ---


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


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ('{"id": "a", "lyrics": ["one", "two"]}', "lyrics is a list or an object"),
        ('{"id": {"n": 1}}', "id is a list or an object"),
        ('{"id": "\\ud800"}', "half a character"),
        ('{"id": NaN}', "has no id"),
    ],
)
def test_cells_that_are_no_text_are_refused(tmp_path, row, said):
    (tmp_path / "m.jsonl").write_text(row)
    with pytest.raises(InputError, match=said):
        read_manifest(tmp_path / "m.jsonl")


def test_nan_stands_for_nothing(tmp_path):
    (tmp_path / "m.jsonl").write_text(
        '{"id": "a", "audio": "a.wav", "lyrics": NaN, "label": NaN, "stems": NaN, "split": NaN}'
    )
    (entry,) = read_manifest(tmp_path / "m.jsonl")
    assert (entry.lyrics, entry.labels, entry.stems, entry.split) == (None, (), None, "")


def test_views_are_there_for_every_table(tmp_path):
    write_songs(tmp_path, [song("1", heard("drums", 1.0))])
    assert open_tables(tmp_path).execute("select count(*) from interactions").fetchall() == [(0,)]
