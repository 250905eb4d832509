"""What d slopes leave of a design."""

from musiclime_torch.surrogate.blocks import draw_foldover, draw_half_folded
from musiclime_torch.surrogate.design import draw_bernoulli
from musiclime_torch.surrogate.fit import count_freedom, enlarge


def test_pairs_pay_for_slopes_and_rows_for_an_intercept_too():
    pairs, rows = draw_foldover(12, 100, 0), draw_bernoulli(12, 100, 0)
    assert count_freedom(pairs) == pairs.units - 12
    assert count_freedom(rows) == 100 - 12 - 1
    half = draw_half_folded(draw_foldover(12, 1, 0), 100, 0)
    assert count_freedom(half) == half.units - 12 - 1
    assert enlarge(rows, folded=False) == 100 / (100 - 13)
    assert enlarge(pairs, folded=True) == pairs.n_samples / (pairs.n_samples - 24)
