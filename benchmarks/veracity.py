"""Do explanations find what made a model wrong? The protocol of the veracity study (Praher, Prinz, Flexer & Widmer 2021).

A singing voice detector is deceived by faint noise, added to the waveform or to the spectrogram. The deceived excerpt is cut
into 20 components, 5 of time × 4 of bands, off where they are the excerpt's mean, and explained without any knowledge of
the noise. Then only the noise of the 3 components that speak most for the wrong decision is put into the clean excerpt: is
the decision wrong again? With LIME and 8,192 masks the study saw 21 to 53%. Here too the noise of these 3 is taken out of
the deceived excerpt: is it right again? Beside the methods stand the components with the most noise, which need no model
(the study's "norm-based"), the best three of all 1,140, which only trying them all finds, and three at random.

Detector and songs are our own (`voice.py`), so shares compare between columns and not with the study's own.

    python benchmarks/veracity.py [--smoke] [--each 10] [--device cpu|cuda]
"""

import argparse
import itertools
import json
from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Bool, Float
from peers import ROWS, Game, run_audiolime, run_captum_kernelshap, run_captum_lime, run_shap
from rich.console import Console
from rich.table import Table
from torch import Tensor
from voice import BANDS, FRAMES, Adversary, Attack, Detector, find_adversaries, hear_places, score_detector, train_detector

from musiclime_torch.captum import MusicLIME
from musiclime_torch.statistics.intervals import bound_share

#: Segments of time and groups of bands, components picked, masks.
SEGMENTS, GROUPS, TOP, MANY, FEW = 5, 4, 3, 8192, 512

WIDTH = SEGMENTS * GROUPS

