"""Lessons are what the model was asked anyway, and survive a file."""

from pathlib import Path

import pytest
import torch
from models import Late
from smooth import SEGMENTS, Smooth, make_song

from musiclime_torch.basics.errors import InputError
from musiclime_torch.explanation.explainer import explain_with
from musiclime_torch.explanation.lessons import Lesson, place_lesson, read_lesson, write_lesson
from musiclime_torch.explanation.settings import read_settings
from musiclime_torch.song.lyrics.lyrics import parse_lyrics
from musiclime_torch.song.track import Track


def learn(model: torch.nn.Module, track: Track, **options: object) -> list[Lesson]:
    lessons: list[Lesson] = []
    explain_with(model.eval(), track, read_settings({"segments": SEGMENTS, **options}), teach=lessons.append)
    return lessons


def render(track: Track, masks: torch.Tensor) -> torch.Tensor:
    """Sounds of masks without the fades at the cuts."""
    gates = masks.unflatten(1, (3, SEGMENTS)).float().repeat_interleave(track.stems.shape[2] // SEGMENTS, 2)
    return torch.einsum("nst,sct->nct", gates, track.stems)


def test_joint_masks_are_a_lesson_as_they_are():
    track = make_song(3)
    (lesson,) = learn(Smooth(), track, n_samples=96, design="joint")
    assert lesson.song == track.audio_hash
    assert lesson.seen == tuple(range(12))
    assert torch.equal(lesson.masks[0::2], ~lesson.masks[1::2])
    assert lesson.cells.shape[:2] == (SEGMENTS, 8)
    own = Smooth()(render(track, lesson.masks)).detach()
    torch.testing.assert_close(lesson.outputs, own, atol=0.3, rtol=0.0)
    assert float(own.std()) > 1


def test_crossed_masks_are_averaged_over_the_lyrics():
    track = make_song(3)
    words = Track(track.stems, track.stem_names, track.sample_rate, parse_lyrics("hold me now\nlove is my love"))
    (lesson,) = learn(Late(), words, n_samples=(96, 64))
    assert len(lesson.masks) >= 96
    assert lesson.outputs.shape == (len(lesson.masks), 3)
    assert torch.equal(lesson.masks[0::2], ~lesson.masks[1::2])
    # The mean over the lyrics is that of the interactions' additive part: close to the average of any many masks.
    (other,) = learn(Late(), words, n_samples=(96, 64), seed=1)
    torch.testing.assert_close(lesson.outputs.mean(0), other.outputs.mean(0), atol=0.1, rtol=0.0)


@pytest.mark.parametrize(
    "options",
    [
        {"n_samples": 96, "design": "bernoulli"},  # no pairs of complements
        {"weights": "shapley", "n_samples": 96},
        {"n_samples": 24, "segments": 12},  # fewer masks than teach anything
    ],
)
def test_other_masks_teach_nothing(options: dict[str, object]):
    assert learn(Smooth(), make_song(3), **options) == []


def test_every_mask_is_the_best_lesson():
    (lesson,) = learn(Smooth(), make_song(3), n_samples=4096)
    assert lesson.masks.shape == (4096, 12)
    assert torch.equal(lesson.masks[0::2], ~lesson.masks[1::2])


def test_a_lesson_survives_a_file(tmp_path: Path):
    (lesson,) = learn(Smooth(), make_song(3), n_samples=96, design="joint")
    path = place_lesson(tmp_path / "lessons", "a/../strange\0id")
    write_lesson(lesson, path)
    again = read_lesson(path)
    assert (again.seen, again.song) == (lesson.seen, lesson.song)
    for name in ("cells", "masks", "outputs"):
        assert torch.equal(getattr(again, name), getattr(lesson, name))
    path.write_bytes(b"no lesson")
    with pytest.raises(InputError, match="can't be read"):
        read_lesson(path)
