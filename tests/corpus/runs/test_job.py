"""A folder holds one run, which one process begins."""

from pathlib import Path

import pytest
from catalogues import OPTIONS

from musiclime_torch.basics.errors import InputError
from musiclime_torch.corpus.runs.job import begin_job
from musiclime_torch.corpus.runs.running import run_here
from musiclime_torch.corpus.runs.shards import Place, claim_folder
from musiclime_torch.demo.bundle import load_demo_model


def begin(entries, out: Path, **more):
    given = {"options": OPTIONS, "loading": {"separator": "none"}, "shard_size": 3} | more
    return begin_job(entries, out, **given)


def run(entries, out: Path, place: Place | None = None, **more):
    return run_here(load_demo_model(), begin(entries, out, **more), workers=0, place=place)


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
