"""Answers are kept: a second question costs no pass, in memory and from a file, and never another song's answers."""

from dataclasses import replace

import pytest
import torch
from models import RATE, Late

from musiclime_torch.basics.errors import InputError
from musiclime_torch.explanation.answers import Answers, load_answers, save_answers
from musiclime_torch.explanation.explainer import explain
from musiclime_torch.song.track import Track


class Net(torch.nn.Module):
    """Two classes from the sound; a window of half a second unless it takes all of it."""

    sample_rate, classes, modalities = RATE, ("a", "b"), ("audio",)

    def __init__(self, max_seconds: float | None = 0.5) -> None:
        super().__init__()
        self.max_seconds, self.rows = max_seconds, 0
        self.layer = torch.nn.Linear(4, 2)
        with torch.no_grad():
            self.layer.bias.zero_()
            self.layer.weight.copy_(torch.randn(2, 4, generator=torch.Generator().manual_seed(0)))

    def forward(self, audio: torch.Tensor) -> torch.Tensor:
        self.rows += len(audio)
        return self.layer(10 * audio.mean(1).unfold(-1, audio.shape[-1] // 4, audio.shape[-1] // 4).square().mean(-1)).tanh()


class Reading(Late):
    """Both sides, and windows of half a second; counts what it encodes."""

    max_seconds = 0.5


class Words:
    """The lyrics alone, as strings."""

    classes, modalities, text_form, rows = ("a", "b"), ("lyrics",), "strings", 0

    def __call__(self, text: list[str]) -> torch.Tensor:
        self.rows += len(text)
        return torch.tensor([[line.count("love") * len(line.split()), line.count("now")] for line in text]).float()


def count(model) -> int:
    return sum(model.encoded.values()) if isinstance(model, Late) else model.rows


LATER = [{"foil": 0, "target": 1}, {"target": 0}, {"evidence": True}, {"confidence": 0.8}, {"space": "probability"}, {}]


@pytest.mark.parametrize("make", [Net, lambda: Net(None), Reading, Late, Words])
def test_a_second_question_of_the_same_masks_costs_no_pass(track: Track, make):
    model, answers = make(), Answers()
    given = {"segments": 4, "n_samples": 200, "answers": answers}
    first = explain(model, track, **given)
    asked = count(model)
    assert asked > 0
    assert answers.count > 0
    again = explain(model, track, **given)
    assert torch.equal(again.attributions, first.attributions)
    for question in LATER:
        if "evidence" not in question:
            explain(model, track, **given, **question)
            assert count(model) == asked, question
    explain(model, track, evidence=True, **given)
    asked = count(model)
    explain(model, track, evidence=True, **given)
    assert count(model) == asked


def test_without_answers_nothing_is_kept(track: Track):
    model = Net()
    explain(model, track, segments=4)
    asked = model.rows
    explain(model, track, segments=4)
    assert model.rows == 2 * asked


@pytest.mark.parametrize("make", [Net, lambda: Net(None)])
def test_a_file_brings_them_back(track: Track, tmp_path, make):
    model, answers = make(), Answers()
    first = explain(model, track, segments=4, n_samples=64, answers=answers)
    save_answers(answers, tmp_path / "answers.safetensors")
    asked = model.rows
    again = explain(model, track, segments=4, n_samples=64, answers=load_answers(tmp_path / "answers.safetensors"))
    assert model.rows == asked
    assert torch.equal(again.attributions, first.attributions)


def alter_weights(model: Net) -> Net:
    with torch.no_grad():
        model.layer.bias.add_(1.0)
    return model


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda track: {"model": alter_weights(Net())}, "other weights of the model"),
        (lambda track: {"track": Track(track.stems * 0.5, track.stem_names, RATE)}, "to another song"),
        (lambda track: {"segments": 5}, "to other segments"),
        (lambda track: {"baseline": "noise"}, "to another baseline"),
        (lambda track: {"model": Net(0.25)}, "to another sample rate"),
        (lambda track: {"track": replace(track, stem_names=("bass", "vocals"))}, "to other stems"),
    ],
)
def test_answers_to_another_question_are_refused_by_name(track: Track, change, message: str):
    answers = Answers()
    explain(Net(), track, segments=4, answers=answers)
    given = {"model": Net(), "track": track, "segments": 4} | change(track)
    with pytest.raises(InputError, match=message):
        explain(**given, answers=answers)


