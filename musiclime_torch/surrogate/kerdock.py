"""Sign vectors after Kerdock (1972), and the share of the residual that they make cancel: terms of third order.

The rows of a Sylvester matrix under each of 2^(m − 1) quadratic sign vectors, with their complements, are the Kerdock
code of length 2^m: together an orthogonal array of strength five, in which main effects are free of all terms up to
fourth order. Some of the blocks already have smaller errors than as many random ones, by the share of the blocks that
is drawn. How much is gained depends on how much of the surrogate's residual is of third order, which is estimated from
the outputs.
"""

import torch
from jaxtyping import Float, Int8
from torch import Tensor

#: Irreducible polynomials of odd degree over GF(2), as bits, by degree: x³ + x + 1, x⁵ + x² + 1, x⁷ + x + 1.
_POLYNOMIALS = {3: 0b1011, 5: 0b100101, 7: 0b10000011}

#: Numbers of columns with known sign vectors.
LENGTHS = (16, 64, 256)

#: Pairs that are used: products of more would fill memory, and the share is known to a few percent by then.
MOST = 4096

#: Rows of the table of products at a time.
CHUNK = 512


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


def share_third_order(signs: Float[Tensor, "pair d"], odd: Float[Tensor, "pair class"]) -> Float[Tensor, " class"]:
    """Share of third-order terms in the variance of `odd`, the odd part of the outputs less its main effects; 0 to 1.

    An unbiased moment estimate from all pairs of rows. `signs` are ±1.
    """
    # A triple ijk has the weight E[odd(x) x_i x_j x_k]. Its square is the mean of odd(x) odd(x′) u_i u_j u_k over two
    # independent masks x and x′, where u_i = x_i x′_i. Summed over all triples the products u_i u_j u_k become e₃, the third
    # elementary symmetric polynomial of u. As the u_i are ±1, their power sums are p₁ = p₃ = the overlap of x and x′, and p₂
    # = d, so that Newton's identity e₃ = (p₁³ − 3 p₁ p₂ + 2 p₃) / 6 becomes (p₁³ − (3 d − 2) p₁) / 6. A row with itself
    # would add the variance of the noise: it is left out. Overlaps of at most 256 columns and their cubes are whole numbers
    # that float32 holds exactly. The table is symmetric: rows are paired with themselves and later ones.
    signs, odd = signs[:MOST].float(), odd[:MOST]
    pairs, d = signs.shape
    total = odd.new_zeros(odd.shape[1])
    for start in range(0, pairs, CHUNK):
        own = odd[start : start + CHUNK]
        overlap = signs[start : start + CHUNK] @ signs[start:].T
        triples = overlap.square().sub_(3 * d - 2).mul_(overlap)
        triples.diagonal().zero_()
        here, later = triples[:, : len(own)].to(odd.dtype), triples[:, len(own) :].to(odd.dtype)
        total += (own * torch.addmm(here @ own, later, odd[start + len(own) :], alpha=2)).sum(0)
    squares = odd.square().sum(0)
    third = total / (6 * pairs * (pairs - 1))
    variance = squares / max(pairs - d, 1)
    return torch.where(variance > 0, third / variance, torch.zeros_like(variance)).clamp(0, 1)


def spare(third_order: float, share: Float[Tensor, " class"]) -> Float[Tensor, " class"]:
    """The factor on squared errors of main effects, where third-order terms keep the share `third_order` of theirs."""
    return 1 - share * (1 - third_order)
