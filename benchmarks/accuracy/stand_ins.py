"""What stands in for a removed part, and whether explanations then find what made a model wrong.

The protocol and the excerpts of `veracity.py`: a singing voice detector deceived by faint noise, here added to the sound, so
that `explain` can be asked about the sound itself. Stems are four bands of frequency, segments five of time: 20 components.
The noise of the 3 (6, 10) that speak most for the wrong decision is put into the clean excerpt, or that of 3 is taken out of
the noisy one: does it turn the decision?

Rows are stand-ins of `explain`: silence, noise, a gain, and medians over neighbouring frames: by resynthesis, by resynthesis
in frames that the model declares, and in spectra that it offers; also averaged over four lengths, as `veracity.py` does.
Beside them stand the same with the bands of the spectrogram themselves ("bands"), the components with the most noise, and
components at random.

    python -m benchmarks.accuracy.stand_ins [--smoke] [--each 16]
"""

import argparse
import json
import sys
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from jaxtyping import Float
from rich.console import Console
from torch import Tensor

from benchmarks.accuracy.veracity import (
    FEW,
    GRID,
    GROUPS,
    LENGTHS,
    SEGMENTS,
    STAND_INS,
    TRIALS,
    WIDTH,
    choose,
    list_choices,
    run_ours,
    show_trials,
)
from benchmarks.worlds.voice import (
    BANDS,
    FFT,
    FRAMES,
    HOP,
    Adversary,
    Attack,
    Detector,
    find_adversaries,
    hear_excerpt,
    hear_places,
    score_detector,
    train_detector,
)
from musiclime_torch import Track, explain
from musiclime_torch.demo import SAMPLE_RATE
from musiclime_torch.song import Recording, separate

#: Stand-ins of `explain`: several share the masks and are averaged.
ASKED: dict[str, tuple[str, ...]] = {
    "silence": ("silence",),
    "noise": ("noise",),
    "-12 dB": ("-12 dB",),
    "median 0.1 s": ("median 0.1 s",),
    "median 0.3 s": ("median 0.3 s",),
    "median 1 s": ("median 1 s",),
    "medians of four lengths": tuple(f"median {length * HOP / SAMPLE_RATE:.3g} s" for length in LENGTHS),
}


#: What the detector declares.
DECLARED = ("nothing", "frames", "spectra")


class Listener:
    """The detector as `explain` takes it; it declares nothing, the frames of its spectrogram, or its spectra too."""

    sample_rate, channels, modalities, output_kind, classes = SAMPLE_RATE, 1, ("audio",), "multilabel", ("singing",)

    def __init__(self, detector: Detector, declared: str) -> None:
        self.module, self.name, self.declared = detector, "detector", declared
        if declared != "nothing":
            self.spectrogram = (FFT, HOP)
        if declared == "spectra":
            self.to_spectra, self.hear_spectra = self.transform, self.look

    @property
    def first(self) -> float:
        """Seconds of the first frame: spectra are taken to begin with theirs."""
        return 0.0 if self.declared == "spectra" else FFT / 2 / SAMPLE_RATE

    def transform(self, audio: Float[Tensor, "batch 1 sample"]) -> Tensor:
        shape = torch.hann_window(FFT)
        return torch.stft(audio[:, 0], FFT, HOP, window=shape, center=False, return_complex=True)[:, None]

    def look(self, spectra: Tensor) -> Float[Tensor, "batch 1"]:
        return torch.cat([self.module(part) for part in spectra[:, 0].abs().split(16)])

    def __call__(self, audio: Float[Tensor, "batch 1 sample"]) -> Float[Tensor, "batch 1"]:
        return torch.cat([hear_excerpt(self.module, part) for part in audio[:, 0].split(16)])


