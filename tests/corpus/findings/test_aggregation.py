"""Global importances and their intervals, against slow ways to the same."""

import math
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from catalogues import draw_songs, heard, make_global, read, song, write_songs
from hypothesis import given, settings, strategies as st

from musiclime_torch.corpus.findings.aggregation import aggregate
from musiclime_torch.corpus.runs.shards import claim_folder
from musiclime_torch.corpus.runs.tables import write_table


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
    for drawn in songs:
        for stem, place, word, value, _, unseen in drawn["rows"]:
            name = f"{stem} {place}" if stem else word.lower().replace("’", "'")
            if not unseen:
                sizes[drawn["class"], name].append(abs(value))
                per_song[drawn["class"], name][drawn["id"]] += value
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
