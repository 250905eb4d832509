"""Sign vectors after Kerdock (1972): Sylvester blocks multiplied by them make terms of third order cancel across blocks.

The rows of a Sylvester matrix under each of 2^(m − 1) quadratic sign vectors, with their complements, are the Kerdock code
of length 2^m: together an orthogonal array of strength five, in which main effects are free of all terms up to fourth order.
A part of the blocks already has smaller errors than as many random ones, by the share of the blocks that is drawn.
"""

import torch
from jaxtyping import Int8
from torch import Tensor

#: Irreducible polynomials of odd degree over GF(2), as bits, by degree: x³ + x + 1, x⁵ + x² + 1, x⁷ + x + 1.
_POLYNOMIALS = {3: 0b1011, 5: 0b100101, 7: 0b10000011}

#: Numbers of columns with known sign vectors.
LENGTHS = (16, 64, 256)


def kerdock_signs(length: int) -> Int8[Tensor, "block column"]:
    """Length / 2 sign vectors ±1 of 16, 64 or 256 columns (MacWilliams & Sloane 1977, chapter 15).

    Column x + 2^(m − 1) e belongs to x in GF(2^(m − 1)) and e in GF(2); its sign under a is the parity of
    Σ_j Tr((a x)^(2^j + 1)) + e Tr(a x), j from 1 to (m − 2) / 2.

    ValueError for another length.

    >>> signs = kerdock_signs(16)
    >>> signs.shape, bool((signs[0] == 1).all())
    (torch.Size([8, 16]), True)
    """
    if length not in LENGTHS:
        raise ValueError(f"no Kerdock signs of length {length}: {LENGTHS} are known")
    degree = length.bit_length() - 2
    size = 1 << degree
    forms, traces = [], []
    for x in range(size):
        traces.append(_trace(x, degree))
        forms.append(sum(_trace(_power(x, (1 << j) + 1, degree), degree) for j in range(1, (degree - 1) // 2 + 1)) % 2)
    form, trace = torch.tensor(forms), torch.tensor(traces)
    product = torch.tensor([[_multiply(a, x, degree) for x in range(size)] for a in range(size)])
    parity = torch.cat([form[product], (form[product] + trace[product]) % 2], 1)
    return (1 - 2 * parity).to(torch.int8)


def sylvester(length: int) -> Int8[Tensor, "row column"]:
    """The Hadamard matrix whose entry is the parity of the bits that row and column number share.

    >>> sylvester(4)[3].tolist()
    [1, -1, -1, 1]
    """
    matrix = torch.ones(1, 1, dtype=torch.int8)
    while len(matrix) < length:
        matrix = torch.cat([torch.cat([matrix, matrix], 1), torch.cat([matrix, -matrix], 1)])
    return matrix


def _multiply(a: int, b: int, degree: int) -> int:
    """The product in GF(2^degree), whose elements are polynomials over GF(2) as bits."""
    product = 0
    for bit in range(degree):
        if b >> bit & 1:
            product ^= a << bit
    # Reduce: every power from x^degree up is replaced by what the irreducible polynomial says it equals.
    for bit in range(2 * degree - 2, degree - 1, -1):
        if product >> bit & 1:
            product ^= _POLYNOMIALS[degree] << (bit - degree)
    return product


def _power(x: int, exponent: int, degree: int) -> int:
    result = 1
    for _ in range(exponent):
        result = _multiply(result, x, degree)
    return result


def _trace(x: int, degree: int) -> int:
    """The trace x + x² + x⁴ + … to GF(2), which is 0 or 1."""
    total, term = 0, x
    for _ in range(degree):
        total, term = total ^ term, _multiply(term, term, degree)
    return total
