"""Planted songs whose decision an edit flips: the smallest edit is found, and is what the model says it is."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from models import Late

from musiclime_torch.basics.errors import InputError
from musiclime_torch.basics.progress import Stages
from musiclime_torch.explanation.answers import Answers
from musiclime_torch.explanation.edits import STEPS, look_for_edit
from musiclime_torch.explanation.evidence import Evidence
from musiclime_torch.explanation.explainer import explain, explain_with
from musiclime_torch.explanation.explanation import Explanation
from musiclime_torch.explanation.planning import describe_asked
from musiclime_torch.explanation.settings import Settings
from musiclime_torch.song.lyrics.lyrics import parse_lyrics
from musiclime_torch.song.track import Track
from musiclime_torch.surrogate.design import mask_ends
from musiclime_torch.variants.asking import run_joint
from musiclime_torch.variants.components import list_components
from musiclime_torch.variants.probe import edit_probe, probing
from musiclime_torch.variants.scale import settle_scale

#: Half a second each.
RATE, SEGMENTS, FRAMES = 8000, 3, 4000

Rule = Callable[[torch.Tensor], torch.Tensor]


def make_tone(frequency: float, frames: int = FRAMES) -> torch.Tensor:
    return torch.sin(2 * torch.pi * frequency * torch.arange(frames, dtype=torch.float64) / RATE).float()


def plant(seed: int, tones: dict[float, float]) -> tuple[Track, int, int]:
    """Three faintly noisy stems of three moments; one of them, for one moment, has tones of these frequencies and levels."""
    generator = torch.Generator().manual_seed(seed)
    stem, moment = (int(torch.randint(3, (), generator=generator)) for _ in range(2))
    stems = 0.003 * torch.randn(3, 1, SEGMENTS * FRAMES, generator=generator)
    stems[stem, 0, moment * FRAMES : (moment + 1) * FRAMES] += sum(level * make_tone(tone) for tone, level in tones.items())
    return Track(stems, ("drums", "bass", "vocals"), RATE), stem, moment


def measure_band(audio: torch.Tensor, low: float, high: float) -> torch.Tensor:
    """RMS between two frequencies in each moment, away from its ends: (batch, moment)."""
    moments = audio[:, 0].unflatten(1, (SEGMENTS, FRAMES))[:, :, 400:-400]
    spectrum = torch.fft.rfft(moments).abs().square()
    frequencies = torch.fft.rfftfreq(moments.shape[-1], 1 / RATE)
    return (2 * spectrum[..., (low <= frequencies) & (frequencies < high)].sum(-1)).sqrt() / moments.shape[-1]


def is_loud(audio: torch.Tensor) -> torch.Tensor:
    """A tone of RMS 0.21 is loud enough, and one 3 dB lower; one 6 dB lower isn't."""
    return measure_band(audio, 300, 800).amax(1) - 0.13


def is_bright(audio: torch.Tensor) -> torch.Tensor:
    """Anything at all above 2,500 Hz: it takes a filter, or silence, to be rid of it."""
    return measure_band(audio, 2500, 3990).amax(1) - 0.005


def is_in_tune(audio: torch.Tensor) -> torch.Tensor:
    """How much of what lies around 440 Hz is 440 Hz, however loud."""
    return (measure_band(audio, 432, 448) / (measure_band(audio, 350, 560) + 0.01)).amax(1) - 0.6


