"""The front end that is fast on a CPU, beside the layers that define it."""

import pytest
import torch
from torch import nn

from musiclime_torch.explanation.explainer import explain
from musiclime_torch.models.musicnn import TAGS, Musicnn, pool_bands
from musiclime_torch.song.track import Track


def make_layers(reach: int, bands: int, count: int) -> nn.Sequential:
    """Scales of both signs, shifts and biases far from zero."""
    torch.manual_seed(reach)
    norm = nn.BatchNorm2d(count)
    for values in (norm.weight, norm.bias, norm.running_mean):
        nn.init.normal_(values)
    norm.running_var.uniform_(0.1, 2.0)
    convolution = nn.Conv2d(1, count, (reach, bands))
    nn.init.normal_(convolution.bias)
    return nn.Sequential(nn.ZeroPad2d((0, 0, (reach - 1) // 2, reach // 2)), convolution, nn.ReLU(), norm).eval()


@pytest.mark.parametrize(("reach", "bands"), [(7, 38), (7, 96), (4, 67), (128, 1), (33, 1)])
@pytest.mark.parametrize("frames", [5, 32, 187])
def test_features_are_those_of_the_layers(reach: int, bands: int, frames: int):
    layers = make_layers(reach, bands, 9)
    shown = torch.randn(3, 1, frames, 96, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = layers(shown).amax(3)
        torch.testing.assert_close(pool_bands(shown, layers[1], layers[3]), expected, atol=1e-5, rtol=1e-5)


def test_gradients_are_those_of_the_layers():
    layers = make_layers(7, 38, 5)
    shown = torch.randn(2, 1, 40, 96, generator=torch.Generator().manual_seed(2), requires_grad=True)
    expected = torch.autograd.grad(layers(shown).amax(3).square().sum(), shown)[0]
    own = torch.autograd.grad(pool_bands(shown, layers[1], layers[3]).square().sum(), shown)[0]
    torch.testing.assert_close(own, expected, atol=1e-3, rtol=1e-3)


def test_maps_are_as_local_as_they_are_declared():
    torch.manual_seed(0)
    model = Musicnn(TAGS["MTT"]).eval()
    audio = 0.1 * torch.randn(3, 1, 48000)
    field, hop = model.receptive_field
    with torch.no_grad():
        maps = model.encode_local(audio)
        torch.testing.assert_close(model.pool_local(maps), model(audio), atol=1e-5, rtol=1e-5)
        for place, shift, heard in ((90, field // 2 + 1, False), (90, -field // 2 - 1, False), (90, field // 2 - 200, True)):
            changed = audio[:1].clone()
            changed[0, 0, place * hop + shift] += 5
            moved = (model.encode_local(changed) - maps[:1])[0, :, place].abs().max()
            # Products of other shapes round otherwise.
            assert bool(moved > 1e-4) is heard


def test_masks_of_short_segments_are_looked_up():
    torch.manual_seed(0)
    track = Track(0.1 * torch.randn(2, 1, 48000), ("drums", "vocals"), 16000, None, title="noise", source="made by hand")
    model = Musicnn(TAGS["MTT"]).eval()
    here = explain(model, track, segments=5, n_samples=32)
    model.receptive_field = (96000, 256)  # more than two segments: every mask is run
    there = explain(model, track, segments=5, n_samples=32)
    assert (here.audio_passes, there.audio_passes) == (2 + 16 + 8, 2 + here.n_variants)
    torch.testing.assert_close(here.attributions, there.attributions, atol=1e-5, rtol=1e-3)


def test_training_runs_the_layers_themselves():
    """Batch norms that look at the batch, as they must."""
    torch.manual_seed(0)
    model = Musicnn(TAGS["MTT"])
    audio = torch.randn(2, 1, 48000)
    means = [norm.running_mean.clone() for norm in model.modules() if isinstance(norm, nn.BatchNorm2d)]
    model.train()(audio)
    moved = [norm.running_mean for norm in model.modules() if isinstance(norm, nn.BatchNorm2d)]
    assert all(not torch.equal(before, after) for before, after in zip(means, moved, strict=True))
    with torch.no_grad():
        assert torch.equal(model.eval()(audio), model(audio))