def find_edges(detector: Detector) -> tuple[float, ...]:
    """Frequencies between the groups of bands, in Hz: where the filters of the two bands beside an edge are equal."""
    weights, step = detector.mel.fb, SAMPLE_RATE / FFT
    edges = []
    for first in range(BANDS // GROUPS, BANDS, BANDS // GROUPS):
        below, above = weights[:, first - 1].argmax(), weights[:, first].argmax()
        edges.append(float(below + above) / 2 * step)
    return tuple(edges)


def explain_sound(
    listener: Listener, edges: tuple[float, ...], adversary: Adversary, stand_ins: tuple[str, ...], seed: int
) -> Float[Tensor, " component"]:
    """Attributions of the noisy excerpt's bands × segments; in the order of `veracity.GRID`."""
    assert adversary.audio is not None, "excerpts without their sound were left out"
    bands = f"bands:{','.join(f'{edge:.1f}' for edge in edges)}"
    stems, names, _ = separate(Recording(adversary.audio[None].cpu(), SAMPLE_RATE), bands, "cpu", None)
    track = Track(stems, names, SAMPLE_RATE)
    width = FRAMES // SEGMENTS
    cuts = [listener.first + width * place * HOP / SAMPLE_RATE for place in range(1, SEGMENTS)]
    options = {"segments": cuts, "n_samples": FEW // len(stand_ins), "space": "logit", "residual": True}
    return torch.stack(
        [
            explain(listener, track, baseline=stand_in, seed=seed + place, **options).attributions[0]
            for place, stand_in in enumerate(stand_ins)
        ]
    ).mean(0)


def explain_all(detector: Detector, edges: tuple[float, ...], adversary: Adversary, seed: int) -> dict[str, Tensor]:
    """Attributions to "somebody sings", by row."""
    rows = {}
    for declared in DECLARED:
        listener = Listener(detector, declared)
        for name, stand_ins in ASKED.items():
            if declared == "nothing" or "median" in name:
                row = f"explain, {name}{f', declared {declared}' * (declared != 'nothing')}"
                rows[row] = explain_sound(listener, edges, adversary, stand_ins, len(ASKED) * seed)
    for name, fills in STAND_INS.items():
        noisy = adversary.noisy
        parts = [run_ours(detector, noisy, fill(noisy), FEW // len(fills), seed) for fill in fills]
        rows[f"bands, {name}"] = torch.stack(parts).mean(0)
    noise = (adversary.noisy - adversary.clean).square().flatten()
    sizes = torch.zeros(WIDTH, device=noise.device).index_add(0, GRID.flatten().to(noise.device), noise).cpu()
    return rows | {"most noise": sizes if adversary.sung else -sizes}


def measure(detector: Detector, edges: tuple[float, ...], adversary: Adversary, seed: int) -> dict[str, dict[str, float]]:
    """By row and trial, whether the decision is turned; for "random" how often."""
    outcomes: dict[str, dict[str, float]] = {}
    attempts: dict[str, tuple[Callable[..., Tensor], int]] = TRIALS
    for row, attributions in explain_all(detector, edges, adversary, seed).items():
        order = (attributions if adversary.sung else -attributions).argsort(descending=True)
        outcomes[row] = {
            name: float(attempt(detector, adversary, choose(order[None, :count].long())))
            for name, (attempt, count) in attempts.items()
        }
    outcomes["random"] = {
        name: float(attempt(detector, adversary, list_choices(count, seed)).float().mean())
        for name, (attempt, count) in attempts.items()
    }
    return outcomes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="a barely trained detector and one excerpt of each kind")
    parser.add_argument("--each", type=int, default=16, help="excerpts of each of the two kinds")
    options = parser.parse_args()
    each, songs, steps = (1, 4, 30) if options.smoke else (options.each, 80, 500)
    detector = train_detector(songs, steps, "cpu")
    print(f"the detector is right about {score_detector(detector, 2 if options.smoke else 40, 'cpu'):.1%} of excerpts")
    attack = Attack("waveform", steps=20) if options.smoke else Attack("waveform")
    adversaries = [
        adversary
        for adversary in find_adversaries(hear_places(detector), attack, each, "cpu")
        if adversary.audio is not None
    ]
    print(f"{len(adversaries)} excerpts", file=sys.stderr, flush=True)
    find = partial(measure, detector, find_edges(detector))
    everything = [find(adversary, number) for number, adversary in enumerate(adversaries)]
    figures = {}
    if everything:
        Console(width=150).print(show_trials(everything))
        print(
            f"{FEW} masks a row; the edges between bands are {', '.join(f'{edge:.0f}' for edge in find_edges(detector))} Hz"
        )
        figures = {
            row: {name: round(float(np.mean([outcomes[row][name] for outcomes in everything])), 4) for name in outcome}
            for row, outcome in everything[0].items()
        }
    else:
        print("no excerpt was deceived")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