def search(track: Track, rule: Rule, **options: Any) -> Explanation:
    return explain(
        lambda audio: rule(audio)[:, None], track, sample_rate=RATE, modalities=("audio",), output_kind="multilabel",
        segments=SEGMENTS, n_samples=64, residual=True, **{"edits": True, **options},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "tones", "edits"),
    [
        (is_loud, {440.0: 0.3}, {"-6 dB"}),
        (is_bright, {200.0: 0.3, 3000.0: 0.2}, {"low-pass 2000 Hz"}),
        (is_in_tune, {440.0: 0.3}, {"+1 semitone", "-1 semitone"}),
    ],
)
def test_the_planted_edit_of_the_planted_part_is_found(rule: Rule, tones: dict[float, float], edits: set[str]):
    found = 0
    for seed in range(20):
        track, stem, moment = plant(seed, tones)
        explanation = search(track, rule)
        smallest = explanation.evidence.edit
        found += smallest.columns == (stem * SEGMENTS + moment,) and smallest.edit in edits
        assert smallest.output < 0 < explanation.output_song[0]
        assert smallest.edit in STEPS[smallest.step - 1]
    assert found == 20


@pytest.mark.parametrize(
    ("rule", "tones", "baseline"),
    [
        (is_loud, {440.0: 0.3}, "-6 dB"),
        (is_bright, {200.0: 0.3, 3000.0: 0.2}, "low-pass 2000 Hz"),
        (is_in_tune, {440.0: 0.3}, "+1 semitone"),
    ],
)
def test_the_planted_part_comes_first_where_the_edit_stands_in(rule: Rule, tones: dict[float, float], baseline: str):
    """And where a stem stays as it is in the model's ear, as a gain leaves what is in tune, nothing comes first."""
    found = 0
    for seed in range(20):
        track, stem, moment = plant(seed, tones)
        found += search(track, rule, edits=False, baseline=baseline).order()[0] == stem * SEGMENTS + moment
    assert found == 20
    track, *_ = plant(0, {440.0: 0.3})
    assert not search(track, is_in_tune, edits=False, baseline="+6 dB").attributions.abs().max() > 0.05


def test_a_word_that_becomes_another_is_found_first_in_all_of_20():
    words = ["night", "river", "stone", "window", "candle", "morning", "shadow", "winter", "garden", "silver"]
    found = 0
    for seed in range(20):
        order = torch.randperm(len(words), generator=torch.Generator().manual_seed(seed)).tolist()
        text = " ".join(words[place] for place in order[:5]) + "\n" + " ".join(words[place] for place in order[5:])
        track = Track(torch.zeros(1, 1, RATE), ("mix",), RATE, parse_lyrics(text))
        others = {word: f"my {word}s" for word in words} | {words[seed % 10]: "lantern"}
        # Yes without a lantern: of all other words, one alone flips the decision.
        explanation = explain(
            lambda texts: torch.tensor([[0.5 - ("lantern" in line)] for line in texts]), track, modalities=("lyrics",),
            output_kind="multilabel", lyrics_baseline=others, edits=True, n_samples=64,
        )  # fmt: skip
        smallest = explanation.evidence.edit
        planted = next(column for column, item in enumerate(explanation.components) if item.word == words[seed % 10])
        found += smallest.columns == (planted,) and (smallest.edit, smallest.step) == ("", 3)
        assert explanation.provenance["swaps"][str(planted)] == "lantern"
        assert abs(explanation.attributions[0, planted]) == explanation.attributions.abs().max()
    assert found == 20


def test_two_parts_are_edited_where_neither_alone_flips():
    """A tone in either of two stems is enough: both have to be lower, and a milder edit of both will do."""
    tones = ((440, 0.3), (450, 0.3), (1200, 0.1))
    stems = torch.stack([level * make_tone(tone, 3 * FRAMES) for tone, level in tones])[:, None]
    track = Track(stems, ("drums", "bass", "vocals"), RATE)

    def hear_either(audio: torch.Tensor) -> torch.Tensor:
        return torch.maximum(measure_band(audio, 430, 445), measure_band(audio, 445, 460))[:, 1] - 0.13

    smallest = search(track, hear_either).evidence.edit
    assert smallest.columns == (1, 4)
    assert smallest.step <= 2
    assert smallest.output < 0


