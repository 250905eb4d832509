"""Songs explained as their own control: what was planted is found, and nothing where nothing was."""

from dataclasses import replace
from pathlib import Path

import duckdb
import pytest
import torch
from catalogues import RATE, SEGMENTS, make_track
from hypothesis import given, settings, strategies as st
from torch import Tensor

from musiclime_torch.corpus.findings.aggregation import aggregate
from musiclime_torch.corpus.findings.auditing import audit
from musiclime_torch.corpus.findings.summaries import Global
from musiclime_torch.corpus.runs.controls import DECOY, FILLER, is_chosen, make_control
from musiclime_torch.corpus.runs.job import begin_job, write_shard
from musiclime_torch.corpus.runs.running import explain_shard
from musiclime_torch.song.manifest import Entry
from musiclime_torch.song.track import Track
from musiclime_torch.variants.components import cut, list_components


@given(st.integers(0, 10_000), st.sampled_from([1, 2, 5, "0.3s", (0.5, 0.7, 1.9)]))
@settings(max_examples=40, deadline=None)
def test_rotating_moves_whole_segments(seed, segments):
    track = make_track(seed)
    control = make_control(track, segments, f"song{seed}")
    before = [round(edge * RATE) for edge in cut(track.seconds, segments)]
    after = [round(edge * RATE) for edge in control.edges]
    assert (after[0], after[-1], len(after)) == (0, before[-1], len(before))
    count = len(before) - 1
    assert control.shift == 0 if count == 1 else 1 <= control.shift < count
    for place in range(count):
        origin = (place + control.shift) % count
        here = control.track.stems[:2, :, after[place] : after[place + 1]]
        there = track.stems[:, :, before[origin] : before[origin + 1]]
        assert here.shape == there.shape
        # But for the fades at the one joint that is new.
        assert torch.equal(here[..., 6:-6], there[..., 6:-6])


def test_decoys_are_inaudible_and_mean_nothing():
    control = make_control(make_track(1), SEGMENTS, "a")
    assert control.track.stem_names == ("drums", "vocals", DECOY)
    hiss, song = control.track.stems[2], control.track.stems[:2].sum(0)
    assert 0 < float(hiss.square().mean().sqrt() / song.square().mean().sqrt()) < 1.1e-5
    assert control.track.lyrics.text == f"one two\n{FILLER}\nthree four"
    for units, decoys in (("word", ["lorem", "ipsum", "dolor", "sit"]), ("line", [FILLER]), ("section", [])):
        components = list_components(control.track, control.edges[1:-1], units, ("audio", "lyrics"))
        found = [column for column in range(len(components)) if control.is_decoy(components, column)]
        assert found[:SEGMENTS] == list(range(2 * SEGMENTS, 3 * SEGMENTS))
        shown = [components.items[column] for column in found[SEGMENTS:]]
        texts = [control.track.lyrics.text[one.spans[0][0] : one.spans[0][1]] for one in shown]
        assert texts == decoys


def test_songs_are_chosen_by_their_ids():
    chosen = [name for name in map(str, range(2000)) if is_chosen(name, 0.1)]
    assert 140 < len(chosen) < 260
    assert set(chosen) <= {name for name in map(str, range(2000)) if is_chosen(name, 0.5)}
    assert all(is_chosen(name, 1.0) for name in chosen)
    assert not any(is_chosen(name, 0.0) for name in chosen)


class Listener:
    """Loudness of each fifth of the sound with its weight, plus one for "two"; and what was planted."""

    sample_rate, classes, max_seconds = RATE, ("quiet", "loud"), None

    def __init__(self, planted: str) -> None:
        self.planted = planted

    def __call__(self, audio: Tensor, text: list[str]) -> Tensor:
        # Without the edges, into which neighbours fade.
        parts = torch.stack([part[..., 9:-9].square().mean((1, 2)) for part in audio.chunk(SEGMENTS, -1)], 1)
        weights = torch.tensor([5.0, 0.0, 0.0, 0.0, 0.0]) if self.planted == "place" else torch.ones(SEGMENTS)
        score = 100 * (parts * weights).sum(1)
        if self.planted == "hiss":  # hears that there is something, however faint
            score = score + 4 * (parts > 0).float().sum(1)
        words = torch.tensor([float("two" in line) + (self.planted == "filler") * line.count("o") / 2 for line in text])
        return torch.stack([-1 + 0 * score, score + words], 1)


def uneven(track: Track, seed: int) -> Track:
    """Louder in some segments than in others, so that there is something to go with the music."""
    gains = torch.rand(2, SEGMENTS, generator=torch.Generator().manual_seed(seed))
    return replace(track, stems=track.stems * gains.repeat_interleave(track.stems.shape[-1] // SEGMENTS, 1)[:, None])


def run(tmp_path: Path, model: Listener, songs: int = 24) -> Global:
    entries = [Entry(f"s{number}") for number in range(songs)]
    job = begin_job(entries, tmp_path, options={"segments": SEGMENTS, "n_samples": 256}, controls=1.0, shard_size=songs)
    tracks = [uneven(make_track(number), number) for number in range(songs)]
    rows = explain_shard(model, job, zip(entries, tracks, strict=True))
    assert not rows.tables["failures"]
    write_shard(job, job.shards[0], rows)
    return aggregate(tmp_path)


@pytest.mark.parametrize(
    ("planted", "expected"),
    [("nothing", set()), ("place", {"rotation", "position", "unseen"}), ("hiss", {"noise"}), ("filler", {"noise"})],
)
def test_controls_find_what_was_planted_and_nothing_else(tmp_path, planted, expected):
    found = run(tmp_path, Listener(planted))
    findings = {one.kind: one for one in audit(tmp_path, found)}
    # "two" is in every song of this catalogue, which is just what boilerplate looks like.
    assert set(findings) - {"boilerplate"} == expected
    assert all(one.examples for one in findings.values())
    assert found.rotation is not None
    assert {floor.kind for floor in found.floors} == {"audio", "lyrics"}
    if planted == "place":
        assert "the last 4 of 5 positions" in findings["unseen"].message
        assert findings["rotation"].share > 0.9
        weights = duckdb.sql(
            f"select id, sum(abs(attribution)) from '{tmp_path}/attributions/*.parquet' "
            "where class = 'loud' and position = 0 group by id order by 2 desc"
        ).fetchall()
        assert findings["position"].examples == tuple(song for song, _ in weights[:10])
    elif planted == "nothing":
        assert found.rotation.music == pytest.approx(1, abs=0.1)
        assert abs(found.rotation.position) < 0.1
    if planted in ("hiss", "filler"):
        heard = "hiss" if planted == "hiss" else "filler words"
        assert heard in findings["noise"].message
        (loud,) = [floor for floor in found.floors if floor.ratio > 0.25]
        assert loud.size > 0.1


def test_a_catalogue_without_controls_says_nothing_of_them(tmp_path):
    entries = [Entry("a")]
    job = begin_job(entries, tmp_path, options={"segments": SEGMENTS, "n_samples": 64})
    write_shard(job, job.shards[0], explain_shard(Listener("place"), job, [(entries[0], make_track(0))]))
    found = aggregate(tmp_path, min_songs=2)
    assert (found.floors, found.rotation) == ((), None)
