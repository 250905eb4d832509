"""What masks take with and without a table of local maps, counted as `explain` runs them."""

import torch

from benchmarks.worlds.budgets import Work, count_passes, count_work
from benchmarks.worlds.games import make_embedded
from benchmarks.worlds.world import AS_IS


def test_a_table_is_paid_for_once_and_only_where_it_saves_passes():
    work = Work(hear=10.0, read=1.0, table=264, look_up=0.5)
    assert work.count(1000, 80) == 10_080
    assert work.count_with_tables(264, 80) == work.count(264, 80)
    assert work.count_with_tables(1000, 80) == 10 * 264 + 0.5 * 1000 + 80
    assert Work(10.0, 1.0).count_with_tables(1000, 80) == work.count(1000, 80)


def test_the_embedded_model_looks_up_for_a_thousandth_of_a_pass():
    game = make_embedded(AS_IS)
    passes = count_passes(game)
    assert count_work(game, passes) == Work(*passes)
    generator = torch.Generator().manual_seed(0)
    game.hear(torch.rand(300, game.d_audio, generator=generator) < 0.5)
    work = count_work(game, passes)
    assert work.table == 4**4 + 8
    assert 0 < work.look_up < passes[0] / 1000
