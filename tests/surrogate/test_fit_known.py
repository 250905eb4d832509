"""Values that nothing was left to chance for."""

import torch

from musiclime_torch.surrogate.fit import know_exactly
from musiclime_torch.surrogate.intervals import quantile


def test_what_is_known_exactly_has_intervals_without_width():
    known = know_exactly(torch.tensor([[1.0, -2.0, 0.0]]).double())
    assert known.values.tolist() == [[1.0, -2.0, 0.0]]
    assert not (known.errors * quantile(known.freedom, 0.95)).any()
    assert known.freedom.isinf().all()
