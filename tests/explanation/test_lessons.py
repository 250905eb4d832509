"""Lessons are what the model was asked anyway, and survive a file."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from models import Late
from smooth import SEGMENTS, Smooth, make_song

from musiclime_torch.basics.errors import InputError
from musiclime_torch.explanation.explainer import explain_with
from musiclime_torch.explanation.lessons import Exercise, Lesson, place_lesson, read_lesson, write_lesson
from musiclime_torch.explanation.settings import read_settings
from musiclime_torch.models.contract import TokenBatch
from musiclime_torch.models.student_parts import Words
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
    sound = lesson.sound
    assert lesson.lyrics is None
    assert sound.song == track.audio_hash
    assert sound.seen == tuple(range(12))
    assert torch.equal(sound.masks[0::2], ~sound.masks[1::2])
    assert isinstance(sound.source, torch.Tensor)
    assert sound.source.shape[:2] == (SEGMENTS, 8)
    own = Smooth()(render(track, sound.masks)).detach()
    torch.testing.assert_close(sound.outputs, own, atol=0.3, rtol=0.0)
    assert float(own.std()) > 1


def sing(words: str) -> Track:
    track = make_song(3)
    return Track(track.stems, track.stem_names, track.sample_rate, parse_lyrics(words))


def test_crossed_masks_are_averaged_over_the_other_side():
    model, words = Late(), sing("hold me now\nlove is my love")
    (lesson,) = learn(model, words, n_samples=(96, 64))
    sound, lyrics = lesson.sound, lesson.lyrics
    assert lyrics is not None
    assert len(sound.masks) >= 96
    assert len(lyrics.masks) >= 64
    for side in (sound, lyrics):
        assert side.outputs.shape == (len(side.masks), 3)
        assert torch.equal(side.masks[0::2], ~side.masks[1::2])
    # The mean over the lyrics is that of the interactions' additive part: close to the average of any many masks.
    (other,) = learn(model, words, n_samples=(96, 64), seed=1)
    torch.testing.assert_close(sound.outputs.mean(0), other.sound.outputs.mean(0), atol=0.1, rtol=0.0)
    # By hand: what is read of each mask, fused with what is heard of every mask of the sound.
    assert isinstance(lyrics.source, Words)
    kept = torch.cat([lyrics.masks, torch.ones_like(lyrics.masks[:, :1])], 1)[:, lyrics.source.owner, None]
    read = model.encode_text(
        TokenBatch(torch.where(kept, lyrics.source.sung, lyrics.source.removed), torch.ones_like(kept[:, :, 0]))
    )
    heard = model.encode_audio(render(words, sound.masks))
    by_hand = torch.stack([model.fuse(heard, row.expand(len(heard), -1)).mean(0) for row in read]).detach()
    torch.testing.assert_close(lyrics.outputs, by_hand, atol=0.02, rtol=0.02)


def test_too_few_masks_of_the_words_teach_the_sound_alone():
    (lesson,) = learn(Late(), sing(" ".join(f"word{number}" for number in range(30))), n_samples=(96, 64))
    assert lesson.lyrics is None


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
    masks = lesson.sound.masks
    assert masks.shape == (4096, 12)
    assert torch.equal(masks[0::2], ~masks[1::2])


def list_tensors(side: Exercise) -> list[torch.Tensor]:
    source = vars(side.source).values() if isinstance(side.source, Words) else [side.source]
    return [*source, side.masks, side.outputs, torch.tensor(side.seen)]


def test_a_lesson_survives_a_file(tmp_path: Path):
    (lesson,) = learn(Late(), sing("hold me now\nlove is my love"), n_samples=(96, 64))
    path = place_lesson(tmp_path / "lessons", "a/../strange\0id")
    write_lesson(lesson, path)
    again = read_lesson(path)
    assert lesson.lyrics is not None
    assert again.lyrics is not None
    for before, after in ((lesson.sound, again.sound), (lesson.lyrics, again.lyrics)):
        assert after.song == before.song
        assert all(torch.equal(*pair) for pair in zip(list_tensors(before), list_tensors(after), strict=True))
    write_lesson(replace(lesson, lyrics=None), path)
    assert read_lesson(path).lyrics is None
    path.write_bytes(b"no lesson")
    with pytest.raises(InputError, match="can't be read"):
        read_lesson(path)
