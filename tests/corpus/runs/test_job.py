"""A folder holds one run, which one process begins."""

import pytest
from catalogues import OPTIONS
from small_runs import run

from musiclime_torch.basics.errors import InputError
from musiclime_torch.basics.progress import Forecast
from musiclime_torch.corpus.runs.job import Watch
from musiclime_torch.corpus.runs.shards import claim_folder


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


def test_only_one_process_begins_a_folder(tmp_path):
    first = claim_folder(tmp_path, {"a": 1}, "m")
    assert claim_folder(tmp_path, {"a": 1}, "m") == first
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


def test_the_bar_of_a_catalogue_moves_with_the_passes_of_its_song():
    said: list[Forecast] = []
    now = 100.0
    bar = Watch(4, False, lambda forecast: said.append(forecast) or "", lambda: now)
    stages = bar.follow("first.mp3")
    stages.begin("asking", 100, at_most=True)
    stages.update(50)
    assert bar._reached == 0.5
    # Sampling was settled early: the next song begins where this one ends.
    bar.finish(1)
    assert bar._reached == 1
    following = bar.follow("second.mp3")
    following.begin("asking", 100)
    following.update(10)
    assert bar._reached == pytest.approx(1.1)
    bar.finish(3)
    assert bar._reached == 4


def test_the_first_song_foretells_all_of_them():
    said: list[Forecast] = []
    now = 100.0
    bar = Watch(40, False, lambda forecast: said.append(forecast) or "", lambda: now)
    bar.finish(10)
    stages = bar.follow("first.mp3")
    stages._clock = lambda: now
    stages.begin("asking", 100, at_most=True)
    stages.update(10)
    now = 110.0
    stages.update(10)
    # Ten seconds for ten of a hundred passes: eighty more for the rest, and thirty songs like it are left.
    assert said == [Forecast(30, 30 * (10.0 + 80.0), True)]
