"""What lowers the error of the sound's main effects, and what doesn't. The floor is set by the sound's own terms of third
and higher order.

Everything sees 1,024 masks of the sound (logits, averaged over the same 208 masks of the lyrics); the figure is how many
times lower the squared error is than with fold-over blocks of Paley type, measured against the coefficients of 40,960 masks;
medians over seeds, classes pooled. Below 1 it is worse.

`kerdock` blocks and `unfolded` ones are designs; `pairs` adds all products of two cells to the surrogate (in fold-over
blocks they change nothing, main effects being orthogonal to them); `trees` and `cubic kernel` are proxies fitted to half of
the pairs of complements, subtracted from the other half and put back with coefficients of their own from 8,192 masks, which
are almost free; `low resolution` is a pass of the same model on the song at half its rate, at half the price: the figure is
what its correlation with the whole pass allows at best under a shared budget (Peherstorfer et al. 2016); `gradients` takes
the model's derivatives by the gates at 1,024 / 3 masks, a backward pass costing two forward ones, for differences. A dash:
not possible there.

    python -m benchmarks.cost.audio_floor [--smoke] [--seeds 9] [--threads 1] [--device cpu|cuda]
"""

import argparse
import json
import statistics
from collections.abc import Callable

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from benchmarks.worlds.games import make_games
from benchmarks.worlds.world import World
from musiclime_torch.surrogate import Design, draw_bernoulli, draw_foldover, draw_kerdock, draw_unfolded, solve
from musiclime_torch.variants import mix

#: Masks a side.
EARS, EYES = 1024, 208

#: Masks that a proxy's own coefficients are taken from.
PROXY = 8192

Values = Callable[[Tensor], Tensor]


def watch(game: World, texts: Tensor) -> Values:
    """The sound's side of a game: logits (n, class) of masks, averaged over the lyrics."""

    def values(masks: Tensor) -> Tensor:
        parts = [game.spread(game.hear(part), texts, "logit").double().mean(2) for part in masks.split(256)]
        return torch.cat(parts, 1).T

    return values


def fit_slopes(design: Design, values: Tensor) -> Tensor:
    return solve(design, values, 0.0).coefficients.values.T


def use_pairs(values: Values, d: int, seed: int) -> Tensor:
    """Main effects beside all products of two, under the ridge penalty with the best leave-one-out error."""
    from sklearn.linear_model import RidgeCV

    masks = draw_unfolded(d, EARS, seed).masks
    signs = 2 * masks.double() - 1
    left, right = torch.combinations(torch.arange(d)).T
    features = torch.cat([signs, signs[:, left] * signs[:, right]], 1)
    fit = RidgeCV(alphas=[0.1, 1, 10, 100, 1000, 10_000], alpha_per_target=True).fit(features, values(masks))
    return 2 * torch.as_tensor(fit.coef_[:, :d]).T


