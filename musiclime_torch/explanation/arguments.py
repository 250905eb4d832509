"""What `explain` was given, read and checked before a model is asked. Numbers become Python's own, as files take them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, SupportsFloat, SupportsIndex, cast, get_args

from musiclime_torch.basics.arguments import check_name, read_integer
from musiclime_torch.basics.errors import InputError
from musiclime_torch.song.track import Track
from musiclime_torch.surrogate.sampling import SEED_END, Sampling
from musiclime_torch.variants.sound import StandIn
from musiclime_torch.variants.words import LyricsBaseline


def check_track(track: object) -> None:
    """InputError for what is no track, a path above all."""
    if isinstance(track, str | Path):
        raise InputError(f"the track is a path: give load_track({str(track)!r}).")
    if not isinstance(track, Track):
        raise InputError(f"the track is of type {type(track).__name__}: give load_track(path), or a Track made by hand.")


def check_baseline(baseline: object) -> None:
    """InputError for what can't stand in for a stem."""
    names = get_args(StandIn)
    if not isinstance(baseline, Track) and not (isinstance(baseline, str) and baseline in names):
        raise InputError(f"audio baseline {baseline!r} is not known: use {', '.join(names)} or another song's track.")


def check_lyrics_baseline(baseline: object) -> None:
    """InputError for what can't stand in for a word; None leaves the choice to the model."""
    if baseline is not None:
        check_name(baseline, LyricsBaseline, "lyrics baseline")


def read_number(value: object, name: str) -> float:
    """The value as a `float`; InputError for what is none, text too, with the argument's `name`.

    >>> import numpy as np
    >>> read_number(np.float32(0.5), "ridge")
    0.5
    """
    try:
        if isinstance(value, SupportsFloat | SupportsIndex):
            return float(value)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        pass  # arrays have __float__ whatever their shape; torch raises the last
    raise InputError(f"{name} {value!r} is not a number: give one, such as 0.5.")


def read_counts(n_samples: Any) -> int | tuple[int, int]:
    """One number of masks or several; `Sampling` tells how many there may be."""
    if not isinstance(n_samples, Sequence):
        return read_integer(n_samples, "n_samples")
    return cast(tuple[int, int], tuple(read_integer(count, "n_samples") for count in n_samples))


def read_batch_size(batch_size: Any) -> int:
    """One or more."""
    size = read_integer(batch_size, "batch_size")
    if size < 1:
        raise InputError(f"a batch of {size} variants holds none: give 1 or more.")
    return size


def read_seed(seed: Any) -> int:
    """What torch's generators take."""
    number = read_integer(seed, "seed")
    if not 0 <= number < SEED_END:
        raise InputError(f"the seed {number} is not between 0 and 2**63 - 1: give one that is, such as 0.")
    return number


def read_confidence(confidence: object) -> float:
    """Above 0 and below 1."""
    level = read_number(confidence, "confidence")
    if not 0 < level < 1:
        # Percent are the slip that can be told.
        meant = f"{level / 100:g}" if 50 <= level < 100 else "one that is, such as 0.95"
        raise InputError(f"a confidence of {level:g} is not between 0 and 1: give {meant}.")
    return level


def read_ridge(ridge: object) -> float:
    """From 0 up."""
    penalty = read_number(ridge, "ridge")
    if not 0 <= penalty < float("inf"):
        raise InputError(f"a ridge penalty of {penalty:g} is not a number from 0 up: give 0 for none, or more, such as 1.")
    return penalty


def check_shapley(sampling: Sampling, ridge: float, until: str | None) -> None:
    """InputError for settings that Shapley values can't have."""
    if sampling.design not in ("auto", "crossed", "joint"):
        raise InputError(f"Shapley values have designs of their own: use design auto, not {sampling.design}.")
    if ridge:
        raise InputError(f"a ridge penalty of {ridge:g} would bend Shapley values off their sum: leave it out.")
    if until is not None:
        raise InputError(f"Shapley values are sampled in one go: leave until {until!r} out, or use uniform weights.")
