"""Component dropout: what explanations will switch off is switched off in training, so that variants are known ground."""

import numpy as np


def draw_rates(rows: int, rng: np.random.Generator) -> np.ndarray:
    """Shares to remove, by row: a fifth of the rows lose nothing, the others up to two thirds."""
    return np.where(rng.random(rows) < 0.2, 0.0, rng.uniform(0, 0.65, rows))