def use_proxy(values: Values, d: int, seed: int, learn: Callable[[Tensor, Tensor], Values]) -> Tensor:
    """A control variate: the proxy fitted on one half is subtracted from the other half, and the proxy's own slopes are
    added.
    """
    design = draw_foldover(d, EARS, seed)
    seen, half = values(design.masks), design.block * (design.n_samples // design.block // 2)
    fresh = draw_foldover(d, PROXY, seed + 1)
    slopes = []
    for own, other in ((slice(0, half), slice(half, None)), (slice(half, None), slice(0, half))):
        masks, rest = design.masks[own], design.masks[other]
        straight = fit_slopes(_part(design, own), seen[own])
        odd = (seen[own][0::2] - seen[own][1::2]) / 2 - (masks[0::2].double() - 0.5) @ straight
        proxy = learn(2 * masks[0::2].double() - 1, odd)
        left = seen[other] - _twice(proxy, rest)
        slopes.append(fit_slopes(_part(design, other), left) + fit_slopes(fresh, _twice(proxy, fresh.masks)))
    return (slopes[0] + slopes[1]) / 2


def _part(design: Design, rows: slice) -> Design:
    masks = design.masks[rows]
    return Design(masks, design.weights[rows], len(masks), design.block, design.uniform)


def _twice(proxy: Values, masks: Tensor) -> Tensor:
    """A proxy of odd terms on masks and, with the opposite sign, on their complements."""
    signs = 2 * masks.double() - 1
    return (proxy(signs) - proxy(-signs)) / 2


def learn_trees(signs: Tensor, odd: Tensor) -> Values:
    """Gradient-boosted trees, a class at a time, shown both masks of a pair."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    both, targets = torch.cat([signs, -signs]).numpy(), torch.cat([odd, -odd]).numpy()
    trees = [HistGradientBoostingRegressor(max_iter=100, learning_rate=0.1).fit(both, column) for column in targets.T]
    return lambda masks: torch.stack([torch.as_tensor(tree.predict(masks.numpy())) for tree in trees], 1)


def learn_kernel(signs: Tensor, odd: Tensor) -> Values:
    """Kernel ridge of all products of three columns' signs, with the penalty of the best leave-one-pair-out error."""
    d = signs.shape[1]

    def kernel(masks: Tensor) -> Tensor:
        # The third elementary symmetric polynomial of the columns' products, by Newton's identities, over their number.
        sums = masks @ signs.T
        return (sums**3 - (3 * d - 2) * sums) / (d * (d - 1) * (d - 2))

    values, vectors = torch.linalg.eigh(kernel(signs))
    best, least = torch.zeros_like(odd), torch.full((odd.shape[1],), float("inf"), dtype=torch.float64)
    for penalty in torch.logspace(-2, 2, 9).tolist():
        inverse = vectors @ ((1 / (values + penalty))[:, None] * vectors.T)
        weights = inverse @ odd
        missed = (weights / inverse.diagonal()[:, None]).square().sum(0)
        best, least = torch.where(missed < least, weights, best), torch.minimum(missed, least)
    return lambda masks: kernel(masks) @ best


def allow_low_resolution(game: World, texts: Tensor, values: Values, seed: int) -> float | None:
    """The gain that passes at half the rate and half the price allow: from the correlation of the two errors, averaged over
    classes.
    """
    if game.probe is None:
        return None
    probe, design = game.probe, draw_foldover(game.d_audio, EARS, seed)
    assert probe.sources.windows
    gates = torch.ones(design.n_samples, probe.n_audio, dtype=torch.bool)
    gates[:, list(probe.seen_audio)] = design.masks
    gates = gates.unflatten(1, (probe.sources.n_stems, probe.sources.n_segments))
    with torch.no_grad():
        coarse = [
            torch.nn.functional.avg_pool1d(mix(window, rows), 2)
            for window in probe.sources.windows
            for rows in gates.to(probe.device).split(64)
        ]
        sounds = torch.cat([probe.subject.model.encode_audio(rows) for rows in coarse])
    low = game.spread((sounds,), texts, "logit").double().mean(2).T
    errors = []
    for outputs in (values(design.masks), low):
        slopes = fit_slopes(design, outputs)
        errors.append((outputs[0::2] - outputs[1::2]) / 2 - (design.masks[0::2].double() - 0.5) @ slopes)
    shared = (errors[0] * errors[1]).sum(0).square() / (errors[0].square().sum(0) * errors[1].square().sum(0))
    spent = (1 - shared).clamp_min(0).sqrt() + (0.5 * shared).sqrt()
    # Where the cheap pass is too weakly correlated, it isn't used.
    return float((1 / spent.square()).clamp_min(1).mean())


def use_gradients(game: World, texts: Tensor, seed: int) -> Tensor | None:
    """The mean derivative by each gate at masks, which stands for the difference that the gate makes."""
    if game.name != "embedded":
        return None
    probe = game.probe
    assert probe is not None
    assert probe.sources.windows
    masks = draw_foldover(game.d_audio, EARS // 3, seed).masks
    model = probe.subject.model
    total = torch.zeros(game.d_audio, game.classes, dtype=torch.float64)
    for rows in masks.split(16):
        gates = torch.ones(len(rows), probe.n_audio, device=probe.device)
        gates[:, list(probe.seen_audio)] = rows.to(probe.device).float()
        gates.requires_grad_(True)
        shaped = gates.unflatten(1, (probe.sources.n_stems, probe.sources.n_segments))
        sounds = model.encode_audio(mix(probe.sources.windows[0], shaped))
        pairs = (sounds.repeat_interleave(len(texts), 0), texts.repeat(len(rows), 1))
        outputs = model.fuse(*pairs).unflatten(0, (len(rows), len(texts))).mean(1)
        for column in range(game.classes):
            (slopes,) = torch.autograd.grad(outputs[:, column].sum(), gates, retain_graph=True)
            total[:, column] += slopes[:, list(probe.seen_audio)].sum(0).cpu()
    return total / len(masks)


def measure(slopes: Tensor, truth: Tensor) -> float:
    return float(((slopes - truth).square().sum(0) / truth.square().sum(0)).mean())


def compare(game: World, seeds: int, smoke: bool) -> dict[str, float | None]:
    """Gains over fold-over blocks by what was tried."""
    d, texts = game.d_audio, game.read(draw_foldover(game.d_lyrics, EYES, 77).masks)
    values = watch(game, texts)
    long = draw_kerdock(d, 4096 if smoke else 40_960, 991)
    truth = fit_slopes(long, values(long.masks))
    tries: dict[str, Callable[[int], Tensor | None]] = {
        "fold-over (Paley)": lambda seed: _solve(values, draw_foldover(d, EARS, seed)),
        "independent rows": lambda seed: _solve(values, draw_bernoulli(d, EARS, seed)),
        "unfolded": lambda seed: _solve(values, draw_unfolded(d, EARS, seed)),
        "kerdock": lambda seed: _solve(values, draw_kerdock(d, EARS, seed)),
        "pairs": lambda seed: use_pairs(values, d, seed),
        "trees": lambda seed: use_proxy(values, d, seed, learn_trees),
        "cubic kernel": lambda seed: use_proxy(values, d, seed, learn_kernel),
        "gradients": lambda seed: use_gradients(game, texts, seed),
    }
    errors: dict[str, float | None] = {}
    for name, attempt in tries.items():
        runs = [attempt(100 * seed) for seed in range(1, seeds + 1)]
        known = [measure(run, truth) for run in runs if run is not None]
        errors[name] = statistics.median(known) if known else None
    plain = errors["fold-over (Paley)"]
    assert plain is not None
    gains = {name: error and plain / error for name, error in errors.items()}
    return gains | {"low resolution": allow_low_resolution(game, texts, values, 100)}


def _solve(values: Values, design: Design) -> Tensor:
    return fit_slopes(design, values(design.masks))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="one seed and a short reference; its figures mean little")
    parser.add_argument("--seeds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    games = make_games(torch.device(options.device))
    by_game = {game.name: compare(game, 1 if options.smoke else options.seeds, options.smoke) for game in games}
    table = Table(title=f"squared error of the sound's main effects: times lower than fold-over blocks, {EARS} masks")
    names = list(next(iter(by_game.values())))
    for heading in ("what", *by_game):
        table.add_column(heading)
    for name in names:
        table.add_row(name, *("–" if gains[name] is None else f"{gains[name]:.2f}" for gains in by_game.values()))
    Console(width=120).print(table)
    print(json.dumps({name: {model: gains[name] for model, gains in by_game.items()} for name in names}))


if __name__ == "__main__":
    main()