def test_none_found_is_said_and_kept(tmp_path):
    track, *_ = plant(0, {440.0: 0.3})
    explanation = search(track, lambda audio: torch.ones(len(audio)))
    none = explanation.evidence.edit
    assert (none.columns, none.edit, none.output) == (None, "", None)
    assert none.variants > 100
    explanation.save(tmp_path / "e.safetensors")
    assert Explanation.load(tmp_path / "e.safetensors").evidence == explanation.evidence


def test_the_edit_is_saved(tmp_path):
    track, *_ = plant(0, {440.0: 0.3})
    explanation = search(track, is_loud)
    # Nine parts, four edits that the model hears at each of two steps; nothing is tried beyond.
    assert explanation.evidence.edit.variants == 9 * 4 * 2
    explanation.save(tmp_path / "e.safetensors")
    assert Explanation.load(tmp_path / "e.safetensors").evidence == explanation.evidence


def test_edits_need_a_decision(track: Track):
    with pytest.raises(InputError, match="edits needs a classifier"):
        explain_with(
            lambda audio: audio.mean((1, 2)), track,
            Settings(sample_rate=8000, modalities=("audio",), output_kind="regression", edits=True),
        )  # fmt: skip


class Windowed(torch.nn.Module):
    """Hears half a second at a time, and counts."""

    sample_rate, channels, classes, output_kind, modalities = RATE, 1, ("loud",), "multilabel", ("audio",)
    max_seconds: float | None = 0.5

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))
        self.passes = 0

    def forward(self, audio: torch.Tensor) -> torch.Tensor:
        self.passes += len(audio)
        return self.weight * (audio.square().mean((1, 2)).sqrt() - 0.05)[:, None]


def test_windows_that_an_edit_leaves_alone_are_not_run_again():
    """And the answer is that of a model that hears all at once would be, window by window."""
    track, *_ = plant(0, {440.0: 0.3})
    model, counts = Windowed(), []
    for asked in ({"evidence": True}, {"edits": True}):
        model.passes = 0
        explanation = explain(model, track, segments=SEGMENTS, residual=True, **asked)
        counts.append(model.passes)
    smallest = explanation.evidence.edit
    assert smallest.columns is not None
    # An edit of one part is one pass, for all other windows are the song's, and its end one more.
    assert counts[1] - counts[0] <= smallest.variants + 1
    assert smallest.output < 0


def test_a_search_that_takes_too_long_ends_with_a_sentence():
    track, *_ = plant(0, {440.0: 0.3})
    model = Windowed()
    settings = Settings(segments=SEGMENTS, residual=True)
    subject, space = describe_asked(model, settings)
    components = list_components(track, SEGMENTS, "word", subject.modalities)
    with probing(subject, track, components, "silence", None, 0, torch.device("cpu"), 64, "float32", Stages()) as probe:
        scale = settle_scale(subject, run_joint(probe, mask_ends(len(probe.seen))), space, None, None)
        evidence = Evidence("", None, None, None, None, 0)
        order = torch.arange(len(probe.seen)).float()
        make = partial(edit_probe, probe, track, components, seed=0)
        before = model.passes
        same, said = look_for_edit(probe, scale, order, evidence, make, most=20)
        assert same == evidence
        assert len(said) == 1
        assert said[0].startswith("the search for edits was stopped after 20 forward passes, as many as the sampling took")
        assert model.passes - before <= 20


def test_a_late_fusion_model_reads_its_lyrics_once(track: Track):
    """The edits of the sound cost no pass of the lyrics' encoder beyond those of the evidence."""
    counts = []
    for asked in ({"evidence": True}, {"edits": True}):
        model = Late()
        read = model.encode_text
        texts = 0

        def counting(text: Any, read: Any = read) -> torch.Tensor:
            nonlocal texts
            texts += len(text.embeddings)
            return read(text)

        model.encode_text = counting
        explanation = explain(model, track, segments=4, n_samples=200, answers=Answers(), **asked)
        counts.append(texts)
    assert explanation.evidence.edit is not None
    assert counts[1] <= counts[0] + 2**7
