"""How well attributions point at causes that are known."""

import numpy as np
from torch import Tensor


def count_found(attributions: Tensor, causes: tuple[int, ...], k: int, seed: int) -> float:
    """Share of the causes among the k largest attributions; what is equal comes in random order."""
    shuffled = np.random.default_rng(seed).permutation(len(attributions))
    order = shuffled[np.argsort(-attributions.numpy()[shuffled], kind="stable")]
    return len(set(order[:k].tolist()) & set(causes)) / len(causes)


def is_strongest(pairs: Tensor | None, causes: tuple[int, ...], d_audio: int) -> float:
    """Whether the planted pair is the largest of sound × words, whatever its sign; a share of that where several are."""
    if pairs is None:
        return 0.0
    sizes = pairs[:d_audio, d_audio:].abs()
    planted = sizes[causes[0], causes[1] - d_audio]
    return float(planted == sizes.max()) / int((sizes == planted).sum())


def match_sizes(attributions: Tensor, truth: Tensor) -> float:
    """Correlation of attributions with effects that are known, 0 where it is negative or there is none: their scale is free,
    so that a method isn't blamed for shrinking them all.
    """
    first, second = attributions.double() - attributions.double().mean(), truth.double() - truth.double().mean()
    spread = float(first.norm() * second.norm())
    return max(float(first @ second) / spread, 0.0) if spread else 0.0
