"""The probe: which columns its masks have, and that a model and the process are left as they were found."""

from contextlib import AbstractContextManager
from dataclasses import replace

import pytest
import torch
from models import Additive

from musiclime_torch.basics.errors import InputError
from musiclime_torch.basics.progress import Stages
from musiclime_torch.models.subject import Subject, describe_model
from musiclime_torch.song.track import Track
from musiclime_torch.variants.components import Components, list_components
from musiclime_torch.variants.probe import Probe, pick_device, probing

BOTH = ("audio", "lyrics")
CPU = torch.device("cpu")


def describe(model: object) -> Subject:
    return describe_model(model, sample_rate=None, classes=None, output_kind=None, modalities=None)


def probe_of(model: object, track: Track, components: Components) -> AbstractContextManager[Probe]:
    return probing(describe(model), track, components, "silence", None, 0, CPU, 64, "float32", Stages())


def test_columns_that_the_model_cannot_notice_are_not_switched(track: Track):
    stems = track.stems.clone()
    stems[1, :, 7900:] = 0  # fades reach over the border
    components = list_components(replace(track, stems=stems), 2, "word", BOTH)
    with probe_of(Additive(limit=5), replace(track, stems=stems), components) as probe:
        assert probe.n_audio == 4
        assert probe.seen_audio == (0, 1, 2)  # the second stem is silent in its second segment
        assert probe.seen_lyrics == (4, 5, 6, 7, 8)  # two words are past the limit
        assert probe.seen == probe.seen_audio + probe.seen_lyrics
        assert probe.columns == len(components) == 11
        assert set(probe.sources.unseen) == {3, 9, 10}


def test_the_model_and_the_random_states_are_given_back(track: Track):
    model = Additive()
    model.train()
    model.noise.eval()
    state = torch.get_rng_state()
    with probe_of(model, track, list_components(track, 2, "word", BOTH)):
        assert not model.training
        assert not torch.is_grad_enabled()
        torch.rand(3)
    assert (model.training, model.noise.training) == (True, False)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.is_grad_enabled()


def test_the_device_is_the_models_own_and_another_is_refused():
    assert pick_device(describe(Additive()), None) == CPU
    assert pick_device(describe(Additive()), "cpu") == CPU
    with pytest.raises(InputError, match=r"the model is on cpu, not on meta: move it there first") as raised:
        pick_device(describe(Additive()), "meta")
    assert raised.value.argument == "device"
