"""A catalogue explained in shards: nothing lost, nothing doubled, the same by any number of processes; and what it says."""

import errno
import math
import os
import subprocess
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path

import duckdb
import numpy as np
import pytest
import torch
from catalogues import OPTIONS, draw_songs, make_global, plant, write_songs
from click.testing import CliRunner
from deadly import die_at_once, die_of_sending, die_on
from hypothesis import given, settings, strategies as st
from models import Additive
from pyarrow import parquet

from musiclime_torch.basics.errors import InputError
from musiclime_torch.commands.cli import cli
from musiclime_torch.corpus.findings.aggregation import aggregate
from musiclime_torch.corpus.findings.auditing import audit
from musiclime_torch.corpus.runs import ahead
from musiclime_torch.corpus.runs.job import begin_job
from musiclime_torch.corpus.runs.running import run_here
from musiclime_torch.corpus.runs.shards import TABLES, Place, claim_folder, cut_shards, find_place
from musiclime_torch.corpus.runs.tables import write_table
from musiclime_torch.demo.bundle import load_demo_model
from musiclime_torch.demo.catalogue import main as make_catalogue
from musiclime_torch.explanation.explainer import explain
from musiclime_torch.song.manifest import Entry, read_manifest
from musiclime_torch.song.track import load_track


