"""What the tables that compare methods hold them to: the same work, refusals that are none of a bug's, scripts that load."""

import importlib
from types import SimpleNamespace

import pytest
import torch

from benchmarks import run as results
from benchmarks.cost import methods as accuracy, sample_efficiency as efficiency
from benchmarks.worlds.games import make_embedded
from benchmarks.worlds.world import AS_IS


@pytest.mark.slow
@pytest.mark.parametrize("name", results.list_scripts())
def test_every_script_finds_what_it_imports(name):
    assert callable(importlib.import_module(results.name_module(name)).main)


def compare(monkeypatch, methods, rows=100):
    """With stand-ins for methods: (variants, seed) -> attributions and passes. An ear's pass costs three of an eye's."""
    clocks = {"encode_audio": SimpleNamespace(seconds=0.0, rows=0), "encode_text": SimpleNamespace(seconds=0.0, rows=0)}
    bench = efficiency.Bench(None, SimpleNamespace(device=torch.device("cpu")), 0, clocks)

    def run(method):
        def call(bench, variants, seed):
            values, passes = methods[method](variants, seed)
            for clock, count in zip(bench.clocks.values(), passes, strict=True):
                clock.rows += count
            if values is None:
                raise ValueError("after all")
            return values, passes

        return call

    monkeypatch.setattr(efficiency, "count_passes", lambda game: (3.0, 1.0))
    stand_ins = {method: run(method) for method in methods}
    monkeypatch.setattr(efficiency, "METHODS", stand_ins)
    monkeypatch.setitem(efficiency.measure_run.__globals__, "METHODS", stand_ins)
    return efficiency.compare_methods(bench, rows, seeds=3)


def say(seed, error=0.0):
    return torch.ones(8) + error * torch.randn(8, generator=torch.Generator().manual_seed(seed))


def test_a_method_gets_the_work_of_so_many_joint_rows(monkeypatch):
    found = compare(monkeypatch, {"peer": lambda variants, seed: (say(seed), (variants, variants))})
    assert found["peer"] == efficiency.Chance(0.0, (100, 100), 1.0, 0)


def test_what_would_take_more_is_asked_for_less_and_its_share_is_told(monkeypatch):
    asked = []

    def take_more(variants, seed):
        asked.append(variants)
        return say(seed), (variants + 8, variants + 8)

    found = compare(monkeypatch, {"peer": take_more})
    # One run is enough to see that it takes too much.
    assert asked == [100, 95, 90, 90, 90]
    assert found["peer"].passes == (98, 98)
    assert found["peer"].share == pytest.approx(0.98)


def test_the_share_is_of_work_and_not_of_passes(monkeypatch):
    found = compare(monkeypatch, {"peer": lambda variants, seed: (say(seed), (50, 250))})
    assert found["peer"].share == pytest.approx((50 * 3 + 250) / 400)


def test_what_never_fits_is_refused_and_comes_to_an_end(monkeypatch):
    assert compare(monkeypatch, {"peer": lambda variants, seed: (say(seed), (101, 101))}) == {"peer": None}


def test_a_refusal_before_any_pass_is_told_and_an_error_after_it_is_raised(monkeypatch):
    assert compare(monkeypatch, {"peer": lambda variants, seed: (None, (0, 0))}) == {"peer": None}
    with pytest.raises(ValueError, match="after all"):
        compare(monkeypatch, {"peer": lambda variants, seed: (None, (30, 30))})


def test_errors_are_those_of_pairs_of_seeds(monkeypatch):
    found = compare(monkeypatch, {"peer": lambda variants, seed: (say(seed, 0.1), (variants, variants))})
    assert 0.001 < found["peer"].error < 0.1


def test_components_are_at_zero_where_every_seed_leaves_them_there(monkeypatch):
    def leave_some(variants, seed):
        values = say(seed)
        values[:3] = 0
        values[3] = seed % 2  # some seeds only
        return values, (variants, variants)

    assert compare(monkeypatch, {"peer": leave_some})["peer"].zeros == 3


def make_run(values: torch.Tensor):
    return accuracy.Run(values.double(), (1, 1), 1.0, 0.5)


def test_the_error_is_that_of_runs_around_a_known_truth():
    """Noise of a known size on a known truth: relative squared error is |noise|² / |truth|²."""
    generator = torch.Generator().manual_seed(0)
    truth = torch.randn(20_000, generator=generator)
    runs = [make_run(truth + 0.3 * torch.randn(20_000, generator=generator)) for _ in range(3)]
    assert accuracy.tell_error(runs) == pytest.approx(0.09, rel=0.05)


def test_it_is_the_median_over_pairs_and_any_factor_leaves_it():
    runs = [make_run(torch.tensor(values)) for values in ([1.0, 0.0], [1.0, 1.0], [1.0, 3.0])]
    # Pairs: 1/2 over 1, 9/2 over 1, 4/2 over 4.
    assert accuracy.tell_error(runs) == pytest.approx(0.5)
    assert accuracy.tell_error([make_run(7 * run.attributions) for run in runs]) == pytest.approx(0.5)


def test_runs_that_have_nothing_in_common_are_never_accurate():
    assert accuracy.tell_error([make_run(torch.tensor([1.0, 0.0])), make_run(torch.tensor([0.0, 1.0]))]) == float("inf")
    assert accuracy.tell_error([make_run(torch.zeros(2)), make_run(torch.zeros(2))]) == float("inf")


def test_every_mask_of_a_peer_is_a_pass_even_where_the_model_is_local():
    """With 512 rows at a time a table of local maps would be made, and later methods would be answered for nothing."""
    bench = accuracy.prepare(make_embedded(AS_IS), AS_IS)
    before = bench.clocks["encode_audio"].rows
    masks = torch.rand(300, bench.game.d_audio, generator=torch.Generator().manual_seed(0)) < 0.5
    for _ in range(2):
        bench.game.hear(masks)
    assert bench.clocks["encode_audio"].rows - before == 600
