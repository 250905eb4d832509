"""Exported files: mixes that sound, and everything the command writes."""

from pathlib import Path

import pytest
import soundfile
import torch
from click.testing import CliRunner

from musiclime_torch.basics.errors import InputError
from musiclime_torch.commands.cli import cli
from musiclime_torch.demo.bundle import load_demo_model, load_demo_track
from musiclime_torch.explanation.explainer import explain
from musiclime_torch.views.exports.files import write_mixes
from musiclime_torch.views.page.sound import measure_loudness


def test_mixes_are_as_loud_and_what_was_kept_alone_sounds(tmp_path: Path):
    track = load_demo_track()
    found = explain(load_demo_model(), track, segments=4, n_samples=(48, 96), target="drum fill", evidence=True)
    assert found.evidence is not None
    paths = {path.stem: path for path in write_mixes(found, track, tmp_path, "flac")}
    assert set(paths) >= {"song", "keeping"}
    sounds = {name: torch.from_numpy(soundfile.read(path, always_2d=True)[0].T) for name, path in paths.items()}
    assert all(float(sound.abs().max()) < 1 for sound in sounds.values())
    levels = [measure_loudness(sound, track.sample_rate) for sound in sounds.values()]
    assert max(levels) - min(levels) < 0.1
    song = sounds["song"]
    assert song.shape == (track.stems.shape[1], track.stems.shape[2])
    gain = float((song * track.stems.sum(0)).sum() / track.stems.sum(0).square().sum())
    assert torch.allclose(song, gain * track.stems.sum(0).double(), atol=1e-4)
    # Outside of the cells that keep the decision there is silence.
    cells = [found.components.items[column] for column in found.evidence.keeping]
    quiet = [
        second for second in range(int(track.seconds)) if all(not c.start - 0.1 <= second <= c.end + 0.1 for c in cells)
    ]
    assert quiet
    assert not any(sounds["keeping"][:, int(second * track.sample_rate)].any() for second in quiet)
    with pytest.raises(InputError, match="form must be wav or flac"):
        write_mixes(found, track, tmp_path, "mp3")


def test_the_command_writes_them_all(tmp_path: Path):
    options = ["--n-samples", "64", "--segments", "2", "--no-report", "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(cli, ["demo", *options, "--export", "audacity,sonic-visualiser,jams,csv,parquet,wav"])
    assert done.exit_code == 0, done.output
    names = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert names >= {"labels.txt", "regions.csv", "explanation.jams", "attributions.csv", "attributions.parquet"}
    assert "mixes/song.wav" in names
    assert not any(name.endswith((".html", ".partial")) for name in names)
    for more, said in ((["--export", "midi"], "choose from audacity"), (["--export", "csv"], "with --out")):
        failed = CliRunner().invoke(cli, ["demo", *(options if "midi" in more else []), *more])
        assert said in str(failed.exception)
