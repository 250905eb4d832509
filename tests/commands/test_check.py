"""Means over songs, and `musiclime check`, most of it in this process."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from click.testing import CliRunner
from models import Additive
from scipy.stats import binomtest, spearmanr, t

from musiclime_torch.basics.errors import InputError
from musiclime_torch.commands.cli import cli
from musiclime_torch.explanation.explainer import explain
from musiclime_torch.faithfulness import check, summarise
from musiclime_torch.faithfulness.summary import list_rows
from musiclime_torch.faithfulness.table import tabulate, tabulate_means, to_text
from musiclime_torch.song.track import Track
from musiclime_torch.surrogate.intervals import bound_share, rank_correlation


def test_means_over_songs_have_intervals(track: Track):
    model = Additive()
    checks = [
        check(model, track, explain(model, track, segments=2, n_samples=60, target=name, seed=seed), seeds=1)
        for seed, name in enumerate(model.classes)
    ]
    found = summarise(checks, confidence=0.9)
    assert found.songs == 3
    assert [mean.row.key for mean in found.means] == [row.key for row in list_rows(checks[0])]
    for mean in found.means:
        figures = [next(row.figure for row in list_rows(one) if row.key == mean.row.key) for one in checks]
        own, random = ([getattr(one, name) for one in figures] for name in ("value", "random"))
        assert mean.row.figure.value == pytest.approx(np.mean(own))
        half = t.ppf(0.95, 2) * np.std(random, ddof=1) / 3**0.5
        assert (mean.random_low, mean.random_high) == pytest.approx((np.mean(random) - half, np.mean(random) + half))
        if mean.row.share:
            theirs = binomtest(round(sum(own)), 3).proportion_ci(0.9, method="wilson")
            assert (mean.low, mean.high) == pytest.approx(tuple(theirs))
        else:
            half = t.ppf(0.95, 2) * np.std(own, ddof=1) / 3**0.5
            assert (mean.low, mean.high) == pytest.approx((np.mean(own) - half, np.mean(own) + half))
    assert "means over 3 songs (90% intervals over songs)" in to_text(tabulate_means(found))
    assert "deletion area" in to_text(tabulate(checks[0]))
    with pytest.raises(InputError, match="at least 2 songs, got 1"):
        summarise(checks[:1])


def test_wilsons_interval_and_spearmans_correlation_are_scipys():
    for hits in range(8):
        assert bound_share(hits, 7, 0.95) == pytest.approx(
            tuple(binomtest(hits, 7).proportion_ci(method="wilson")), abs=1e-6
        )
    generator = torch.Generator().manual_seed(0)
    one, other = torch.randint(4, (2, 30), generator=generator).double()
    assert rank_correlation(one, other) == pytest.approx(spearmanr(one, other).statistic)
    assert rank_correlation(one, torch.ones(30)) == 0


LOUD = """
import torch
class Loud(torch.nn.Module):
    sample_rate, modalities, classes = 8000, ('audio',), ('loud', 'quiet')
    def __init__(self):
        super().__init__()
        self.gain = torch.nn.Parameter(torch.tensor([3.0, -1.0]))
    def forward(self, audio):
        return audio[:, :, :8000].square().mean((1, 2))[:, None] * self.gain * 100
"""
QUICK = ["--model", "loudness:Loud", "--separator", "midside", "--segments", "2", "--n-samples", "16", "--seeds", "1"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three stereo songs, one of which is none, their manifest, and a model."""
    for number in range(2):
        sound = np.random.default_rng(number).normal(size=(16000, 2)) * 0.1
        soundfile.write(tmp_path / f"{number}.wav", sound, 8000)
    (tmp_path / "songs.csv").write_text("id,audio\na,0.wav\nb,1.wav\nc,2.wav\n")
    (tmp_path / "loudness.py").write_text(LOUD)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    sys.modules.pop("loudness", None)
    return tmp_path


def run(*arguments: object):
    return CliRunner().invoke(cli, ["check", *map(str, arguments)], standalone_mode=False)


def test_one_song_as_json_and_in_a_folder(folder: Path):
    done = run("0.wav", *QUICK, "--format", "json", "--out", "found")
    assert done.exception is None, done.exception
    record = json.loads(done.stdout)
    assert record["target"] == "loud"
    assert record["components"] == 4
    assert {"value", "random", "spread", "better", "name"} == set(record["measures"]["deletion"])
    assert record["measures"]["overlap"]["value"] == 1
    assert "randomisation" in record["measures"]
    assert len(record["curves"]["shares"]) == len(record["curves"]["random_insertion"]) == 5
    assert json.loads((folder / "found" / "check.json").read_text()) == record
    assert "insertion area" in (folder / "found" / "check.txt").read_text()


def test_a_manifest_gives_means_and_says_which_songs_failed(folder: Path):
    done = run("songs.csv", *QUICK, "--no-shuffle", "--format", "json")
    assert done.exception is None, done.exception
    record = json.loads(done.stdout)
    assert record["songs"] == len(record["checks"]) == 2
    assert "randomisation" not in record["measures"]
    assert record["measures"]["deletion"]["low"] < record["measures"]["deletion"]["high"]
    assert list(record["failures"]) == ["c"]
    assert "2.wav" in done.stderr
    done = run("0.wav", "1.wav", *QUICK)
    assert "means over 2 songs" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give one or more songs or a manifest, or --demo"),
        (["0.wav", "--demo"], "not both"),
        (["2.wav"], "2.wav"),
        (["none.csv"], "no manifest"),
        (["0.wav", "1.wav", "--start", "1"], "--start is for one song, and 2"),
        (["0.wav", "--stems", "."], "midside and stems at once"),
        (["."], "midside and stems at once"),
        (["0.wav", "--out", "0.wav"], "is a file"),
        (["0.wav", "--out", 300 * "x"], "can't be written to (File name too long)"),
        ([300 * "x"], "xxx"),
        (["0.wav", "--target", "opera"], "choose one of"),
        (["0.wav", "--baseline", "2.wav"], "2.wav"),
    ],
)
def test_bad_input_is_one_sentence(folder: Path, arguments: list[str], message: str):
    done = run(*arguments, *QUICK)
    assert isinstance(done.exception, InputError), done.exception
    assert message in str(done.exception)
    assert not done.stdout


def test_a_baseline_song_is_given_to_both(folder: Path):
    done = run("0.wav", *QUICK, "--baseline", "1.wav", "--format", "json")
    assert done.exception is None, done.exception
    assert json.loads(done.stdout)["measures"]["fidelity"]["value"] > 0


@pytest.mark.slow
def test_the_embedded_song_is_checked_without_any_file(folder: Path):
    done = run(
        "--demo", "--n-samples", 200, "--seeds", 0, "--no-shuffle", "--chances", 2, "--device", "cpu", "--format", "json"
    )
    assert done.exception is None, done.exception
    record = json.loads(done.stdout)
    assert record["target"] == "anthem"
    assert record["measures"]["flip_3"]["value"] == 1
    assert record["measures"]["deletion"]["value"] < record["measures"]["deletion"]["random"]
