"""Do explanations find what made a model wrong? The protocol of the veracity study (Praher, Prinz, Flexer & Widmer 2021).

A singing voice detector is deceived by faint noise, added to the waveform or to the spectrogram of a song that is sung in
some passages. An excerpt that is deceived is cut into 20 components, 5 of time × 4 of bands, and explained without any
knowledge of the noise. Then only the noise of the 3 components that speak most for the wrong decision is put into the clean
excerpt: is the decision wrong again? With LIME and 8,192 masks the study saw 21 to 53%. The same is done here, also with 6
and 10 components (the study's figure 2), and the other way round: the noise of 3 is taken out of the deceived excerpt; is
the decision right again?

The study replaces a component that is off by the excerpt's mean, which removes everything there. Every method is run so, and
once more with medians over neighbouring frames: the music stays, and what changes from frame to frame goes, as noise does. A
quarter of the masks uses medians over 5 frames, a quarter each over 9, 15 and 25, and the four attributions are averaged,
because a single smoothing changes decisions by itself. Beside the methods stand
the components with the most noise, which need no model (the study's "norm-based"); the best three of all 1,140, which only
trying them all finds (no method can do more); and components at random.

Detector and songs are our own (`voice.py`), so shares can be compared between rows but hardly with the study's: our detector
errs on 16% of excerpts, the study's on 11.5%. Medians and their lengths were chosen among some eighteen smoothings by trial
on excerpts of other songs, whose seeds are 52,000,000 and on.

    python -m benchmarks.accuracy.veracity [--smoke] [--each 16] [--device cpu|cuda]
"""

import argparse
import itertools
import json
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from rich.console import Console
from rich.table import Table
from scipy.stats import binomtest
from torch import Tensor
from torch.nn import functional

from benchmarks.tools.peers import ROWS, Found, Oracle, run_audiolime, run_captum_kernelshap, run_captum_lime, run_shap
from benchmarks.worlds.voice import (
    BANDS,
    FRAMES,
    Adversary,
    Attack,
    Detector,
    find_adversaries,
    hear_places,
    score_detector,
    train_detector,
)
from musiclime_torch.captum import MusicLIME
from musiclime_torch.surrogate import bound_share

#: Random choices of more than three components.
DRAWS = 200

#: Segments of time and groups of bands, components picked, masks.
SEGMENTS, GROUPS, TOP, MANY, FEW = 5, 4, 3, 8192, 512

#: Frames that medians are taken over where what is off is smooth.
LENGTHS = (5, 9, 15, 25)

#: The two that are compared one excerpt at a time.
OURS, STUDY = "ours, medians", "study's procedure"

WIDTH = SEGMENTS * GROUPS

