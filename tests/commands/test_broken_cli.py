"""Broken songs and strange lyrics really through the command line: an answer or one sentence, no traceback, no hang."""

import json
from pathlib import Path

import pytest
from broken_audio import break_all
from broken_lyrics import make_strange
from warm import run_warm

#: Of the hundreds that the other tests read in one process.
SONGS = (
    "wav16-whole.wav",
    "wav-claims-4000000000.wav",
    "wav-channels-255.wav",
    "wav-rate-0.wav",
    "flac-claims-1599.flac",
    "holds-nan.aiff",
    "wav-as.raw",
    "empty.wav",
    "image.mp3",
    "text.vox",
    "bomb-of-unknown-length.flac",
    "wide.wav",
)
WORDS = (
    "utf-16-le-without-mark.txt",
    "nul.txt",
    "time-1.lrc",
    "nested-0.lrc",
    "digits.srt",
    "bad-fields.ass",
    "overrides.txt",
)


@pytest.mark.slow
def test_twenty_files_in_processes_of_their_own(tmp_path: Path):
    (tmp_path / "made").mkdir()
    songs = {broken.name: broken for broken in break_all(tmp_path / "made", seed=0, cuts=5, flips=0)}
    words = {strange.name: strange for strange in make_strange(0)}
    (tmp_path / "song.wav").write_bytes(songs["wav16-whole.wav"].data)
    for name in SONGS:
        (tmp_path / name).write_bytes(songs[name].data)
    for name in WORDS:
        (tmp_path / name).write_bytes(words[name].data)
    runs = [[name] for name in (*SONGS, "made")] + [["song.wav", "--lyrics", name] for name in WORDS]
    assert len(runs) == 20
    options = ["--separator", "none", "--segments", "1", "--n-samples", "8", "--max-duration", "5", "--device", "cpu"]
    answered = 0
    for arguments in runs:
        command = ["explain", *arguments, *options, "--format", "json"]
        if arguments == ["made"]:
            command = [part for part in command if part not in ("--separator", "none")]
        done = run_warm(command, tmp_path)
        assert "Traceback" not in done.stderr, (arguments, done.stderr)
        if done.returncode == 0:
            record = json.loads(done.stdout)
            answered += 1
            # Whatever isn't whole is said.
            if arguments[0] in ("wav-channels-255.wav", "flac-claims-1599.flac"):
                assert any("damaged" in warning for warning in record["warnings"]), arguments
        else:
            assert done.returncode == 2, (arguments, done.returncode, done.stderr)
            assert not done.stdout
            assert done.stderr.splitlines()[-1].startswith("musiclime: "), (arguments, done.stderr)
    assert 6 <= answered <= 14
