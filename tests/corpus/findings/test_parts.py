"""Tables read part by part say what they say at once, and what is kept between parts doesn't grow with the songs."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from musiclime_torch.corpus.findings import parts
from musiclime_torch.corpus.findings.aggregation import aggregate
from musiclime_torch.corpus.findings.auditing import Finding, audit
from musiclime_torch.corpus.findings.parts import sum_for_audit
from musiclime_torch.corpus.findings.summaries import Global
from musiclime_torch.corpus.runs.shards import claim_folder
from musiclime_torch.corpus.runs.tables import SCHEMAS, write_table

SONGS, SHARD, PLACES = 48, 7, 6


def write_run(out: Path, seed: int) -> None:
    """Songs with everything that is summed: a loud edge, a phrase in two thirds of them, lines of their own, words too late,
    ends that carry nothing in one class, pairs, decoys and rotations.
    """
    rng = np.random.default_rng(seed)
    digest = claim_folder(out, {}, "")
    for number, songs in enumerate(range(first, min(first + SHARD, SONGS)) for first in range(0, SONGS, SHARD)):
        tables: dict[str, list[dict]] = {name: [] for name in SCHEMAS}
        for song in songs:
            for name, rows in _draw_song(rng, song):
                tables[name] += rows
        for name, rows in tables.items():
            write_table(rows, name, out / name / f"{number:06d}.parquet", digest)


def _draw_song(rng: np.random.Generator, song: int) -> Iterator[tuple[str, list[dict]]]:
    of = "pop" if song % 3 else "jazz"
    own = {"id": f"s{song:02d}", "class": of}
    sound = [
        _row(
            own, float(rng.normal(0, 0.3) + (2.0 if place == PLACES - 1 and of == "pop" else 0.0)), stem=stem, position=place
        )
        for stem in ("drums", "bass")
        for place in range(PLACES)
    ]
    words = [_row(own, float(rng.normal(0, 0.3)), word=f"w{rng.integers(9)}") for _ in range(5)]
    lines = [_row(own, float(rng.normal(0, 0.3)), text=f"line {n} of {song}") for n in range(4)]
    phrase = [_row(own, float(rng.normal(1, 0.1)), text="You might also like")] if song % 4 else []
    late = [_row(own, 0.0, word=f"late{n}", unseen=True) for n in range(6)] if song % 5 == 0 else []
    yield "attributions", [*sound, *words, *lines, *phrase, *late]
    pair = {**own, "stem": "drums", "position": 0, "line": 1, "standard_error": 0.1}
    yield "interactions", [{**pair, "word": f"w{n}", "interaction": float(rng.normal(1, 0.2))} for n in range(3)]
    if song % 2:
        control = {**own, "kind": "audio", "standard_error": 0.05, "word": None}
        rotated = [
            {
                **control,
                **{"decoy": False, "stem": stem, "position": place, "origin": (place + 2) % PLACES},
                "attribution": float(rng.normal(1)),
            }
            for stem in ("drums", "bass")
            for place in range(PLACES)
        ]
        decoy = {**control, "decoy": True, "stem": "hiss", "position": 0, "origin": 0, "attribution": float(rng.normal(1))}
        yield "controls", [*rotated, decoy]
    yield "songs", [{**dict.fromkeys(SCHEMAS["songs"].names), "id": own["id"], "predicted": of}]


def _row(own: dict, value: float, **more: object) -> dict:
    kind = "audio" if "stem" in more else "lyrics"
    row = {**dict.fromkeys(SCHEMAS["attributions"].names), **own, "kind": kind, "predicted": True, "unseen": False}
    return {**row, "attribution": value, "standard_error": 0.1, "significant": bool(abs(value) > 0.2), **more}


def _summarise(out: Path) -> tuple[Global, tuple[Finding, ...]]:
    found = aggregate(out, min_songs=5)
    return found, audit(out, found, min_songs=5)


def _flatten(value: object) -> list[object]:
    if isinstance(value, dict):
        return [one for key, part in value.items() for one in (key, *_flatten(part))]
    if isinstance(value, list | tuple):
        return [one for part in value for one in _flatten(part)]
    # Sums in another order.
    return [pytest.approx(value, rel=1e-5, abs=1e-7) if isinstance(value, float) else value]


@pytest.mark.parametrize("seed", range(3))
def test_parts_say_what_the_whole_says(tmp_path, monkeypatch, seed):
    write_run(tmp_path, seed)
    found, findings = _summarise(tmp_path)
    assert {one.kind for one in findings} >= {"boilerplate", "position", "noise", "unseen"}
    assert found.pairs
    assert found.rotation is not None
    assert found.rotation.songs == SONGS // 2
    for rows in (1, 400):
        monkeypatch.setattr(parts, "PART", rows)
        assert len(parts.cut_parts(tmp_path)) > 2
        again, findings_again = _summarise(tmp_path)
        assert _flatten(asdict(again)) == _flatten(asdict(found))
        assert [_flatten(asdict(one)) for one in findings_again] == [_flatten(asdict(one)) for one in findings]


def test_what_is_kept_does_not_grow_with_songs(tmp_path, monkeypatch):
    write_run(tmp_path, 0)
    monkeypatch.setattr(parts, "PART", 600)
    assert len(parts.cut_parts(tmp_path)) == 2
    sums = sum_for_audit(tmp_path)
    kept = [row[0] for row in sums.execute("select word from spread").fetchall()]
    assert "you might also like" in kept
    assert not [word for word in kept if word.startswith("line")]
    (sizes,) = sums.execute("select (select count(*) from edge_songs), (select count(*) from sound_songs)").fetchall()
    assert sizes == (2 * 2 * 10, 10)
