import pytest
import torch

from musiclime_torch.surrogate.blocks import hadamard, smallest_order


@pytest.mark.parametrize("order", [1, 2, 4, 8, 12, 20, 24, 28, 36, 44, 48, 56, 104, 124, 152, 200])
def test_rows_are_orthogonal_and_first_column_is_one(order: int):
    matrix = hadamard(order).long()
    assert torch.equal(matrix @ matrix.T, order * torch.eye(order, dtype=torch.long))
    assert (matrix[:, 0] == 1).all()


def test_orders_that_no_construction_reaches_are_refused():
    with pytest.raises(ValueError, match="order 92"):
        hadamard(92)


def test_smallest_order_leaves_room_for_the_constant_column():
    for columns in range(1, 300):
        order = smallest_order(columns)
        assert columns + 1 <= order < 2 * columns + 4
        assert hadamard(order).shape == (order, order)