@pytest.fixture(scope="session")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten generated songs."""
    folder = tmp_path_factory.mktemp("corpus")
    make_catalogue(["--songs", "10", "--tags", "drum fill,love song", "--out", str(folder)])
    return folder / "manifest.csv"


@pytest.fixture
def entries(manifest: Path) -> tuple[Entry, ...]:
    return read_manifest(manifest)


def begin(entries, out: Path, **more):
    given = {"options": OPTIONS, "loading": {"separator": "none"}, "shard_size": 3} | more
    return begin_job(entries, out, **given)


def run(entries, out: Path, place: Place | None = None, **more):
    return run_here(load_demo_model(), begin(entries, out, **more), workers=0, place=place)


def read(out: Path, name: str) -> list[tuple]:
    return duckdb.sql(f"select * from read_parquet('{out}/{name}/*.parquet') order by all").fetchall()


def test_rows_are_what_explain_says(entries, tmp_path):
    done = run(entries[:2], tmp_path, targets=["anthem"])
    assert (done.explained, done.failed) == (2, 0)
    entry = entries[1]
    (song,) = [row for row in parquet.read_table(tmp_path / "songs").to_pylist() if row["id"] == entry.id]
    track = load_track(entry.audio, lyrics=entry.lyrics, separator="none")
    found = explain(load_demo_model(), track, **OPTIONS, seed=song["seed"])
    table = parquet.read_table(tmp_path / "attributions" / "000000.parquet").to_pylist()
    rows = [row for row in table if row["id"] == entry.id]
    assert {row["class"] for row in rows} == {found.classes[found.target], "anthem"}
    own = [row for row in rows if row["predicted"]]
    assert [row["attribution"] for row in own] == found.attributions[found.target].tolist()
    assert [row["standard_error"] for row in own] == found.standard_errors[found.target].tolist()
    assert [row["significant"] for row in own] == found.significant[found.target].tolist()
    assert [row["position"] for row in own][:3] == [0, 1, None]
    assert [row["line"] for row in own] == [item.line for item in found.components.items]
    lines = [line for line in Path(entry.lyrics).read_text(encoding="utf-8").splitlines() if line.strip()]
    assert [row["text"] for row in own if row["kind"] == "lyrics"] == lines
    assert {row["text"] for row in own if row["kind"] == "audio"} == {None}
    assert song["outputs"] == found.output_song.tolist()
    assert (song["labels"], song["audio_hash"]) == ([entry.labels[0]], found.provenance["audio_hash"])


def test_all_classes_and_lyrics_as_text(entries, tmp_path):
    text = [Entry("a", entries[0].audio, "love me\ndo"), Entry("b", entries[0].audio)]
    run(text, tmp_path, all_classes=True)
    counted = Counter((row[0], row[1]) for row in read(tmp_path, "attributions"))
    assert {count for (song, _), count in counted.items() if song == "a"} == {4}
    assert len(counted) == 14


@pytest.mark.parametrize("world", [2, 3])
def test_any_number_of_processes_writes_the_same(entries, tmp_path, world):
    run(entries, tmp_path / "one")
    for rank in reversed(range(world)):
        run(entries, tmp_path / "many", place=Place(rank, world))
    for name in ("attributions", "interactions", "failures"):
        assert read(tmp_path / "one", name) == read(tmp_path / "many", name)
    assert (tmp_path / "many" / "failures.parquet").exists()


def test_what_is_done_is_not_done_again(entries, tmp_path, monkeypatch):
    run(entries, tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("0*.parquet")}
    (tmp_path / "songs" / "000001.parquet").unlink()  # as if killed before its last file
    (tmp_path / "songs" / "000002.parquet").write_bytes(b"PAR1 cut short")
    done = run(entries, tmp_path)
    assert (done.explained, done.before) == (6, 4)
    touched = {path.name for path, when in before.items() if path.stat().st_mtime_ns != when}
    assert touched == {"000001.parquet", "000002.parquet"}
    assert Counter(row[0] for row in read(tmp_path, "songs")) == Counter(entry.id for entry in entries)


def test_songs_that_fail_are_rows_and_end_nothing(entries, tmp_path):
    (tmp_path / "bad.wav").write_text("no sound")
    odd = [
        Entry("../../etc/passwd", entries[0].audio),
        Entry("nowhere", tmp_path / "nowhere.wav", place="row 2, line 3"),
        Entry("bad\0\n\"';--", tmp_path / "bad.wav"),
        Entry("none"),
        Entry("x" * 5000, entries[1].audio),
    ]
    out = tmp_path / "out"
    done = run(odd, out)
    assert (done.explained, done.failed) == (2, 3)
    failures = parquet.read_table(out / "failures.parquet").to_pylist()
    assert [row["id"] for row in failures] == ["nowhere", "bad\0\n\"';--", "none"]
    assert failures[0]["place"] == "row 2, line 3"
    assert "nowhere.wav" in failures[0]["reason"]
    assert {row[0] for row in read(out, "songs")} == {odd[0].id, odd[4].id}
    assert not [path for path in out.rglob("*") if not path.name.startswith(("0", "run", *TABLES))]


def test_songs_that_failed_are_tried_again_when_asked(manifest, entries, tmp_path):
    late = tmp_path / "late.flac"
    rows = [f"{one.id},{one.audio}" for one in entries[:3]]
    (tmp_path / "songs.csv").write_text("\n".join(["id,audio", *rows, f"late,{late}"]))
    options = ["--model", "demo", "--separator", "none", "--n-samples", "64", "--segments", "4", "--workers", "0"]
    command = ["corpus", str(tmp_path / "songs.csv"), *options, "--shard-size", "2", "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(cli, command)
    assert "3 songs explained, 1 failed, 0 done before" in done.stderr
    assert "with --retry" in done.stderr
    late.write_bytes(entries[3].audio.read_bytes())
    assert "0 songs explained, 0 failed, 4 done before" in CliRunner().invoke(cli, command).stderr
    assert "2 songs explained, 0 failed, 2 done before" in CliRunner().invoke(cli, [*command, "--retry"]).stderr
    assert "0 songs explained, 0 failed, 4 done before" in CliRunner().invoke(cli, [*command, "--retry"]).stderr
    assert [row[0] for row in read(tmp_path / "out", "songs")] == sorted([*(one.id for one in entries[:3]), "late"])
    assert not parquet.read_table(tmp_path / "out" / "failures.parquet").num_rows


def test_a_folder_holds_one_run(entries, tmp_path):
    run(entries[:2], tmp_path)
    with pytest.raises(InputError, match=r"other settings, explain n_samples '64' \(now '128'\): give"):
        run(entries[:2], tmp_path, options={**OPTIONS, "n_samples": 128})
    with pytest.raises(InputError, match="began with another manifest"):
        run(entries[:3], tmp_path)
    run(entries[:2], tmp_path, options={**OPTIONS, "batch_size": 3})  # changes nothing but rounding
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(InputError, match="is not the record of a run"):
        run(entries[:2], tmp_path)
    (tmp_path / "run.json").unlink()
    with pytest.raises(InputError, match=r"tables but no run\.json"):
        run(entries[:2], tmp_path)


def test_a_full_disk_is_a_sentence_and_loses_nothing(entries, tmp_path, monkeypatch):
    run(entries[:3], tmp_path / "reference", shard_size=1)
    whole, calls = os.fsync, []

    def fill(descriptor):
        calls.append(descriptor)
        if len(calls) == 8:  # in the middle of the second shard
            raise OSError(errno.ENOSPC, "No space left on device")
        whole(descriptor)

    monkeypatch.setattr(os, "fsync", fill)
    with pytest.raises(InputError, match=r"No space left on device.*resume the run"):
        run(entries[:3], tmp_path / "full", shard_size=1)
    monkeypatch.undo()
    assert len(read(tmp_path / "full", "songs")) == 1
    assert not list((tmp_path / "full").rglob(".*"))
    run(entries[:3], tmp_path / "full", shard_size=1)
    assert read(tmp_path / "full", "attributions") == read(tmp_path / "reference", "attributions")


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


def test_only_one_process_begins_a_folder(tmp_path):
    first = claim_folder(tmp_path, {"a": 1}, "m")
    assert claim_folder(tmp_path, {"a": 1}, "m") == first
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


# --- reading ahead ---


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


def start(manifest: Path, out: Path, *more: str, **environment: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "musiclime_torch", "corpus", str(manifest), "--model", "demo", "--out", str(out)]
    options = ["--separator", "none", "--n-samples", "64", "--segments", "2", "--units", "line", "--shard-size", "2"]
    here = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    return subprocess.Popen([*command, *options, *more], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=here)


@pytest.mark.slow
def test_kills_lose_and_double_nothing_and_leave_no_process(manifest, entries, tmp_path):
    run(entries, tmp_path / "whole", shard_size=2)
    out, rng, finished = tmp_path / "killed", np.random.default_rng(0), 0
    for _ in range(3):
        process = start(manifest, out, "--workers", "1")
        while len(list(out.glob("songs/0*.parquet"))) <= finished and process.poll() is None:
            time.sleep(0.02)
        time.sleep(float(rng.uniform(0, 0.5)))
        process.kill()
        # Ends once every process that holds its pipes has gone.
        process.communicate(timeout=60)
        finished = len(list(out.glob("songs/0*.parquet")))
    process = start(manifest, out, "--workers", "1")
    said = process.communicate(timeout=200)[1]
    assert process.returncode == 0, said
    for name in ("attributions", "interactions"):
        assert read(out, name) == read(tmp_path / "whole", name)
    assert Counter(row[0] for row in read(out, "songs")) == Counter(entry.id for entry in entries)


@pytest.mark.slow
def test_two_ranks_side_by_side(manifest, entries, tmp_path):
    run(entries, tmp_path / "whole", shard_size=2)
    both = [start(manifest, tmp_path / "two", RANK=str(rank), WORLD_SIZE="2") for rank in range(2)]
    said = [process.communicate()[1] for process in both]
    assert all(process.returncode == 0 for process in both), said
    assert read(tmp_path / "two", "attributions") == read(tmp_path / "whole", "attributions")


# --- what it says ---


@given(st.integers(0, 10_000), st.integers(1, 12))
@settings(max_examples=15, deadline=None)
def test_importances_are_those_of_van_der_linden(seed, count):
    from tempfile import TemporaryDirectory

    songs = draw_songs(seed, count)
    with TemporaryDirectory() as folder:
        write_songs(Path(folder), songs)
        found = aggregate(folder, min_songs=2)
    sizes: dict[tuple[str, str], list[float]] = defaultdict(list)
    per_song: dict[tuple[str, str], dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for song in songs:
        for stem, place, word, value, _, unseen in song["rows"]:
            name = f"{stem} {place}" if stem else word.lower().replace("’", "'")
            if not unseen:
                sizes[song["class"], name].append(abs(value))
                per_song[song["class"], name][song["id"]] += value
    importance = {key: math.sqrt(sum(values)) for key, values in sizes.items()}
    totals: dict[str, float] = defaultdict(float)
    for (_, name), value in importance.items():
        totals[name] += value
    entropies: dict[str, float] = defaultdict(float)
    for (_, name), value in importance.items():
        entropies[name] -= value / totals[name] * math.log2(value / totals[name])
    low, high = min(entropies.values()), max(entropies.values())
    assert {(one.class_name, one.name) for one in found.features} == set(sizes)
    for one in found.features:
        key = (one.class_name, one.name)
        weight = 1 - (entropies[one.name] - low) / (high - low) if high > low else 1.0
        assert one.importance == pytest.approx(importance[key])
        assert one.average == pytest.approx(sum(sizes[key]) / len(sizes[key]))
        assert one.homogeneity == pytest.approx(weight * importance[key], abs=1e-9)
        assert one.mean == pytest.approx(sum(per_song[key].values()) / len(per_song[key]))
        assert (one.songs, one.components) == (len(per_song[key]), len(sizes[key]))


def test_intervals_come_from_resampled_songs_and_few_songs_get_none(tmp_path):
    rng = np.random.default_rng(1)
    values = rng.normal(1.0, 0.5, size=40)
    songs = [{"id": str(n), "class": "a", "rows": [(None, None, "x", float(v), 0.1, False)]} for n, v in enumerate(values)]
    songs += [{"id": f"r{n}", "class": "a", "rows": [(None, None, "rare", 9.0, 0.1, False)]} for n in range(3)]
    found = make_global(tmp_path, songs)
    one = next(feature for feature in found.features if feature.name == "x")
    half = 1.96 * values.std() / math.sqrt(40)
    assert one.low == pytest.approx(values.mean() - half, abs=0.05)
    assert one.high == pytest.approx(values.mean() + half, abs=0.05)
    rare = next(feature for feature in found.features if feature.name == "rare")
    assert rare.low is None
    assert [feature.name for feature in found.top("a", 5)] == ["x"]


def test_what_is_listed_allows_for_how_much_was_asked(tmp_path):
    rng = np.random.default_rng(5)
    songs = [
        {
            "id": str(n),
            "class": "a",
            "rows": [
                (None, None, "real", float(rng.normal(2, 0.5)), 0.1, False),
                *[(None, None, f"w{k}", float(rng.normal()), 0.1, False) for k in range(400)],
            ],
        }
        for n in range(30)
    ]
    found = make_global(tmp_path, songs)
    alone = [one for one in found.features if not one.low <= 0 <= one.high]
    assert len(alone) > 10  # intervals are each for itself
    listed = found.top("a", 500)
    assert listed[0].name == "real"
    assert len(listed) <= 3


def test_long_lyrics_do_not_win_by_counting(tmp_path):
    songs = [
        {
            "id": str(n),
            "class": "a",
            "rows": [("drums", 0, None, 1.0, 0.0, False), *[(None, None, f"w{k}", 0.3, 0.3, False) for k in range(200)]],
        }
        for n in range(12)
    ]
    (one,) = make_global(tmp_path, songs).classes
    # All of the words' size is sampling noise.
    assert (one.lyrics_share, one.lyrics_share_by_component) == (0.0, 0.0)
    assert one.stem_shares == {"drums": 1.0}


@pytest.mark.parametrize("planted", ["nothing", "boilerplate", "edge", "blind", "cut"])
def test_audits_find_what_was_planted_and_nothing_else(tmp_path, planted):
    found = make_global(tmp_path, plant(3, *(planted == one for one in ("boilerplate", "edge", "blind", "cut"))))
    findings = {one.kind: one for one in audit(tmp_path, found)}
    expected = {"nothing": set(), "boilerplate": {"boilerplate"}, "edge": {"position"}}.get(planted, {"unseen"})
    assert set(findings) == {"few songs", *expected}
    assert (findings["few songs"].about, findings["few songs"].examples) == (("jazz",), ("lonely",))
    if planted == "boilerplate":
        one = findings["boilerplate"]
        assert set(one.about) == {"you", "might", "also", "like"}
        assert len(set(one.examples)) == 10
        assert one.share == pytest.approx(6 / (6 + 40 * 0.3 * math.sqrt(2 / math.pi)), abs=0.05)
        songs = plant(3, False, False, False)[:30]
        against = [one | {"rows": [*one["rows"], (None, None, "never", -2.0, 0.1, False)]} for one in songs]
        found = make_global(tmp_path / "against", against)
        assert not [one for one in audit(tmp_path / "against", found) if one.kind == "boilerplate"], "it speaks against it"
    if planted == "edge":
        assert "the last position" in findings["position"].message
    if planted == "blind":
        assert findings["unseen"].examples == ("s0", "s1", "s2", "s3")
    if planted == "cut":
        assert "the last 3 of 8 positions" in findings["unseen"].message
        assert 25 < findings["unseen"].songs <= 31  # in some nothing is told from noise
        assert len(findings["unseen"].examples) == 10
        assert findings["unseen"].share < 0.01


def test_commands(manifest, tmp_path):
    out = tmp_path / "out"
    options = ["--model", "demo", "--separator", "none", "--n-samples", "64", "--segments", "4", "--workers", "0"]
    done = CliRunner().invoke(cli, ["corpus", str(manifest), *options, "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert "10 songs explained, 0 failed, 0 done before" in done.stderr
    folders = ["--out", str(tmp_path / "tables"), "--plots", str(tmp_path / "plots")]
    shown = CliRunner().invoke(cli, ["global", str(out), "--min-songs", "3", *folders])
    assert shown.exit_code == 0, shown.output
    assert "love song: means over 5 songs" in shown.stdout
    assert len(duckdb.sql(f"select * from '{tmp_path}/tables/features.csv'").fetchall()) > 8
    assert {path.suffix for path in (tmp_path / "tables").iterdir()} == {".csv", ".parquet"}
    assert len(list((tmp_path / "plots").glob("*.svg"))) == 5
    wrong = CliRunner().invoke(cli, ["global", str(out), "--class", "jazz"])
    assert "choose from drum fill, love song" in str(wrong.exception)
    assert "holds no run" in str(CliRunner().invoke(cli, ["global", str(tmp_path)]).exception)
    part = CliRunner().invoke(cli, ["corpus", str(manifest), *options, "--end", "1.5", "--out", str(tmp_path / "part")])
    assert part.exit_code == 0, part.output
    seconds = duckdb.sql(f"select distinct sound_seconds from '{tmp_path}/part/songs/*.parquet'").fetchall()
    assert seconds == [(pytest.approx(1.5, abs=0.01),)]
    for more, said in (
        (["--foil", "anthem"], "one song"),
        (["--baseline", "x.wav"], "silence or noise"),
        (["--actors", "2"], "not for --engine here"),
    ):
        failed = CliRunner().invoke(cli, ["corpus", str(manifest), *options, *more, "--out", str(tmp_path / "b")])
        assert said in str(failed.exception)


def test_a_bare_model_runs_too(entries, tmp_path):
    done = run_here(Additive(), begin_job(entries[:1], tmp_path, options={"segments": 2, "n_samples": 16}), workers=0)
    assert done.explained + done.failed == 1


def test_errors_of_shares_are_over_songs(tmp_path):
    rng = np.random.default_rng(2)
    songs, lyrics, each, drums = [], [], [], []
    for number in range(15):
        sound, words = rng.uniform(0.5, 2, 3), rng.uniform(0.5, 2, 2)
        rows = [(stem, 0, None, float(value), 0.0, False) for stem, value in zip("dbv", sound, strict=True)]
        rows += [(None, None, f"w{place}", float(value), 0.0, False) for place, value in enumerate(words)]
        songs.append({"id": str(number), "class": "a", "rows": rows})
        heard, read = (sound**2).sum(), (words**2).sum()
        lyrics.append(read / (read + heard))
        each.append((read / 2) / (read / 2 + heard / 3))
        drums.append(sound[0] ** 2 / heard)
    (one,) = make_global(tmp_path, songs).classes
    found = [
        (one.lyrics_share, one.lyrics_error),
        (one.lyrics_share_by_component, one.lyrics_error_by_component),
        (one.stem_shares["d"], one.stem_errors["d"]),
    ]
    for (share, error), values in zip(found, (lyrics, each, drums), strict=True):
        assert share == pytest.approx(np.mean(values))
        assert error == pytest.approx(np.std(values, ddof=1) / np.sqrt(15))


def test_words_that_act_with_stems_are_counted_over_songs(tmp_path):
    songs = [{"id": f"s{n}", "class": "a", "rows": [("drums", 0, None, 1.0, 0.1, False)]} for n in range(12)]
    write_songs(tmp_path, songs)
    shared = {"class": "a", "position": 0, "line": 1, "standard_error": 0.1}
    rows = [{**shared, "id": f"s{n}", "stem": "drums", "word": word, "interaction": 1.0} for n in range(11) for word in "Xx"]
    rows += [{**shared, "id": f"s{n}", "stem": "bass", "word": "rare", "interaction": 5.0} for n in range(3)]
    rows += [{**shared, "id": "s0", "stem": "drums", "word": "x", "interaction": 9.0, "class": "asked"}]
    digest = claim_folder(tmp_path, {}, "")
    write_table(rows, "interactions", tmp_path / "interactions" / "000000.parquet", digest)
    rows[0]["interaction"] += 11.0
    write_table(rows, "interactions", tmp_path / "interactions" / "000000.parquet", digest)
    (pair,) = aggregate(tmp_path).pairs
    spread = np.std([13.0] + [2.0] * 10, ddof=1)
    assert pair.standard_error == pytest.approx(spread / np.sqrt(11))
    assert pair.half_width(0.95) == pytest.approx(2.2281 * pair.standard_error, rel=1e-4)
    rows[0]["interaction"] -= 11.0
    write_table(rows, "interactions", tmp_path / "interactions" / "000000.parquet", digest)
    (pair,) = aggregate(tmp_path).pairs
    assert (pair.class_name, pair.stem, pair.word, pair.songs, pair.mean) == ("a", "drums", "x", 11, 2.0)
