"""What masks take with and without a table of local maps, as `explain` runs them; errors of designs of many sizes."""

import pytest
import torch

from benchmarks.worlds.budgets import Work, compare_sides, count_passes, count_work, draw_sizes, measure_crossed
from benchmarks.worlds.games import make_embedded
from benchmarks.worlds.polynomials import draw_polynomial, make_analytic, tell_truth
from benchmarks.worlds.references import split_table
from benchmarks.worlds.world import AS_IS
from musiclime_torch.surrogate import CrossedDesign, draw_blocks, solve_crossed


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


@pytest.mark.parametrize(("d", "longest"), [(40, 3400), (36, 2600), (100, 2600)])
def test_every_size_is_drawn_as_explain_draws_it(d, longest):
    segments = tuple(tuple(range(segment, d, 10)) for segment in range(10)) if d == 40 else ()
    sizes = draw_sizes(d, longest, 3, segments)
    counts = [design.n_samples for _, design in sizes]
    assert len(counts) == len(set(counts))
    assert min(counts) < 255
    assert max(counts) > longest - 256
    for _, design in sizes[:: max(len(sizes) // 8, 1)]:
        alone = draw_blocks(d, design.n_samples, 3, segments, fitted=True)
        assert torch.equal(design.masks, alone.masks)
        assert design.cycle == alone.cycle
    assert d != 100 or {416, 448, 624} <= set(counts), "two blocks, two longer ones, three"


def test_every_size_has_the_error_of_its_own_crossed_solve():
    polynomial = draw_polynomial(0, 12, 9, 30)
    game, truths = make_analytic(polynomial), split_table(tell_truth(polynomial))
    measured = measure_crossed(game, (320, 100), 5, truths)
    audio, lyrics = draw_sizes(12, 320, 5, game.neighbourhoods), draw_sizes(9, 100, 6)
    assert measured.keys() == {(ears.n_samples, eyes.n_samples) for _, ears in audio for _, eyes in lyrics}
    assert {start for start, _ in audio} != {0}, "designs of two kinds"
    for _, ears in audio[:: max(len(audio) // 4, 1)]:
        for _, eyes in lyrics[::2]:
            fit = solve_crossed(CrossedDesign(ears, eyes), game.cross(ears.masks, eyes.masks, "logit"), ())
            expected = compare_sides(*fit.main.values.split((12, 9), 1), truths)
            for part, error in measured[ears.n_samples, eyes.n_samples].items():
                assert error == pytest.approx(expected[part], rel=1e-6), part
