"""Explanations of bars and labels: planted causes, passes, names in all views, files, and the question asked again."""

import random
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from clicks import make_clicks

from musiclime_torch.basics.errors import InputError
from musiclime_torch.explanation.answers import Answers
from musiclime_torch.explanation.explainer import explain
from musiclime_torch.explanation.explanation import Explanation
from musiclime_torch.explanation.sentences import to_sentences
from musiclime_torch.explanation.settings import Settings
from musiclime_torch.faithfulness.question import recall
from musiclime_torch.song.track import Track

RATE = 4000


class Listens(torch.nn.Module):
    """Says yes the louder a tone of 400 Hz is."""

    sample_rate, channels, classes, output_kind, modalities = RATE, 1, ("no", "yes"), "logits", ("audio",)
    max_seconds: float | None = None

    def __init__(self) -> None:
        super().__init__()
        angles = 2 * torch.pi * 400 / RATE * torch.arange(400)
        self.waves = torch.nn.Parameter(torch.stack([angles.sin(), angles.cos()], 1) / 400)
        self.passes = 0

    def forward(self, audio: torch.Tensor) -> torch.Tensor:
        self.passes += len(audio)
        level = (audio[:, 0].unfold(-1, 400, 400) @ self.waves).square().sum((1, 2))
        return torch.stack([-level, level], 1)


def plant(seed: int, bars: int = 6) -> tuple[Track, str]:
    """A song of a few bars, one of which has the tone in one stem; and the name of its component."""
    drawn = random.Random(seed)
    tempo, bar, stem, start = drawn.uniform(90, 170), drawn.randrange(bars), drawn.randrange(2), drawn.uniform(0.1, 0.4)
    length = 240 / tempo
    clicks, _ = make_clicks(tempo, start + bars * length, rate=RATE, start=start, seed=seed)
    times = torch.arange(clicks.shape[-1]) / RATE - start
    inside = (times >= bar * length) & (times < (bar + 1) * length)
    hiss = 0.02 * torch.randn(clicks.shape, generator=torch.Generator().manual_seed(seed))
    stems = torch.stack([clicks, hiss])
    stems[stem] += 0.2 * inside * torch.sin(2 * torch.pi * 400 * times)
    return Track(stems, ("drums", "keys"), RATE, title="planted"), f"{('drums', 'keys')[stem]}, bar {bar + 1}"


@pytest.fixture(scope="module")
def explained() -> tuple[Track, Explanation]:
    track, _ = plant(1)
    return track, explain(Listens(), track, segments="bars", n_samples=64, target="yes")


def test_a_planted_bar_comes_first_in_twenty_of_twenty_songs():
    model, first = Listens(), []
    for seed in range(20):
        track, cause = plant(seed)
        top = explain(model, track, segments="bars", n_samples=64, target="yes").top(1)
        first.append(top[0][0].name == cause)
    assert sum(first) == 20


@pytest.mark.parametrize("window", [None, 2.0])
@pytest.mark.parametrize("seed", [3, 4])
def test_bars_cost_no_more_passes_than_ten_segments(window: float | None, seed: int):
    model, (track, _) = Listens(), plant(seed, bars=14)
    model.max_seconds = window
    counts = {}
    for segments in (10, "bars", "beats", "4bars", "sections"):
        model.passes = 0
        explain(model, track, segments=segments, n_samples=64)
        counts[segments] = model.passes
    # Two stems have four renderings in a window; ten segments of any lengths have at most this many windows.
    most = counts[10] if window is None else 4 * (track.seconds / window + 10)
    assert max(counts.values()) <= most, counts


def test_names_tempo_and_what_was_assumed_are_told(explained: tuple[Track, Explanation]):
    _, explanation = explained
    names = [item.name for item in explanation.components.items]
    assert names == [f"{stem}, bar {bar}" for stem in ("drums", "keys") for bar in range(1, 7)]
    assert any("bars of 4 beats are assumed" in warning for warning in explanation.warnings)
    assert explanation.provenance["settings"]["segments"] == "bars"
    assert ", bar " in to_sentences(explanation)[1]


def test_saved_names_come_back_and_older_files_are_read(explained: tuple[Track, Explanation], tmp_path: Path):
    track, explanation = explained
    explanation.save(tmp_path / "a")
    loaded = Explanation.load(tmp_path / "a")
    assert loaded.components == explanation.components
    assert loaded.components.timeline is not None
    explain(Listens(), track, segments=3, n_samples=64).save(tmp_path / "b")
    data = (tmp_path / "b").read_bytes()
    assert b'\\"timeline\\": null' in data
    # A file of a version without timelines, in as many bytes.
    (tmp_path / "b").write_bytes(data.replace(b'\\"timeline\\": null', b'\\"hymeline\\": null'))
    assert Explanation.load(tmp_path / "b").components.timeline is None


def test_the_question_is_asked_again_without_the_file(tmp_path: Path):
    track, _ = plant(1)
    (tmp_path / "labels.txt").write_text("1\t3\tverse\n3\t5\tchorus\n")
    explanation = explain(Listens(), track, segments=tmp_path / "labels.txt", n_samples=64, target="yes")
    assert explanation.components.items[1].name == "drums, verse"
    assert explanation.components.items[0].name.startswith("drums 0:00")
    (tmp_path / "labels.txt").unlink()
    question = recall(Listens(), track, explanation, None, None)
    assert question.components == explanation.components
    again = question.explain_again()
    assert torch.equal(again.attributions, explanation.attributions)
    assert again.provenance["settings"]["segments"] == "labels.txt"


def test_answers_of_other_borders_are_refused(tmp_path: Path):
    (track, _), model, answers = plant(1), Listens(), Answers()
    (tmp_path / "a.txt").write_text("1\t3\tverse\n")
    explain(model, track, segments=tmp_path / "a.txt", n_samples=64, answers=answers)
    (tmp_path / "a.txt").write_text("1\t3\tchorus\n")
    explain(model, track, segments=tmp_path / "a.txt", n_samples=64, answers=answers)
    (tmp_path / "a.txt").write_text("1\t4\tverse\n")
    with pytest.raises(InputError, match="other segments"):
        explain(model, track, segments=tmp_path / "a.txt", n_samples=64, answers=answers)


def test_silence_says_that_it_has_no_beat():
    track, _ = plant(1)
    silent = replace(track, stems=torch.zeros_like(track.stems))
    explanation = explain(Listens(), silent, segments="bars", n_samples=64)
    assert any("no beat was found" in warning for warning in explanation.warnings)
    assert explanation.components.n_segments == 10


@pytest.mark.parametrize("segments", ["bars", "4bars", "beats:a.txt", "a.txt", "lyrics", Path("folder/a.csv")])
def test_musical_segments_are_settings(segments: object):
    assert Settings(segments=segments).to_record()["segments"] == segments  # type: ignore[arg-type]


@pytest.mark.parametrize("segments", ["bar", "0bars", "a.pdf", "bars:a.pdf", Path("a"), "beat"])
def test_other_text_is_refused_before_anything_is_read(segments: object):
    with pytest.raises(InputError, match=r"are not understood|an ending that isn't known"):
        Settings(segments=segments)  # type: ignore[arg-type]
