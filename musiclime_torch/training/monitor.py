"""Sanity checks inside a training loop: a few songs are explained every few hundred steps, without effect on the training.

A training loop calls `monitor.step(model, step)`. Random states, training flags and gradients are left unchanged, so that
losses and weights are the same to the last bit as without it. Under `DistributedDataParallel` the first rank explains;
compiled models are explained by what was compiled.
"""

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from musiclime_torch.basics.errors import InputError
from musiclime_torch.explanation.explainer import explain_with
from musiclime_torch.explanation.explanation import Explanation
from musiclime_torch.explanation.settings import read_settings
from musiclime_torch.models.care import module_behind, shuffling
from musiclime_torch.song.track import Track
from musiclime_torch.surrogate.intervals import rank_correlation
from musiclime_torch.training.scores import Learner

#: A reading's numbers by name; in addition there is each stem's share, as "stem_share/drums".
NUMBERS = ("lyrics_share", "fidelity", "correlation", "random_correlation", "silence", "seconds")


@dataclass(frozen=True)
class Reading:
    """Results of one look at a model: means over the monitor's songs, each explained for its predicted class.

    `lyrics_share` is the lyrics' share of all squared attributions, None for a model of one modality; `stem_shares` divide
    the sound's among the stems. `correlation` is Spearman's with the previous look, None at the first.
    `random_correlation` is that with the model of the first look with its weights shuffled: near 1, an explanation shows
    the architecture and not what was learned (Adebayo et al. 2018); None for a model without accessible weights. `silence`
    is the size of the lyrics' attributions with silent sound, relative to the size of all attributions to the song: above
    1, the lyrics decide more without sound than everything does with it.
    """

    step: int
    lyrics_share: float | None
    stem_shares: dict[str, float]
    fidelity: float
    correlation: float | None
    random_correlation: float | None
    silence: float | None
    seconds: float

    def __str__(self) -> str:
        """One line to read in a log; what this model or this look doesn't have is left out."""
        shares = [] if self.lyrics_share is None else [("lyrics", self.lyrics_share)]
        sound = 1.0 if self.lyrics_share is None else 1 - self.lyrics_share
        shares += [(name, sound * share) for name, share in self.stem_shares.items()]
        told = [", ".join(f"{name} {100 * share:.0f}%" for name, share in sorted(shares, key=lambda pair: -pair[1]))]
        told += [f"fidelity {self.fidelity:.2f}"]
        told += [] if self.correlation is None else [f"correlation with the last reading {self.correlation:.2f}"]
        told += [] if self.random_correlation is None else [f"with shuffled weights {self.random_correlation:.2f}"]
        told += [] if self.silence is None else [f"silence {self.silence:.2f}"]
        return f"step {self.step}: {'; '.join(part for part in told if part)} ({self.seconds:.1f} s)"

    def scalars(self) -> dict[str, float]:
        """Everything as numbers by name, as loggers take them."""
        named = {name: getattr(self, name) for name in NUMBERS}
        stems = {_name_stem(name): share for name, share in self.stem_shares.items()}
        return {name: value for name, value in named.items() if value is not None} | stems


#: Encoder passes per song, or as many joint variants; and steps between looks.
PASSES, EVERY = 256, 500

#: Called with a reading; `add_scalars` makes one from a TensorBoard writer.
Log = Callable[[Reading], object]


