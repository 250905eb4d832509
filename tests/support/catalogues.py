"""Catalogues made up for tests: explanations as tables hold them, with findings that are known."""

from pathlib import Path

import numpy as np
import torch
from pyarrow import parquet

from musiclime_torch.corpus.findings.aggregation import aggregate
from musiclime_torch.corpus.findings.summaries import Global
from musiclime_torch.corpus.runs.shards import claim_folder
from musiclime_torch.corpus.runs.tables import SCHEMAS, write_table
from musiclime_torch.song.lyrics.lyrics import parse_lyrics
from musiclime_torch.song.track import Track

OPTIONS = {"n_samples": 64, "segments": 2, "units": "line"}

#: A word as a catalogue's comparison meets it: markup, an emoji's code, longer than a column.
LONG = "You might also like [b]this[/b] :cd: very long song by somebody else"


def write_songs(out: Path, songs: list[dict]) -> None:
    """A run's tables from lists of (kind, stem, position, word, attribution, ...) by song."""
    digest = claim_folder(out, {}, "")
    rows = [
        {
            "id": song["id"], "class": song["class"], "predicted": True, "attribution": value, "standard_error": error,
            "significant": abs(value) > 2 * error, "unseen": unseen, "kind": "lyrics" if stem is None else "audio",
            "stem": stem, "position": position, "start": None, "end": None, "word": word, "line": None,
        }
        for song in songs
        for stem, position, word, value, error, unseen in song["rows"]
    ]  # fmt: skip
    kept = [{**dict.fromkeys(SCHEMAS["songs"].names), "id": song["id"], "predicted": song["class"]} for song in songs]
    for name, table in (("attributions", rows), ("interactions", []), ("controls", []), ("failures", []), ("songs", kept)):
        write_table(table, name, out / name / "000000.parquet", digest)


def draw_songs(seed: int, songs: int) -> list[dict]:
    rng = np.random.default_rng(seed)
    words = ["love", "Love", "night", "don't", "don’t", "rain"]
    return [
        {
            "id": f"song{number}",
            "class": str(rng.choice(["pop", "rock"])),
            "rows": [
                *[
                    (stem, place, None, float(rng.normal()), 0.1, False)
                    for stem in ("drums", "vocals")
                    for place in range(3)
                ],
                *[
                    (None, None, str(rng.choice(words)), float(rng.normal()), 0.1, bool(rng.random() < 0.1))
                    for _ in range(6)
                ],
            ],
        }
        for number in range(songs)
    ]


def make_global(tmp_path: Path, songs: list[dict], **more) -> Global:
    write_songs(tmp_path, songs)
    return aggregate(tmp_path, **more)


def plant(seed: int, boilerplate: bool, edge: bool, blind: bool, cut: bool = False) -> list[dict]:
    rng = np.random.default_rng(seed)
    songs = []
    for number in range(30):
        rows = [("all", place, None, float(rng.normal(0, 0.2)), 0.1, False) for place in range(8)]
        if cut:
            rows[5:] = [("all", place, None, float(rng.normal(0, 0.02)), 0.02, False) for place in range(5, 8)]
        if edge:
            rows[7] = ("all", 7, None, 3.0, 0.1, False)
        rows += [(None, None, f"word{rng.integers(500)}", float(rng.normal(0, 0.3)), 0.1, False) for _ in range(40)]
        if boilerplate:
            rows += [
                (None, None, word, float(rng.normal(1.5, 0.1)), 0.1, False) for word in ("You", "might", "also", "like")
            ]
        if blind and number < 4:
            rows += [(None, None, f"late{n}", 0.0, 0.0, True) for n in range(30)]
        songs.append({"id": f"s{number}", "class": "pop", "rows": rows})
    return [*songs, {"id": "lonely", "class": "jazz", "rows": songs[0]["rows"][:8]}]


def song(name: str, *rows: tuple, of: str = "a") -> dict:
    return {"id": name, "class": of, "rows": list(rows)}


def heard(stem: str, value: float, place: int = 0, error: float = 0.0, unseen: bool = False) -> tuple:
    return stem, place, None, value, error, unseen


def read(word: str | None, value: float, error: float = 0.0, unseen: bool = False) -> tuple:
    return None, None, word, value, error, unseen


def write_run(out: Path, songs: list[dict], lines: bool = False, **columns: str) -> None:
    """A run whose songs say more, or whose lyrics are numbered lines."""
    write_songs(out, songs)
    for name, given in (("songs", columns), ("attributions", {"line": 3} if lines else {})):
        path = out / name / "000000.parquet"
        table = parquet.read_table(path)
        rows = [{**row, **given} for row in table.to_pylist()]
        parquet.write_table(table.from_pylist(rows, table.schema), path)


def make_track(seed: int, lyrics: str | None = "one two\nthree four", seconds: float = 2.0) -> Track:
    noise = torch.Generator().manual_seed(seed)
    stems = torch.randn(2, 1, round(seconds * RATE), generator=noise) * 0.1
    return Track(stems, ("drums", "vocals"), RATE, None if lyrics is None else parse_lyrics(lyrics), title=str(seed))


RATE, SEGMENTS = 1000, 5
