"""What explain can't take is one sentence with a way out, before a model is asked."""

from pathlib import Path

import numpy as np
import pytest
import torch
from models import Additive
from warm import run_warm

from musiclime_torch.basics.errors import InputError
from musiclime_torch.explanation.explainer import explain
from musiclime_torch.explanation.explanation import Explanation
from musiclime_torch.song.track import Track

#: Slips that shape annotations would refuse first, here, and what is said to them elsewhere.
SLIPS = [
    (
        {"lyrics_baseline": "foo"},
        "lyrics baseline 'foo' is not known: use mask, zero, pad, gone, other words (sad=happy) or guess:MODEL.",
    ),
    ({"lyrics_baseline": "Mask"}, "lyrics baseline 'Mask' is not known (did you mean 'mask'?): use mask, zero, pad, gone,"),
    ({"lyrics_baseline": ["mask"]}, "lyrics baseline ['mask'] is not known: use mask, zero, pad, gone, other words"),
    ({"units": "wrod"}, "lyric unit 'wrod' is not known: use word, type, line or section (did you mean 'word'?)."),
    ({"precision": "float16"}, "precision 'float16' is not known: use float32 or bfloat16 (did you mean 'bfloat16'?)."),
    ({"baseline": "birds"}, "baseline 'birds' is not known: use silence, noise, median, a gain (-12 dB), a filter"),
    ({"baseline": 3}, "baseline 3 is not known: use silence, noise, median, a gain (-12 dB)"),
    ({"track": "song.flac"}, "the track is a path: give load_track('song.flac')."),
    ({"answers": "a.st"}, "answers is a path: give load_answers('a.st')."),
    ({"answers": 3}, "expected Answers() or load_answers(path), got 3."),
    ({"track": 5}, "expected a Track from load_track(path) or made by hand, got 5."),
    ({"segments": 2.5}, "segments 2.5 are not understood: give a number of equal segments (10), a length (3s) or"),
    ({"segments": ["a"]}, "segments ['a'] are not understood: give a number"),
    ({"until": 5}, "until 5 is not understood: give 'top 5', 'width 0.1' or 'width 10%'."),
    ({"ridge": None}, "ridge must be a number such as 0.5, got None."),
    ({"confidence": "0.9"}, "confidence must be a number such as 0.5, got '0.9'."),
    ({"kernel_width": [1.0]}, "kernel_width must be a number such as 0.5, got [1.0]."),
    ({"seed": 1.5}, "seed 1.5 is not a whole number: give one, such as 3."),
    ({"modalities": "audio"}, "modalities 'audio' are not known: use ('audio', 'lyrics'), ('audio',) or ('lyrics',)."),
    ({"modalities": 2}, "modalities 2 are not known: use ('audio', 'lyrics'), ('audio',) or ('lyrics',)."),
    ({"classes": "ab"}, "expected a list of class names, got 'ab': give one for each output, such as ['sad', 'glad']."),
    ({"segments": 0}, "0 segments can't cover a song: give 1 or more."),
    ({"segments": "3x"}, "segments '3x' are not understood: give a number"),
    ({"kernel_width": 0.0}, "kernel_width must be above 0, got 0: LIME's own are 0.25"),
    ({"design": "crossed", "ridge": 1.0}, "a crossed design can't be solved with a ridge penalty: use design joint."),
    ({"classes": 2}, "expected a list of class names, got 2: give one for each output, such as ['sad', 'glad']."),
]  # fmt: skip


def test_slips_are_sentences(tmp_path: Path):
    """In a process of its own, where beartype doesn't refuse them first."""
    script = """
import sys, torch
from musiclime_torch import InputError, Track, explain
asked = []
def model(audio):
    asked.append(audio)
    return audio.mean((1, 2))
given = {"track": Track(torch.ones(1, 1, 800), ("a",), 800), "sample_rate": 800, "modalities": ("audio",)}
for options in eval(sys.argv[1]):
    try:
        explain(model, **(given | options))
    except InputError as error:
        print(error)
    else:
        print("taken")
assert not asked
"""
    done = run_warm([repr([options for options, _ in SLIPS])], tmp_path, script)
    assert done.returncode == 0, done.stderr
    for (_, said), line in zip(SLIPS, done.stdout.splitlines(), strict=True):
        assert line.startswith(said)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"confidence": 95.0}, "confidence must be between 0 and 1, got 95: give 0.95."),
        ({"confidence": 1.5}, "confidence must be between 0 and 1, got 1.5: give one such as 0.95."),
        ({"confidence": float("nan")}, "confidence must be between 0 and 1, got nan: give one such as 0.95."),
        ({"ridge": -1.0}, "ridge must be zero or positive, got -1."),
        ({"seed": -1}, "seed must be between 0 and 2**63 - 1, got -1."),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0."),
        (
            {"weights": "shapley", "until": "top 5"},
            "Shapley values are sampled without stopping: leave until 'top 5' out",
        ),
    ],
)
def test_numbers_out_of_range_name_the_way_out(track: Track, options, said: str):
    with pytest.raises(InputError) as caught:
        explain(Additive(), track, **options)
    assert str(caught.value).startswith(said)


def test_segments_may_be_numpys(track: Track, tmp_path):
    """Numbers and cut points alike; a file takes neither."""
    for given, meant in ((np.int64(3), 3), (np.array([0.5, 1]), [0.5, 1])):
        found = explain(Additive(), track, segments=given, n_samples=60)
        assert torch.equal(found.attributions, explain(Additive(), track, segments=meant, n_samples=60).attributions)
        found.save(tmp_path / "e.safetensors")
        assert Explanation.load(tmp_path / "e.safetensors").provenance["settings"]["segments"] == meant


def test_numbers_with_decimals_may_be_numpys(tmp_path):
    """In a process of its own: beartype has them be Python's."""
    script = """
import sys, torch, numpy as np
from musiclime_torch import Track, explain
track = Track(torch.rand(1, 1, 800), ("a",), 800)
given = {"ridge": np.float32(0.5), "confidence": np.float32(0.75), "kernel_width": np.float32(0.25)}
explain(lambda audio: audio.mean((1, 2)), track, sample_rate=800, modalities=("audio",), **given).save(sys.argv[1])
"""
    run_warm([tmp_path / "e.safetensors"], tmp_path, script).check_returncode()
    loaded = Explanation.load(tmp_path / "e.safetensors")
    assert (loaded.confidence, loaded.provenance["settings"]["ridge"]) == (0.75, 0.5)
