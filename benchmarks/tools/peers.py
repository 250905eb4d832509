"""Other people's explainers on the same game: a callable from masks to outputs, at a budget of masks.

Each function takes (game, budget, seed), asks the game for at most `budget` masks and gives an attribution to every
component; only shapiq also gives interactions. None of them moves a global random state.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from musiclime_torch.models import keeping_random_states

#: Masks asked for at once, where a peer lets one choose.
ROWS = 64


@dataclass(frozen=True)
class Oracle:
    """`answer` gives values (n, class) of masks (n, component); the sound's components come first. `rows` is how many masks
    to ask for at once. `asked` lists how many masks each call had, repeated ones included.
    """

    answer: Callable[[Tensor], Tensor]
    d_audio: int
    d_lyrics: int
    target: int
    rows: int = ROWS
    asked: list[int] = field(default_factory=list)

    @property
    def width(self) -> int:
        """Number of components."""
        return self.d_audio + self.d_lyrics

    def __call__(self, masks: Tensor) -> Tensor:
        """The target's values (n,) in float64."""
        self.asked.append(len(masks))
        return self.answer(masks.bool())[:, self.target].double()

    def ask_array(self, masks: np.ndarray) -> np.ndarray:
        """The same for numpy."""
        return self(torch.from_numpy(np.atleast_2d(np.asarray(masks)) > 0.5)).numpy()


@dataclass(frozen=True)
class Found:
    """`attributions` (component,), and `pairs` (component, component) where the method offers interactions."""

    attributions: Tensor
    pairs: Tensor | None = None


def run_audiolime(game: Oracle, budget: int, seed: int) -> Found:
    """The procedure of audioLIME (Haunschmid, Manilow & Widmer 2020, and its code): coin-flip masks of which the first is
    the song, cosine distances to it, the kernel sqrt(exp(−d² / 0.25²)), ridge regression with α = 1.

    Its components are stems × segments; words are joined to them here as further binary columns, so that it can compare.
    """
    rng = np.random.default_rng(seed)
    masks = rng.integers(0, 2, (budget, game.width)).astype(float)
    masks[0] = 1
    values = game.ask_array(masks)
    kept = masks.mean(1)
    distances = 1 - np.sqrt(kept)  # 1 − the cosine of a binary row with ones; an empty row is 1 away, as in scikit-learn
    weights = np.sqrt(np.exp(-(distances**2) / 0.25**2))
    return Found(torch.from_numpy(_fit_ridge(masks, values, weights, 1.0)))


def _fit_ridge(masks: np.ndarray, values: np.ndarray, weights: np.ndarray, alpha: float) -> np.ndarray:
    from sklearn.linear_model import Ridge

    return np.asarray(Ridge(alpha=alpha).fit(masks, values, sample_weight=weights).coef_)


def run_captum_lime(game: Oracle, budget: int, seed: int) -> Found:
    """Captum's `Lime` with its defaults: a lasso with α = 0.01, its cosine kernel of width 1."""
    from captum.attr import Lime

    return _run_captum(Lime, game, budget, seed)


def run_captum_kernelshap(game: Oracle, budget: int, seed: int) -> Found:
    """Captum's `KernelShap` with its defaults."""
    from captum.attr import KernelShap

    return _run_captum(KernelShap, game, budget, seed)


def _run_captum(kind: Callable, game: Oracle, budget: int, seed: int) -> Found:
    with keeping_random_states(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(seed)
        attributions = kind(lambda masks: game(masks > 0.5)).attribute(
            torch.ones(1, game.width), n_samples=budget, perturbations_per_eval=game.rows
        )
    return Found(attributions[0].double())


def run_shap(game: Oracle, budget: int, seed: int) -> Found:
    """SHAP's `PermutationExplainer`: as many permutations, there and back, as the budget has room for.

    One takes 2 d + 1 masks; where that is over the budget SHAP refuses, with a ValueError.
    """
    import shap

    with keeping_random_states():
        masker = shap.maskers.Independent(np.zeros((1, game.width)))
        explainer = shap.PermutationExplainer(game.ask_array, masker, seed=seed)
        explanation = explainer(np.ones((1, game.width)), max_evals=budget, batch_size=game.rows, silent=True)
    return Found(torch.from_numpy(np.asarray(explanation.values)[0]).double())


def run_shapiq(game: Oracle, budget: int, seed: int) -> Found:
    """`KernelSHAP` of shapiq: Shapley values, no interactions. See `run_shapiq_pairs`."""
    import shapiq

    with keeping_random_states():
        values = shapiq.KernelSHAP(n=game.width, random_state=seed).approximate(budget, game.ask_array)
    return _read_shapiq(values.dict_values, game.width, pairs=False)


#: What attributes to single components, by the names that tables have.
PEERS: dict[str, Callable[[Oracle, int, int], Found]] = {
    "audiolime": run_audiolime,
    "captum_lime": run_captum_lime,
    "captum_kernelshap": run_captum_kernelshap,
    "shap": run_shap,
    "shapiq": run_shapiq,
}


def run_shapiq_pairs(game: Oracle, budget: int, seed: int) -> Found:
    """`ProxySPEX` of shapiq (Butler et al. 2025): Shapley interaction indices up to order two, sought with a boosted forest.

    Of what shapiq offers, the one that copes with dozens of components: SPEX, which it picks by itself above 64, refuses
    fewer than about 360 masks and takes a minute, SVARM-IQ takes longer, and its Monte Carlo finds noise.
    """
    import shapiq

    with keeping_random_states(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        seeker = shapiq.ProxySPEX(n=game.width, max_order=2, index="SII", random_state=seed)
        values = seeker.approximate(budget, game.ask_array)
    return _read_shapiq(values.dict_values, game.width, pairs=True)


def _read_shapiq(values: dict[tuple[int, ...], float], d: int, pairs: bool) -> Found:
    single, both = torch.zeros(d, dtype=torch.float64), torch.zeros(d, d, dtype=torch.float64)
    for members, value in values.items():
        if len(members) == 1:
            single[int(members[0])] = float(value)
        elif len(members) == 2:
            both[int(members[0]), int(members[1])] = both[int(members[1]), int(members[0])] = float(value)
    return Found(single, both if pairs else None)


def run_random(game: Oracle, budget: int, seed: int) -> Found:
    """Chance, of attributions and of interactions."""
    rng = np.random.default_rng(seed)
    return Found(torch.from_numpy(rng.random(game.width)), torch.from_numpy(rng.random((game.width, game.width))))