class Monitor:
    """Explains `tracks` whenever the step is a multiple of `every`.

    By default four songs of ten seconds take about 3% of the embedded model's training (`benchmarks/catalogues/monitor.py`).
    `options` are passed to `explain`, such as `segments`; `n_samples` is 256 by default. `limits` bound numbers of
    `Reading.scalars` by (lowest, highest): exceeding one warns, or ends training with an error where `stop` is set.

    The shuffled model is made and explained once, from the weights at the first look: all looks are compared with that one.
    """

    def __init__(
        self,
        tracks: Sequence[Track],
        *,
        every: int = EVERY,
        options: Mapping[str, Any] | None = None,
        log: Log | None = None,
        limits: Mapping[str, tuple[float, float]] | None = None,
        stop: bool = False,
    ) -> None:
        """InputError without songs, for an interval below 1, or for limits of unknown numbers."""
        if not tracks:
            raise InputError("a monitor needs songs to explain: give a few tracks.", argument="tracks")
        if every < 1:
            raise InputError(f"every must be at least 1, got {every}.", argument="every")
        _check_limits(limits or {}, tracks)
        self.tracks, self.every, self.log, self.stop = tuple(tracks), every, log, stop
        self.settings, self.limits = read_settings({"n_samples": PASSES, **(options or {})}), dict(limits or {})
        self.readings: list[Reading] = []
        self._asked: int | None = None
        self._last: list[Tensor] | None = None
        #: None before the first look, empty for a model without accessible weights.
        self._shuffled: list[Tensor] | None = None

    def step(self, model: Callable[..., Any], step: int) -> Reading | None:
        """A reading where the step is due and this process is the first, else None.

        Due is a multiple of `every`, or the first step after one that was passed over; asked twice in a row at one step, as
        with accumulated gradients, the monitor looks once.

        InputError where a limit is exceeded and `stop` is set, after the reading was kept and logged; where a song can't be
        explained; and for a model whose weights are sharded over processes.
        """
        before, self._asked = self._asked, step
        passed = before is not None and step // self.every > before // self.every
        if step == before or (step % self.every and not passed):
            return None
        refuse_sharded(model)
        # One process looks: the others would compute the same, and wait for each other meanwhile.
        if not _is_first():
            return None
        started = time.perf_counter()
        model = unwrap(model)
        explanations = self._explain(model)
        # Once, at the first look: see the class docstring.
        if self._shuffled is None:
            self._shuffled = self._explain_shuffled(model)
        now = [_attributions(explanation) for explanation in explanations]
        reading = Reading(
            step=step,
            lyrics_share=_mean([_share_lyrics(explanation) for explanation in explanations]),
            stem_shares=_share_stems(explanations),
            fidelity=_mean([float(explanation.fidelity[explanation.target]) for explanation in explanations]) or 0.0,
            correlation=None
            if self._last is None
            else _mean([rank_correlation(*pair) for pair in zip(now, self._last, strict=True)]),
            # An explanation that correlates with that of shuffled weights shows the architecture, not what was learned.
            random_correlation=_mean([rank_correlation(*pair) for pair in zip(now, self._shuffled, strict=True)])
            if self._shuffled
            else None,
            silence=_mean(
                [
                    self._try_silence(model, track, explanation)
                    for track, explanation in zip(self.tracks, explanations, strict=True)
                ]
            ),
            seconds=time.perf_counter() - started,
        )
        # Kept before a limit may raise: a training loop that catches the error finds the reading it is about.
        self._last = now
        self.readings.append(reading)
        if self.log is not None:
            self.log(reading)
        self._check(reading)
        return reading

    def _explain(self, model: Callable[..., Any]) -> list[Explanation]:
        return [explain_with(model, track, self.settings) for track in self.tracks]

    def _explain_shuffled(self, model: Callable[..., Any]) -> list[Tensor]:
        """Attributions of the model with shuffled weights; empty for a model without accessible weights."""
        module = module_behind(model)
        if module is None or next(module.parameters(), None) is None:
            return []
        # A permutation keeps the distribution of every weight tensor and destroys what was learned. Made once, from the
        # first look's weights: a new shuffle at every look would add its own noise to the curve.
        with shuffling(module, 1.0, 0):
            return [_attributions(explanation) for explanation in self._explain(model)]

    def _try_silence(self, model: Callable[..., Any], track: Track, explanations: Explanation) -> float | None:
        """Size of the attributions to a silent song with these lyrics, over those to the song; None without both sides."""
        if not 0 < explanations.components.n_audio < len(explanations.components):
            return None
        silent = Track(torch.zeros_like(track.stems), track.stem_names, track.sample_rate, track.lyrics, title=track.title)
        # A silent song has only lyrics left to mask: joint masks over these, as many as its side would get.
        counts = self.settings.n_samples
        masks = counts[1] if isinstance(counts, tuple) else counts
        settings = replace(self.settings, n_samples=masks, target=explanations.target, design="joint")
        without = explain_with(model, silent, settings)
        total = _attributions(explanations).square().sum()
        return float((without.attributions[explanations.target].square().sum() / total).sqrt()) if float(total) else None

    def _check(self, reading: Reading) -> None:
        scalars = reading.scalars()
        for name, (lowest, highest) in self.limits.items():
            if name in scalars and not lowest <= scalars[name] <= highest:
                message = f"step {reading.step}: {name} is {scalars[name]:.3g}, outside {lowest:g} to {highest:g}."
                if self.stop:
                    raise InputError(message)
                warnings.warn(message, stacklevel=3)


