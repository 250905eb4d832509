"""Hadamard matrices: square, entries ±1, orthogonal rows.

Orders come from Paley's first construction (prime q ≡ 3 mod 4 gives q + 1; Paley 1933) and Sylvester's doubling,
which together leave few gaps below a thousand.
"""

import torch
from jaxtyping import Int8
from torch import Tensor


def smallest_order(columns: int) -> int:
    """The smallest order this module can build whose matrix has `columns` columns beside the constant one.

    >>> [smallest_order(d) for d in (1, 3, 40, 100, 150)]
    [2, 4, 44, 104, 152]
    """
    order = 2
    while order < columns + 1 or not _constructible(order):
        order += 2
    return order


def hadamard(order: int) -> Int8[Tensor, "order order"]:
    """A Hadamard matrix whose first column is all ones; ValueError for an order that neither construction reaches.

    >>> h = hadamard(12).long()
    >>> bool((h @ h.T == 12 * torch.eye(12, dtype=torch.long)).all()), bool((h[:, 0] == 1).all())
    (True, True)
    """
    if order == 1:
        matrix = torch.ones(1, 1, dtype=torch.int8)
    elif _is_paley(order):
        matrix = _paley(order - 1)
    elif order % 2 == 0 and _constructible(order // 2):
        half = hadamard(order // 2)
        matrix = torch.cat([torch.cat([half, half], 1), torch.cat([half, -half], 1)])
    else:
        raise ValueError(f"no Hadamard matrix of order {order} by Paley's or Sylvester's construction")
    return matrix * matrix[:, :1]


def _constructible(order: int) -> bool:
    return order in (1, 2) or _is_paley(order) or (order % 4 == 0 and _constructible(order // 2))


def _is_paley(order: int) -> bool:
    return order % 4 == 0 and _is_prime(order - 1)


def _is_prime(number: int) -> bool:
    return number > 1 and all(number % i for i in range(2, int(number**0.5) + 1))


def _paley(q: int) -> Int8[Tensor, "order order"]:
    # Paley's first construction: Q[i, j] = χ(i − j), χ being 1 for squares modulo q, −1 for non-squares and 0 at 0, is
    # skew-symmetric for q ≡ 3 (mod 4). Bordered by 1 and −1 it is a skew S with S Sᵀ = q·I, so that H = S + I is Hadamard.
    character = torch.full((q,), -1, dtype=torch.int8)
    character[torch.arange(q).square() % q] = 1
    character[0] = 0
    steps = torch.arange(q)
    skew = torch.zeros(q + 1, q + 1, dtype=torch.int8)
    skew[0, 1:] = 1
    skew[1:, 0] = -1
    skew[1:, 1:] = character[(steps[:, None] - steps) % q]
    return skew + torch.eye(q + 1, dtype=torch.int8)
