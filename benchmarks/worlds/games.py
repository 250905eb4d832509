"""Models that the statistical benchmarks are measured on, each as two encoders and a fusion over masks.

`embedded` is the demo's model on its song, `analytic` a polynomial of third order whose main effects are known,
`transformer` a small AST + RoBERTa with random weights under a LayerNorm + Linear head. All but the polynomial, whose
encoders are products of masks, use the package's own rendering, encoding and fusing.
"""

import torch

from benchmarks.tools.tuning import Tuning
from benchmarks.worlds.polynomials import draw_polynomial, make_analytic, turn_interactions_up
from benchmarks.worlds.transformer import make_transformer
from benchmarks.worlds.world import AS_IS, CPU, World, make_probed
from musiclime_torch.demo import load_demo_model, load_demo_track


def make_games(device: torch.device = CPU) -> list[World]:
    """All three."""
    tuning = Tuning(device)
    return [make_embedded(tuning), make_analytic(draw_polynomial(0, 40, 100, 600)), make_transformer(0, tuning)]


def make_interacting() -> World:
    """The analytic game with three quarters of its variance in interactions of the two sides."""
    return make_analytic(turn_interactions_up(draw_polynomial(0, 40, 100, 600), 0.75), "interacting")


def make_embedded(tuning: Tuning = AS_IS) -> World:
    """The demo's model and song: 40 cells and the song's words."""
    return make_probed("embedded", load_demo_model(), load_demo_track(), tuning)