def test_a_file_that_was_changed_is_refused(track: Track, tmp_path):
    answers, path = Answers(), tmp_path / "answers.safetensors"
    explain(Net(), track, segments=4, answers=answers)
    save_answers(answers, path)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match="were changed after they were written"):
        load_answers(path)
    path.write_text("no answers")
    with pytest.raises(InputError, match="can't be read"):
        load_answers(path)


def test_answers_of_a_model_without_weights_stay_in_memory(track: Track, tmp_path):
    answers = Answers()
    with pytest.raises(InputError, match="there are no answers yet"):
        save_answers(answers, tmp_path / "answers")
    explain(Words(), track, answers=answers)
    with pytest.raises(InputError, match="has no weights that would tell its answers from another model's"):
        save_answers(answers, tmp_path / "answers")


def test_a_baseline_song_is_known_by_its_stems(track: Track):
    """Songs made by hand have no file, and the same file may be separated in several ways."""
    answers = Answers()
    first, second = (Track(track.stems.roll(shift, -1), track.stem_names, RATE) for shift in (100, 900))
    explain(Net(), track, segments=4, baseline=first, answers=answers)
    with pytest.raises(InputError, match="to another baseline"):
        explain(Net(), track, segments=4, baseline=second, answers=answers)


def test_a_model_without_weights_is_known_as_an_object(track: Track):
    def make(gain: float):
        return lambda audio: (gain * audio.square().mean((1, 2)))[:, None]

    given = {"sample_rate": RATE, "modalities": ("audio",), "output_kind": "regression", "segments": 2}
    model, answers = make(1.0), Answers()
    first = explain(model, track, **given, answers=answers)
    assert torch.equal(explain(model, track, **given, answers=answers).output_song, first.output_song)
    with pytest.raises(InputError, match="to another model"):
        explain(make(100.0), track, **given, answers=answers)


def test_answers_that_cannot_be_written_are_one_sentence(track: Track, tmp_path):
    answers = Answers()
    explain(Net(), track, segments=2, answers=answers)
    for path in (tmp_path / "nowhere" / "a.st", "."):
        with pytest.raises(InputError, match="can't be written"):
            save_answers(answers, path)


@pytest.mark.parametrize("late", [False, True])
def test_a_width_that_changes_between_calls_is_one_sentence(track: Track, late: bool):
    class Narrowing(Net):
        calls = 0

        def forward(self, audio: torch.Tensor) -> torch.Tensor:
            self.calls += 1
            outputs = super().forward(audio)
            return outputs if self.calls < 2 else outputs[:, :1]

    class NarrowingLate(Reading):
        calls = 0

        def encode_audio(self, audio: torch.Tensor) -> torch.Tensor:
            self.calls += 1
            encoded = super().encode_audio(audio)
            return encoded if self.calls < 2 else encoded[:, :1]

    with pytest.raises(InputError, match=r"at first and .* later"):
        explain(NarrowingLate() if late else Narrowing(), track, segments=4)


@pytest.mark.parametrize(
    ("first", "then", "what"),
    [
        ({"baseline": "-12 dB"}, {"baseline": "-6 dB"}, "another baseline"),
        ({"baseline": "drums=noise", "seed": 0}, {"baseline": "drums=noise", "seed": 1}, "another baseline"),
        ({"lyrics_baseline": "love=hate"}, {"lyrics_baseline": "love=dear"}, "another lyrics baseline"),
    ],
)
def test_answers_belong_to_one_stand_in(track: Track, first: dict, then: dict, what: str):
    answers, model = Answers(), Late()
    explain(model, track, segments=2, n_samples=32, answers=answers, **first)
    explain(model, track, segments=2, n_samples=32, answers=answers, **first)
    with pytest.raises(InputError, match=f"these answers belong to {what}"):
        explain(model, track, segments=2, n_samples=32, answers=answers, **then)