#: The component of every band and frame.
GRID = (torch.arange(BANDS) // (BANDS // GROUPS))[:, None] * SEGMENTS + torch.arange(FRAMES) // (FRAMES // SEGMENTS)

#: Excerpts judged at a time: what processors' caches hold.
BATCH = 16

#: Excerpts of one song at most.
EXCERPTS = 2

Chosen = Bool[Tensor, "n component"]
Pick = Callable[[Detector, Adversary, int], Float[Tensor, " component"]]


def judge(detector: Detector, bands: Float[Tensor, "n band frame"]) -> Float[Tensor, " n"]:
    """Logits, some rows at a time."""
    return torch.cat([detector.judge(part)[:, 0] for part in bands.split(BATCH)])


def run_ours(detector: Detector, adversary: Adversary, n_samples: int, seed: int) -> Float[Tensor, " component"]:
    """`MusicLIME` on the bands themselves, explaining the logit."""
    found = MusicLIME(lambda bands: judge(detector, bands), seed).attribute(
        adversary.noisy[None],
        baselines=float(adversary.noisy.mean()),
        feature_mask=GRID[None].to(adversary.noisy.device),
        n_samples=n_samples,
        perturbations_per_eval=ROWS,
        return_input_shape=False,
    )
    return found[0].cpu()


def make_game(detector: Detector, adversary: Adversary) -> Game:
    """The same for the others. As in the study, they explain the probability."""
    noisy = adversary.noisy

    def answer(masks: Tensor) -> Tensor:
        kept = spread(masks, noisy)
        return judge(detector, torch.where(kept, noisy, noisy.mean())).sigmoid()[:, None].cpu()

    return Game(answer, WIDTH, 0, 0)


def spread(masks: Chosen, like: Tensor) -> Bool[Tensor, "n band frame"]:
    """From components to bands and frames."""
    return masks[:, GRID].to(like.device)


def rank_best(detector: Detector, adversary: Adversary) -> tuple[Chosen, Tensor, Tensor]:
    """All choices of three (choice, component), and which of them deceive, and which undeceive."""
    triples = torch.tensor(list(itertools.combinations(range(WIDTH), TOP)))
    chosen = torch.zeros(len(triples), WIDTH, dtype=torch.bool).scatter(1, triples, True)
    return chosen, *try_out(detector, adversary, chosen)


def try_out(detector: Detector, adversary: Adversary, chosen: Chosen) -> tuple[Bool[Tensor, " n"], Bool[Tensor, " n"]]:
    """Whether the clean excerpt with the chosen noise is decided wrongly, and the noisy one without it rightly."""
    noise = (adversary.noisy - adversary.clean) * spread(chosen, adversary.noisy)
    put_in, taken_out = (judge(detector, one) > 0 for one in (adversary.clean + noise, adversary.noisy - noise))
    return (put_in == adversary.sung).cpu(), (taken_out != adversary.sung).cpu()


def explain_all(detector: Detector, adversary: Adversary, many: int, few: int, seed: int) -> dict[str, Tensor]:
    """Attributions (component,) to "somebody sings", by method."""
    game = make_game(detector, adversary)
    noise = (adversary.noisy - adversary.clean).square().flatten()
    sizes = torch.zeros(WIDTH, device=noise.device).index_add(0, GRID.flatten().to(noise.device), noise).cpu()
    return {
        f"ours, {many:,}": run_ours(detector, adversary, many, seed),
        f"audioLIME, {many:,}": run_audiolime(game, many, seed).attributions,
        f"ours, {few}": run_ours(detector, adversary, few, seed),
        f"audioLIME, {few}": run_audiolime(game, few, seed).attributions,
        f"Captum Lime, {few}": run_captum_lime(game, few, seed).attributions,
        f"Captum KernelShap, {few}": run_captum_kernelshap(game, few, seed).attributions,
        f"SHAP, {few}": run_shap(game, few, seed).attributions,
        # Not turned round for either decision: noise has no side.
        "most noise": sizes if adversary.sung else -sizes,
    }


def measure(detector: Detector, adversary: Adversary, many: int, few: int, seed: int) -> dict[str, tuple[float, float]]:
    """By method: whether its three components deceive, and whether leaving them out undeceives."""
    found = {}
    for method, attributions in explain_all(detector, adversary, many, few, seed).items():
        order = (attributions if adversary.sung else -attributions).argsort(descending=True)
        chosen = torch.zeros(1, WIDTH, dtype=torch.bool).scatter(1, order[None, :TOP].long(), True)
        put_in, taken_out = try_out(detector, adversary, chosen)
        found[method] = (float(put_in), float(taken_out))
    _, deceive, undeceive = rank_best(detector, adversary)
    found["best three"] = (float(deceive.any()), float(undeceive.any()))
    found["random"] = (float(deceive.float().mean()), float(undeceive.float().mean()))
    return found


def show(cells: dict[str, list[dict[str, tuple[float, float]]]], side: int, title: str) -> Table:
    """Shares in percent by cell, and of all together with a 95% interval."""
    table = Table(title=title)
    for heading in ("", *(f"{name} ({len(rows)})" for name, rows in cells.items()), "all (95%)"):
        table.add_column(heading, justify="right" if heading else "left")
    everything = list(itertools.chain.from_iterable(cells.values()))
    for method in everything[0]:
        shares = [np.mean([one[method][side] for one in rows]) if rows else float("nan") for rows in cells.values()]
        hits = sum(one[method][side] for one in everything)
        low, high = bound_share(hits, len(everything), 0.95)
        last = f"{100 * hits / len(everything):.0f} ({100 * low:.0f} to {100 * high:.0f})"
        table.add_row(method, *(f"{100 * share:.0f}" for share in shares), last)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="a detector hardly trained, an excerpt a cell, few masks")
    parser.add_argument("--each", type=int, default=10, help="excerpts of each of the four kinds")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    each, songs, steps, attacked = options.each, 80, 500, -(-options.each // EXCERPTS)
    many, few = MANY, FEW
    if options.smoke:
        each, songs, steps, attacked = 1, 4, 30, 1
        many, few = 128, 64
    detector = train_detector(songs, steps, options.device)
    print(
        f"the detector is right about {score_detector(detector, 2 if options.smoke else 40, options.device):.1%} of excerpts"
    )
    everywhere = hear_places(detector)
    attacks = [Attack(where, steps=20) if options.smoke else Attack(where) for where in ("waveform", "spectrogram")]
    cells: dict[str, list[dict[str, tuple[float, float]]]] = {}
    for attack, sung in itertools.product(attacks, (True, False)):
        found = find_adversaries(everywhere, attack, sung, attacked, min(each, EXCERPTS), options.device)[:each]
        cells[f"{attack.where}, {'sung' if sung else 'not sung'}"] = [
            measure(detector, adversary, many, few, number) for number, adversary in enumerate(found)
        ]
    console = Console(width=150)
    if any(cells.values()):
        console.print(show(cells, 0, "decided wrongly with the noise of three components put in, %"))
        console.print(show(cells, 1, "decided rightly with the noise of three components taken out, %"))
    else:
        print("no excerpt was deceived")
    figures = {
        name: {
            method: [round(float(np.mean([one[method][side] for one in rows])), 4) for side in (0, 1)] for method in rows[0]
        }
        for name, rows in cells.items()
        if rows
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