def add_scalars(writer: Any, prefix: str = "explanation") -> Log:
    """A `log` for a `torch.utils.tensorboard.SummaryWriter` or whatever has its `add_scalar`."""

    def log(reading: Reading) -> None:
        for name, value in reading.scalars().items():
            writer.add_scalar(f"{prefix}/{name}", value, reading.step)

    return log


def unwrap(model: Any) -> Any:
    """The model behind `DistributedDataParallel`, `DataParallel`, DeepSpeed, `torch.compile` and our own `Learner`."""
    # Wrappers nest in any order: a compiled model in DistributedDataParallel, or the other way round.
    while True:
        inner = getattr(model, "_orig_mod", None)
        if inner is None and isinstance(model, nn.parallel.DistributedDataParallel | nn.DataParallel):
            inner = model.module
        if inner is None and any(kind.__name__ == "DeepSpeedEngine" for kind in type(model).__mro__):
            inner = model.module
        if inner is None and isinstance(model, Learner):
            inner = model.model
        if inner is None:
            return model
        model = inner


def refuse_sharded(model: Any) -> None:
    """InputError for weights that lie on several processes, by FSDP or DeepSpeed's ZeRO-3: one process can't run them."""
    module = module_behind(model)
    parts = [] if module is None else list(module.modules())
    kinds = {kind.__name__ for part in parts for kind in type(part).__mro__}
    # ZeRO-3 marks the parameters that it shards.
    marked = any(hasattr(weight, "ds_id") for part in parts for weight in part.parameters(recurse=False))
    name = "DeepSpeed's ZeRO-3" if marked else "FSDP" if kinds & {"FullyShardedDataParallel", "FSDPModule"} else ""
    if name:
        raise InputError(
            f"a monitor explains in one process, but {name} shards the model's weights over all of them: use "
            f"DistributedDataParallel or ZeRO-2, or explain saved checkpoints."
        )


def _name_stem(stem: str) -> str:
    return f"stem_share/{stem}"


def _check_limits(limits: Mapping[str, tuple[float, float]], tracks: Sequence[Track]) -> None:
    """InputError for a name that no reading of these songs has, and for bounds in the wrong order."""
    known = (*NUMBERS, *dict.fromkeys(_name_stem(name) for track in tracks for name in track.stem_names))
    for name, (lowest, highest) in limits.items():
        if name not in known:
            raise InputError(f"no reading has a number {name!r}: give limits of {', '.join(known)}.", argument="limits")
        if not lowest <= highest:
            raise InputError(
                f"the limits of {name} are {lowest:g} and {highest:g}: give the lower one first.", argument="limits"
            )


def _attributions(explanation: Explanation) -> Float[Tensor, " component"]:
    return explanation.attributions[explanation.target]


def _share_lyrics(explanation: Explanation) -> float | None:
    values, split = _attributions(explanation).square(), explanation.components.n_audio
    if not 0 < split < len(values):
        return None
    # Squares, not absolute values: of orthogonal masks the squared slopes add up to the variance that the surrogate
    # explains.
    total = float(values.sum())
    return float(values[split:].sum()) / total if total else 0.0


def _share_stems(explanations: Sequence[Explanation]) -> dict[str, float]:
    """Shares by stem name; songs needn't have the same stems."""
    sums: dict[str, float] = {}
    for explanation in explanations:
        for item, value in zip(explanation.components.items, _attributions(explanation).square().tolist(), strict=True):
            if item.stem is not None:
                sums[item.stem] = sums.get(item.stem, 0.0) + value
    total = sum(sums.values())
    return {name: value / total if total else 0.0 for name, value in sums.items()}


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _is_first() -> bool:
    """Whether this is the only process, or the first of several."""
    distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
    return not distributed or torch.distributed.get_rank() == 0
