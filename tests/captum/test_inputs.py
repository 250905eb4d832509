import pytest
import torch
from captum.attr import FeatureAblation
from models import Additive, ById

from musiclime_torch.basics.errors import InputError
from musiclime_torch.captum import MusicLIME
from musiclime_torch.captum.inputs import lay_out
from musiclime_torch.explanation.explainer import explain
from musiclime_torch.song.track import Track
from musiclime_torch.variants.components import list_components


@pytest.mark.parametrize("kind", [Additive, ById])
def test_captums_classes_explain_the_same_components(track: Track, kind: type[Additive]):
    model = kind().eval()
    components = list_components(track, 4, "type", ("audio", "lyrics"))
    laid = lay_out(model, track, components)
    ours = explain(model, track, segments=4, units="type", n_samples=1)
    for attribution in (MusicLIME(laid.forward), FeatureAblation(laid.forward)):
        sound, words = attribution.attribute(
            laid.inputs, laid.baselines, target=1, feature_mask=laid.feature_mask, perturbations_per_eval=16
        )
        assert sound.shape == (1, 2, 1, 16000)
        for column, item in enumerate(components.items):
            values = torch.cat([sound.flatten(), words.flatten()])
            owners = torch.cat([m.expand_as(x).flatten() for m, x in zip(laid.feature_mask, laid.inputs, strict=True)])
            value = values[owners == column]
            assert (value == value[0]).all()
            assert abs(float(value[0]) - float(ours.attributions[1, column])) < 0.5, item.name  # hard cuts, no fades


def test_special_tokens_change_nothing(track: Track):
    model = Additive().eval()
    laid = lay_out(model, track, list_components(track, 2, "word", ("audio", "lyrics")))
    _, words = MusicLIME(laid.forward).attribute(
        laid.inputs, laid.baselines, target=0, feature_mask=laid.feature_mask, perturbations_per_eval=16
    )
    assert words[0, 0].abs().max() < 1e-4
    assert words[0, -1].abs().max() < 1e-4
    assert words[0, 1].abs().max() > 1e-2


def test_what_a_model_does_not_declare_may_be_given(track: Track):
    """The sentence about the rate says `sample_rate`: there is such an argument."""
    components = list_components(track, 2, "word", ("audio",))
    mean = lambda audio: audio.mean((1, 2))[:, None]  # noqa: E731
    with pytest.raises(InputError, match=r"give sample_rate"):
        lay_out(mean, track, components, modalities=("audio",))
    given = {"sample_rate": 8000, "modalities": ("audio",), "output_kind": "regression", "classes": ["loud"]}
    laid = lay_out(mean, track, components, **given)
    (sound,) = MusicLIME(laid.forward).attribute(laid.inputs, laid.baselines, feature_mask=laid.feature_mask)
    ours = explain(mean, track, segments=2, n_samples=1, **given)
    assert torch.allclose(sound[0, :, 0, [0, -1]].flatten().double(), ours.attributions[0], atol=1e-3)  # hard cuts, no fades
    with pytest.raises(InputError, match="not all different"):
        lay_out(mean, track, components, **given | {"classes": ["x", "x"]})


def test_what_captum_cannot_mask_is_refused(track: Track):
    components = list_components(track, 2, "word", ("audio", "lyrics"))

    def bare(audio: torch.Tensor, text: list[str]) -> torch.Tensor:
        return audio.mean((1, 2))

    bare.sample_rate = 8000
    with pytest.raises(InputError, match="reads strings"):
        lay_out(bare, track, components)
    with pytest.raises(InputError, match="'gone'"):
        lay_out(Additive(), track, components, "gone")
    short = Additive()
    short.max_seconds = 1.0
    with pytest.raises(InputError, match=r"hears 1 s"):
        lay_out(short, track, components)
