"""Recorded functions give what the functions give; a stand-in replays where there is no card."""

import pytest
import torch

from benchmarks.gpu import graphs
from benchmarks.worlds.subjects import make_ast_roberta, make_track
from musiclime_torch import explain


class Graph:
    """Runs the function again in place of a replay, into the tensor that was recorded."""

    def __init__(self, inner, fixed, result):
        self.inner, self.fixed, self.result = inner, fixed, result

    def replay(self):
        self.result.copy_(self.inner(*self.fixed))


@pytest.fixture
def shapes(monkeypatch):
    """The shapes that were recorded."""
    seen = []

    def record(self, inputs):
        seen.append(tuple(inputs[0].shape))
        fixed = tuple(value.clone() for value in inputs)
        result = self.inner(*fixed)
        return Graph(self.inner, fixed, result), fixed, result

    monkeypatch.setattr(graphs.Recorded, "_record", record)
    return seen


def test_each_shape_is_recorded_once_and_results_outlive_the_next_replay(shapes):
    recorded = graphs.Recorded(lambda x: 2 * x)
    first, second = recorded(torch.ones(2)), recorded(torch.full((2,), 3.0))
    assert (first.tolist(), second.tolist(), recorded(torch.ones(3)).tolist()) == ([2.0] * 2, [6.0] * 2, [2.0] * 3)
    assert shapes == [(2,), (3,)]


def test_an_explanation_records_one_shape_of_each_encoder_and_is_the_same(shapes):
    model, track = make_ast_roberta("smallest"), make_track(1.0, lines=1)
    given = {"n_samples": (44, 24), "batch_size": 16, "segments": 3}
    plain = explain(model, track, **given)
    with graphs.graphing(model, torch.device("cuda")):
        replayed = explain(model, track, **given)
    assert [shape[0] for shape in shapes] == [16, 16]
    assert torch.allclose(plain.attributions, replayed.attributions, atol=1e-5)
    assert "encode_audio" not in vars(model)


def test_a_cpu_has_no_graphs():
    with pytest.raises(RuntimeError, match="CUDA graphs need a GPU"), graphs.graphing(None, torch.device("cpu")):
        pass