#: The component of every band and frame.
GRID = (torch.arange(BANDS) // (BANDS // GROUPS))[:, None] * SEGMENTS + torch.arange(FRAMES) // (FRAMES // SEGMENTS)

#: Excerpts judged at a time: what processors' caches hold.
BATCH = 16

Bands = Float[Tensor, "band frame"]
Chosen = Bool[Tensor, "n component"]
#: By trial, whether or how often a decision is turned.
Outcome = dict[str, float]


def judge(detector: Detector, bands: Float[Tensor, "n band frame"]) -> Float[Tensor, " n"]:
    """Logits, some rows at a time."""
    return torch.cat([detector.judge(part)[:, 0] for part in bands.split(BATCH)])


def fill_mean(bands: Bands) -> Bands:
    """The excerpt's mean everywhere."""
    return bands.mean().expand_as(bands)


def take_medians(bands: Bands, length: int) -> Bands:
    """Every band's median over the frames around each; edges repeat their last one."""
    padded = functional.pad(bands[None], (length // 2, length // 2), mode="replicate")[0]
    return padded.unfold(1, length, 1).median(2).values


#: What replaces a component that is off; where there are several, each is used for equally many masks.
STAND_INS: dict[str, tuple[Callable[[Bands], Bands], ...]] = {
    "mean": (fill_mean,),
    "medians": tuple(partial(take_medians, length=length) for length in LENGTHS),
}


def run_ours(detector: Detector, noisy: Bands, off: Bands, n_samples: int, seed: int) -> Float[Tensor, " component"]:
    """`MusicLIME` on the bands themselves, explaining the logit."""
    attributions = MusicLIME(lambda bands: judge(detector, bands), seed).attribute(
        noisy[None],
        baselines=off[None],
        feature_mask=GRID[None].to(noisy.device),
        n_samples=n_samples,
        perturbations_per_eval=ROWS,
        return_input_shape=False,
    )
    return attributions[0].cpu()


def make_game(detector: Detector, noisy: Bands, off: Bands) -> Oracle:
    """The same for the others. As in the study, they explain the probability."""

    def ask(masks: Chosen) -> Float[Tensor, "n 1"]:
        return judge(detector, torch.where(spread(masks, noisy), noisy, off)).sigmoid()[:, None].cpu()

    return Oracle(ask, WIDTH, 0, 0)


def spread(masks: Chosen, like: Tensor) -> Bool[Tensor, "n band frame"]:
    """From components to bands and frames."""
    return masks[:, GRID].to(like.device)


def put_in(detector: Detector, adversary: Adversary, chosen: Chosen) -> Bool[Tensor, " n"]:
    """Whether the clean excerpt with the noise of the chosen components is decided wrongly."""
    noise = (adversary.noisy - adversary.clean) * spread(chosen, adversary.noisy)
    return ((judge(detector, adversary.clean + noise) > 0) == adversary.sung).cpu()


def take_out(detector: Detector, adversary: Adversary, chosen: Chosen) -> Bool[Tensor, " n"]:
    """Whether the deceived excerpt without the noise of the chosen components is decided rightly."""
    noise = (adversary.noisy - adversary.clean) * spread(chosen, adversary.noisy)
    return ((judge(detector, adversary.noisy - noise) > 0) != adversary.sung).cpu()


#: By name; each takes a detector, a deceived excerpt, a stand-in for components that are off, a number of masks and a seed.
Method = Callable[[Detector, Bands, Bands, int, int], Float[Tensor, " component"]]


def ask_peer(run: Callable[[Oracle, int, int], Found]) -> Method:
    """One of `peers.py`."""
    return lambda detector, noisy, off, n_samples, seed: run(make_game(detector, noisy, off), n_samples, seed).attributions


METHODS: dict[str, Method] = {
    "ours": run_ours,
    "audioLIME": ask_peer(run_audiolime),
    "Captum Lime": ask_peer(run_captum_lime),
    "Captum KernelShap": ask_peer(run_captum_kernelshap),
    "SHAP": ask_peer(run_shap),
}

#: What is done with how many components; the first is what the study gives shares of.
TRIALS = {"3 put in": (put_in, 3), "6 put in": (put_in, 6), "10 put in": (put_in, 10), "3 taken out": (take_out, 3)}


def explain_all(detector: Detector, adversary: Adversary, many: int, few: int, seed: int) -> dict[str, Tensor]:
    """Attributions (component,) to "somebody sings", by method."""
    noisy = adversary.noisy

    def explain(method: str, stand_in: str, n_samples: int) -> Float[Tensor, " component"]:
        fills = STAND_INS[stand_in]
        return torch.stack(
            [
                METHODS[method](detector, noisy, fill(noisy), n_samples // len(fills), len(fills) * seed + place)
                for place, fill in enumerate(fills)
            ]
        ).mean(0)

    by_method = {STUDY: explain("audioLIME", "mean", many)}
    for stand_in, method in itertools.product(STAND_INS, METHODS):
        by_method[f"{method}, {stand_in}"] = explain(method, stand_in, few)
    noise = (noisy - adversary.clean).square().flatten()
    sizes = torch.zeros(WIDTH, device=noise.device).index_add(0, GRID.flatten().to(noise.device), noise).cpu()
    # Not turned round for either decision: noise has no side.
    return by_method | {"most noise": sizes if adversary.sung else -sizes}


def measure(detector: Detector, adversary: Adversary, many: int, few: int, seed: int) -> dict[str, Outcome]:
    """By method and trial, whether the decision is turned; for "random" how often, for "best" whether by any choice of 3."""
    outcomes: dict[str, Outcome] = {}
    for method, attributions in explain_all(detector, adversary, many, few, seed).items():
        order = (attributions if adversary.sung else -attributions).argsort(descending=True)
        outcomes[method] = {
            name: float(attempt(detector, adversary, choose(order[None, :count].long())))
            for name, (attempt, count) in TRIALS.items()
        }
    turned = {name: attempt(detector, adversary, list_choices(count, seed)) for name, (attempt, count) in TRIALS.items()}
    outcomes["best"] = {name: float(choices.any()) for name, choices in turned.items() if TRIALS[name][1] == TOP}
    outcomes["random"] = {name: float(choices.float().mean()) for name, choices in turned.items()}
    return outcomes


def list_choices(count: int, seed: int) -> Chosen:
    """All of three components, or some of more."""
    if count == TOP:
        return choose(torch.tensor(list(itertools.combinations(range(WIDTH), count))))
    return choose(torch.rand(DRAWS, WIDTH, generator=torch.Generator().manual_seed(seed)).argsort(1)[:, :count])


def choose(indices: Int[Tensor, "n count"]) -> Chosen:
    return torch.zeros(len(indices), WIDTH, dtype=torch.bool).scatter(1, indices, True)


def compare(everything: list[dict[str, Outcome]]) -> dict[str, dict[str, float]]:
    """Ours beside the study's procedure: excerpts that only one of both turns, and how probable such an imbalance is if
    both are equally likely (McNemar's exact test, two-sided).
    """
    figures: dict[str, dict[str, float]] = {}
    for name in TRIALS:
        won = sum(outcomes[OURS][name] > outcomes[STUDY][name] for outcomes in everything)
        lost = sum(outcomes[OURS][name] < outcomes[STUDY][name] for outcomes in everything)
        chance = float(binomtest(won, won + lost).pvalue) if won + lost else 1.0
        figures[name] = {"only ours": won, "only the study's": lost, "p": chance}
        print(f"{name}: {won} excerpts by {OURS} only, {lost} by the {STUDY} only, p = {chance:.2g}")
    return figures


def show_kinds(kinds: dict[str, list[dict[str, Outcome]]]) -> Table:
    """The study's trial, a column a kind of excerpt."""
    trial = next(iter(TRIALS))
    table = Table(title=f"noise of {trial}: decided wrongly, %")
    for heading in ("", *(f"{name} ({len(rows)})" for name, rows in kinds.items())):
        table.add_column(heading, justify="right" if heading else "left")
    for method in next(rows[0] for rows in kinds.values() if rows):
        shares = [
            f"{100 * np.mean([outcomes[method][trial] for outcomes in rows]):.0f}" if rows else "-"
            for rows in kinds.values()
        ]
        table.add_row(method, *shares)
    return table


def show_trials(everything: list[dict[str, Outcome]]) -> Table:
    """All excerpts together, with 95% intervals."""
    table = Table(title=f"decision turned by the noise of these components, % of {len(everything)} excerpts (95%)")
    for heading in ("", *TRIALS):
        table.add_column(heading, justify="right" if heading else "left")
    for method in everything[0]:
        cells = []
        for name in TRIALS:
            if name in everything[0][method]:
                hits = sum(outcomes[method][name] for outcomes in everything)
                low, high = bound_share(hits, len(everything), 0.95)
                cells.append(f"{100 * hits / len(everything):.0f} ({100 * low:.0f} to {100 * high:.0f})")
            else:
                cells.append("-")
        table.add_row(method, *cells)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--smoke", action="store_true", help="a barely trained detector, one excerpt of each kind, few masks"
    )
    parser.add_argument("--each", type=int, default=16, help="excerpts of each of the four kinds")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    each, songs, steps, many, few = options.each, 80, 500, MANY, FEW
    if options.smoke:
        each, songs, steps, many, few = 1, 4, 30, 256, 256
    detector = train_detector(songs, steps, options.device)
    print(
        f"the detector is right about {score_detector(detector, 2 if options.smoke else 40, options.device):.1%} of excerpts"
    )
    everywhere = hear_places(detector)
    attacks = [Attack(where, steps=20) if options.smoke else Attack(where) for where in ("waveform", "spectrogram")]
    kinds: dict[str, list[dict[str, Outcome]]] = {}
    for attack in attacks:
        adversaries = find_adversaries(everywhere, attack, each, options.device)
        for sung in (True, False):
            kinds[f"{attack.where}, {'sung' if sung else 'not sung'}"] = [
                measure(detector, adversary, many, few, number)
                for number, adversary in enumerate(adversaries)
                if adversary.sung == sung
            ]
    everything = list(itertools.chain.from_iterable(kinds.values()))
    figures = {}
    if everything:
        console = Console(width=150)
        console.print(show_kinds(kinds))
        console.print(show_trials(everything))
        print(f"{few} masks a method, {many:,} in the {STUDY}: audioLIME with the excerpt's mean")
        figures = {
            method: {name: round(float(np.mean([outcomes[method][name] for outcomes in everything])), 4) for name in outcome}
            for method, outcome in everything[0].items()
        }
        figures["ours beside the study's"] = compare(everything)
    else:
        print("no excerpt was deceived")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
