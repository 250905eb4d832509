"""What the table of saved passes holds itself to: the same model, without its maps."""

from local import Local

from benchmarks.cost.local_tables import Case, Hidden, compare
from musiclime_torch.models.care import hash_weights
from musiclime_torch.models.subject import describe_model
from musiclime_torch.song.track import Track


def describe(model):
    return describe_model(model, sample_rate=None, classes=None, output_kind=None, modalities=None)


def test_a_hidden_model_is_the_same_without_its_maps():
    model = Local()
    hidden, own = describe(Hidden(model)), describe(model)
    assert (hidden.receptive_field, own.receptive_field) == (None, (400, 100))
    assert hash_weights(hidden.module) == hash_weights(own.module)
    assert (hidden.classes, hidden.sample_rate, hidden.modalities) == (own.classes, own.sample_rate, own.modalities)


def test_passes_are_those_of_either_way(track: Track):
    saved = compare(Case("small", Local(), track, {"segments": 8, "n_samples": 512}))
    assert saved.passes[0] >= 2 + 512
    assert saved.passes[1] == 2 + 16 + 8
    assert saved.difference < 1e-4
