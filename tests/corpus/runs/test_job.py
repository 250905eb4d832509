"""A folder holds one run, which one process begins."""

import pytest
from catalogues import OPTIONS
from small_runs import run

from musiclime_torch.basics.errors import InputError
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
