"""Broken sound files through the entry point: read and explained, or refused in a sentence; never silently shorter."""

import os
import resource
from collections import Counter
from pathlib import Path

import pytest
import torch
from broken_audio import Broken, break_all, write_intact
from watchdog import time_limit

from musiclime_torch.basics.errors import InputError
from musiclime_torch.explanation.explainer import explain
from musiclime_torch.song.track import load_track
from musiclime_torch.views.exports.files import to_json

#: Seconds that one file may take, on a machine that does other things too.
LIMIT = 20
#: Bytes by which the largest of them may raise what the process holds: sixty times what five seconds of them need.
MEMORY = 400 << 20


def hear(audio: torch.Tensor) -> torch.Tensor:
    level = audio.mean(1).square().mean(1)
    return torch.stack([level, -level], 1)


def run(path: Path) -> tuple[int, bool]:
    """As the command line does: frames read, and whether there was a warning."""
    track = load_track(path, separator="hpss", max_seconds=5)
    found = explain(hear, track, segments=1, n_samples=4, sample_rate=8000, modalities=("audio",))
    assert found.attributions.isfinite().all()
    assert set(track.warnings) <= set(found.warnings)
    to_json(found)
    return track.stems.shape[-1], bool(track.warnings)


def try_all(files: list[Broken], folder: Path) -> tuple[list[str], Counter[str]]:
    wrong, outcomes = [], Counter[str]()
    for broken in files:
        path = folder / broken.name
        path.write_bytes(broken.data)
        frames, warned = None, False
        try:
            with time_limit(LIMIT):
                frames, warned = run(path)
        except InputError as error:
            wrong += [f"{broken.name}: {error}"] * ("\n" in str(error))
        except Exception as error:
            wrong.append(f"{broken.name}: {error!r}")
        if fault := broken.judge(frames, warned):
            wrong.append(f"{broken.name} ({broken.frames} frames): {fault}")
        outcomes["refused" if frames is None else "warned" if warned else "read"] += 1
        path.unlink()
    return wrong, outcomes


def test_broken_files_are_read_or_refused_and_never_shorter_in_silence(tmp_path: Path):
    (tmp_path / "made").mkdir()
    files = list(break_all(tmp_path / "made", seed=0, cuts=9, flips=9))
    assert len(files) >= 300
    assert len({file.name for file in files}) > 0.98 * len(files)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    wrong, outcomes = try_all(files, tmp_path)
    assert not wrong, "\n".join(wrong)
    assert all(outcomes[kind] > 40 for kind in ("read", "warned", "refused")), outcomes
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < MEMORY


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["wav16", "w64", "aiff", "caf", "au", "flac", "mp3"])
def test_every_bit_of_the_first_bytes_may_flip(tmp_path: Path, kind: str):
    """The header of each format, bit after bit, read alone."""
    from broken_audio import flip_header

    from musiclime_torch.song.audio.recording import read_audio

    path = write_intact(tmp_path, kind)
    whole, frames = path.read_bytes(), read_audio(path, max_seconds=10).samples.shape[-1]
    wrong = []
    for broken in flip_header(kind, whole, frames, 52):
        path.write_bytes(broken.data)
        try:
            with time_limit(LIMIT):
                recording = read_audio(path, max_seconds=5)
        except InputError:
            continue
        if fault := broken.judge(recording.samples.shape[-1], bool(recording.warnings)):
            wrong.append(f"{broken.name}: {fault}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".mp3", ".m4a", ".lrc"])
def test_pipes_and_devices_are_refused_at_once(tmp_path: Path, suffix: str):
    pipe = tmp_path / f"pipe{suffix}"
    os.mkfifo(pipe)
    for path in (pipe, Path("/dev/zero"), Path("/dev/null"), Path("/dev/tty")):
        with time_limit(LIMIT), pytest.raises(InputError):
            load_track(path)
    song = write_intact(tmp_path, "wav16")
    for path in (pipe, Path("/dev/zero"), Path("/dev/null")):
        with time_limit(LIMIT), pytest.raises(InputError):
            load_track(song, lyrics=path, separator="none")
