"""A run's rows are what `explain` says."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from catalogues import OPTIONS
from models import Additive
from pyarrow import parquet
from small_runs import read, run

from musiclime_torch.corpus.runs import running
from musiclime_torch.corpus.runs.job import begin_job
from musiclime_torch.corpus.runs.running import explain_shard
from musiclime_torch.demo.bundle import load_demo_model
from musiclime_torch.explanation.explainer import explain, explain_with
from musiclime_torch.song.manifest import Entry
from musiclime_torch.song.track import Track, load_track


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


def test_every_song_may_have_its_own_page(entries, tmp_path):
    songs = [replace(entries[0], id="an album/one"), replace(entries[1], id="../out")]
    done = run(songs, tmp_path / "run", pages=True)
    assert (done.explained, done.failed) == (2, 0)
    # An id that points out of the folder gets none.
    assert [path.relative_to(tmp_path) for path in tmp_path.rglob("index.html")] == [
        Path("run/pages/an album/one/index.html")
    ]
    page = (tmp_path / "run/pages/an album/one/index.html").read_text(encoding="utf-8")
    assert "<html" in page
    assert entries[0].audio.stem in page
    run(songs, tmp_path / "plain")
    assert not (tmp_path / "plain/pages").exists()


def test_a_quiet_stem_is_no_component_of_a_catalogue_either(entries, tmp_path):
    loud = 0.3 * torch.randn(2, 1, 8000, generator=torch.Generator().manual_seed(0))
    track = Track(torch.cat([loud, 0.001 * loud[:1].flip(-1)]), ("drums", "voice", "residual"), 8000)
    rows = {}
    for residual in (False, True):
        options = {"segments": 2, "n_samples": 64, "residual": residual}
        job = begin_job(entries[:1], tmp_path / str(residual), options=options, controls=1.0)
        rows[residual] = explain_shard(Additive(), job, [(entries[0], track)]).tables
        assert not rows[residual]["failures"]
    assert {row["stem"] for row in rows[False]["attributions"] if row["stem"]} == {"drums", "voice"}
    assert {row["stem"] for row in rows[True]["attributions"] if row["stem"]} == {"drums", "voice", "residual"}
    # The decoy of a control is quieter still, and stays a component.
    assert len(rows[False]["controls"]) > 0


@pytest.mark.parametrize(
    ("asked", "more", "expected"),
    [
        ("target", {}, "target"),
        ("target", {"targets": ["anthem"]}, ("anthem",)),
        (["ballad"], {"targets": ["anthem"]}, ("ballad", "anthem")),
        ("target", {"all_classes": True}, "all"),
        ("all", {"targets": ["anthem"]}, "all"),
    ],
)
def test_classes_that_get_rows_get_their_interactions(entries, tmp_path, monkeypatch, asked, more, expected):
    given = []

    def note(model, track, settings, *rest, **named):
        given.append(settings.interactions)
        return explain_with(model, track, settings, *rest, **named)

    monkeypatch.setattr(running, "explain_with", note)
    run(entries[:1], tmp_path, options=OPTIONS | {"interactions": asked}, **more)
    assert given == [expected]
