"""A prediction is what the model itself returns for the song, named."""

import pytest
import torch
from models import RATE, Additive, Late

from musiclime_torch.basics.errors import InputError
from musiclime_torch.explanation.explainer import explain
from musiclime_torch.explanation.prediction import predict
from musiclime_torch.song.track import Track


@pytest.mark.parametrize("kind", [Additive, Late])
def test_outputs_are_those_that_explain_begins_with(track: Track, kind: type):
    model = kind()
    prediction, explanation = predict(model, track), explain(model, track, segments=1, n_samples=1)
    assert prediction.classes == explanation.classes == ("calm", "wild", "sad")
    assert torch.allclose(torch.tensor(prediction.outputs).double(), explanation.output_song, atol=1e-5)
    assert prediction.probabilities == pytest.approx(explanation.output_song.softmax(0).tolist(), abs=1e-5)
    assert prediction.top(1)[0][0] == explanation.classes[explanation.target]
    assert model.training


@pytest.mark.parametrize(
    ("kind", "outputs", "probabilities"),
    [
        ("multilabel", [0.0, 2.0], (0.5, 0.8808)),
        ("probabilities", [0.25, 0.75], (0.25, 0.75)),
        ("logits", [0.0, 0.0], (0.5, 0.5)),
        ("logits", [3.0], None),
        ("regression", [3.0, -1.0], None),
        ("embedding", [3.0, -1.0, 2.0], None),
    ],
)
def test_probabilities_only_where_there_are_any(track: Track, kind: str, outputs: list[float], probabilities: object):
    prediction = predict(
        lambda audio: torch.tensor([outputs]).expand(len(audio), -1),
        track,
        output_kind=kind,
        modalities=("audio",),
        sample_rate=RATE,
    )
    assert prediction.outputs == pytest.approx(outputs)
    assert prediction.probabilities == (probabilities and pytest.approx(probabilities, abs=1e-4))
    assert len(prediction.classes) == len(outputs)


def test_the_table_lists_the_largest_first(track: Track):
    prediction = predict(Additive(), track, classes=("a", "b", "c"))
    lines = prediction.to_text(2).splitlines()
    assert [line.split()[-1] for line in lines[1:3]] == [name for name, _, _ in prediction.top(2)]
    assert lines[0].split() == ["logits"]
    assert lines[3] == "1 more classes."
    assert prediction.to_record()["classes"][0]["class"] == prediction.top(1)[0][0]
    assert len(prediction.to_text(3).splitlines()) == 4


def test_channels_are_given_where_a_model_declares_none(track: Track):
    heard = []

    def listen(audio: torch.Tensor) -> torch.Tensor:
        heard.append(audio.shape[1])
        return audio.mean((1, 2))

    given = {"modalities": ("audio",), "sample_rate": RATE}
    predict(listen, track, **given)
    predict(listen, track, channels=2, **given)
    explain(listen, track, channels=2, segments=1, n_samples=1, **given)
    assert set(heard[:1]) == {1}
    assert set(heard[1:]) == {2}
    with pytest.raises(InputError, match="channels must be 1 or 2, got 3"):
        explain(listen, track, channels=3, **given)


@pytest.mark.parametrize("bad", [[float("nan"), 0.0], [float("inf"), 1.0]])
@pytest.mark.parametrize("kind", ["logits", "embedding"])
def test_outputs_that_are_no_numbers_are_refused(track: Track, bad: list[float], kind: str):
    with pytest.raises(InputError, match="finite"):
        predict(
            lambda audio: torch.tensor([bad]).expand(len(audio), -1),
            track,
            output_kind=kind,
            modalities=("audio",),
            sample_rate=RATE,
        )
