"""One forward pass of the model or of a part of it: what it may raise, and what it must return.

The model is somebody else's code. Every call of it in the package's explanations goes through here, so that whatever it
raises or returns wrongly becomes one sentence. Of a song of several windows each is run once per distinct rendering, and the
answers are kept (`run_windows`).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from musiclime_torch.basics.arguments import T
from musiclime_torch.basics.errors import InputError
from musiclime_torch.models.batches import fill, in_batches, ran_out
from musiclime_torch.models.care import encoding, tries_out_kernels, widen
from musiclime_torch.models.contract import TokenBatch
from musiclime_torch.models.subject import Subject
from musiclime_torch.variants.probe import Probe
from musiclime_torch.variants.renderings import Encoded, Kept, Renderings

#: The way out when a batch can't be halved any more.
_NO_ROOM = " (not one variant fits into memory: explain a part of the song, with start and end, or use another device)"


def run_batches(probe: Probe, part: str, count: int, most: int, run: Callable[[slice], T]) -> Iterator[tuple[slice, T]]:
    """Results batch by batch; InputError when memory runs out on a single row."""
    try:
        yield from in_batches(probe.room, part, count, most, run)
    # All errors, for only `ran_out` can recognise a lack of memory; anything else is raised again as it was.
    except Exception as error:
        if isinstance(error, InputError) or not ran_out(error):
            raise
        raise InputError(
            f"memory ran out while a single variant was rendered for {probe.subject.name}{_NO_ROOM}."
        ) from error


def run_model(probe: Probe, inputs: tuple[Any, ...], count: int) -> Float[Tensor, "batch class"]:
    """Outputs of the model for a batch of `count` variants, its encoders in the probe's precision."""
    subject = probe.subject
    if len(inputs) == 3:
        # Sounds with the places of their rows: batches differ in their number of sounds whatever is filled up.
        return _check_outputs(subject, _call(subject, subject.model.forward_shared, inputs, count), count)
    if probe.precision == "float32" or not subject.late_fusion:
        spectral = isinstance(inputs[0], Tensor) and inputs[0].is_complex()
        outputs, size = _call_filled(
            probe, "variants", subject.model.hear_spectra if spectral else subject.model, inputs, count
        )
        return _check_outputs(subject, outputs, size)[:count]
    # The whole model would run its head in the encoders' precision too: part by part, only the encoders do.
    sides = zip(("encode_audio", "encode_text"), inputs, strict=True)
    return run_head(subject, tuple(run_encoder(probe, part, batch, count) for part, batch in sides), count)


def run_encoder(probe: Probe, part: str, batch: Any, count: int) -> Tensor:
    """Encodings of a batch of `count` variants by `encode_audio` or `encode_text`, in the probe's precision."""
    subject = probe.subject
    with encoding(probe.precision, probe.device):
        encoded, size = _call_filled(probe, part, getattr(subject.model, part), (batch,), count)
    if not isinstance(encoded, Tensor) or not encoded.dim() or len(encoded) != size:
        raise InputError(
            f"{subject.name}.{part} returned {_show(encoded)} for a batch of {size}: it must return one row a variant."
        )
    return widen(encoded[:count])


def run_pool(probe: Probe, maps: Float[Tensor, "batch map time"], count: int) -> Tensor:
    """What `pool_local` makes of `count` maps: encodings of a late-fusion model, outputs of one that hears alone."""
    subject = probe.subject
    pooled = _call(subject, subject.model.pool_local, (maps,), count)
    if not subject.late_fusion:
        return widen(_check_outputs(subject, pooled, count))
    if not isinstance(pooled, Tensor) or not pooled.dim() or len(pooled) != count:
        raise InputError(
            f"{subject.name}.pool_local returned {_show(pooled)} for a batch of {count}: it must return one row a variant."
        )
    return widen(pooled)


def _call_filled(
    probe: Probe, part: str, function: Callable[..., Any], inputs: tuple[Any, ...], count: int
) -> tuple[Any, int]:
    """What a function gives for a batch of `count` variants, filled up where that is cheaper; and of how many rows."""
    size = _pick_size(probe, part, count)
    while True:
        try:
            return _call(probe.subject, function, tuple(fill_up(each, size) for each in inputs), size), size
        except InputError as error:
            if size == count or not ran_out(error):
                raise
        # What was too large isn't the batch, which is smaller: the filling is what is halved.
        size = max(count, size // 2)
        probe.room.sizes[part] = size
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()


def _pick_size(probe: Probe, part: str, count: int) -> int:
    """The rows to run for `count` variants: as many as in every other batch, where another number costs more than rows.

    What torch compiled, cuDNN tried out or a graph recorded is for one shape: the first two variants and each last batch
    would compile again, for minutes. Where memory ran out before, a batch has what fitted.
    """
    if not (probe.subject.compiled or tries_out_kernels(probe.device)):
        return count
    return max(count, probe.room.sizes.get(part, probe.batch_size))


def fill_up(batch: Any, size: int) -> Any:
    """A batch of so many rows, the last one repeated: a variant that the model can be asked about."""
    if isinstance(batch, TokenBatch):
        places = None if batch.positions is None else fill_up(batch.positions, size)
        return TokenBatch(fill_up(batch.embeddings, size), fill_up(batch.attended, size), places)
    missing = size - len(batch)
    if not missing:
        return batch
    if isinstance(batch, Tensor):
        return torch.cat([batch, batch[-1:].expand(missing, *batch.shape[1:])])
    return [*batch, *[batch[-1]] * missing]


def run_head(subject: Subject, encodings: tuple[Tensor, ...], count: int) -> Float[Tensor, "batch class"]:
    """Outputs of `fuse` for a batch of `count` pairs of encodings."""
    return _check_outputs(subject, _call(subject, subject.model.fuse, encodings, count), count)


def run_pair_head(subject: Subject, sounds: Tensor, texts: Tensor) -> Float[Tensor, "na nt class"]:
    """Outputs of `fuse_pairs` for every pair of encodings."""
    na, nt = len(sounds), len(texts)
    outputs = _call(subject, subject.model.fuse_pairs, (sounds, texts), na)
    if not isinstance(outputs, Tensor) or outputs.dim() != 3 or outputs.shape[:2] != (na, nt):
        raise InputError(
            f"{subject.name}.fuse_pairs returned {_show(outputs)} for {na} sounds and {nt} lyrics: it must return "
            f"(sound, lyrics, class)."
        )
    return outputs


def check_count(subject: Subject, first: int, later: int) -> None:
    """InputError if a model gave one number of outputs for one batch and another for the next."""
    if first != later:
        raise InputError(
            f"the model {subject.name} returned {first} outputs at first and {later} later: their number must not depend on "
            f"the batch."
        )


def check_shape(subject: Subject, part: str, first: tuple[int, ...], later: tuple[int, ...]) -> None:
    """InputError if encodings have one shape in one batch and another in the next."""
    if first != later:
        raise InputError(
            f"{subject.name}.{part} returned encodings of shape {first} at first and {later} later: it must not depend on "
            f"the batch."
        )


def _call(subject: Subject, function: Callable[..., Any], inputs: tuple[Any, ...], count: int) -> Any:
    try:
        return function(*inputs)
    except InputError:  # a sentence already
        raise
    except (Exception, SystemExit) as error:  # the model is somebody else's code and may raise anything
        shape = tuple(inputs[0].shape) if inputs and isinstance(inputs[0], Tensor) else f"{count} texts"
        way_out = _NO_ROOM if ran_out(error) else _tell_of_precision(subject, error) or _tell_of_modalities(subject, inputs)
        lines = str(error).strip().splitlines() or [""]
        raise InputError(
            f"the model {subject.name} failed on a batch of {shape} with {type(error).__name__}: {lines[0]}{way_out}"
        ) from error


def _tell_of_precision(subject: Subject, error: BaseException) -> str:
    """The way out for weights in half precision, which float32 sound doesn't fit."""
    parameters = () if subject.module is None else subject.module.parameters()
    half = next((weight.dtype for weight in parameters if weight.dtype in (torch.float16, torch.bfloat16)), None)
    if half is None or not isinstance(error, RuntimeError):
        return ""
    name = str(half).removeprefix("torch.")
    return f" (its weights are {name} and it is given float32: cast its inputs in its forward, or call its float() before)"


def _tell_of_modalities(subject: Subject, inputs: tuple[Any, ...]) -> str:
    """The way out for a model that was given sound and lyrics because nobody said what it takes."""
    if len(inputs) != 2 or getattr(subject.model, "modalities", None) is not None or subject.late_fusion:
        return ""
    return (
        ' (it was called with sound and lyrics: for one that takes sound alone give modalities=("audio",), for one that '
        'takes lyrics alone modalities=("lyrics",))'
    )


def _take_logits(outputs: Any) -> Any:
    """The tensor of what libraries' models return: an output with `logits`, a dict with them or with one tensor alone, a
    tuple that begins so, or numpy's array.
    """
    if isinstance(outputs, Mapping):
        held = [value for value in outputs.values() if isinstance(value, Tensor | np.ndarray)]
        outputs = outputs.get("logits", held[0] if len(held) == 1 else outputs)
    elif isinstance(outputs, tuple | list) and outputs and isinstance(outputs[0], Tensor | np.ndarray):
        outputs = outputs[0]
    logits = getattr(outputs, "logits", None)
    outputs = logits if isinstance(logits, Tensor) else outputs
    return torch.from_numpy(outputs) if isinstance(outputs, np.ndarray) and outputs.dtype.kind in "fiub" else outputs


def _tell_of_parts(outputs: Any) -> str:
    """The way out for an output that isn't a tensor, by what it offers."""
    if isinstance(outputs, Mapping):
        return f"it has {', '.join(map(repr, outputs)) or 'no entry'}, so return the one with the outputs"
    names = [name for name, value in getattr(outputs, "__dict__", {}).items() if isinstance(value, Tensor)]
    if names:
        return f"it has {', '.join(names)}, so return the one with the outputs"
    return "torch.as_tensor makes one of numbers"


def _check_outputs(subject: Subject, outputs: Any, count: int) -> Float[Tensor, "batch class"]:
    """Outputs as (batch, class), with a column for a model that returns one number per row."""
    outputs = _take_logits(outputs)
    if not isinstance(outputs, Tensor):
        raise InputError(
            f"the model {subject.name} returned a {type(outputs).__name__}, not a tensor (batch, class): "
            f"{_tell_of_parts(outputs)}."
        )
    if outputs.dim() == 1:
        outputs = outputs[:, None]
    if outputs.dim() != 2 or outputs.shape[0] != count or not outputs.shape[1] or not outputs.dtype.is_floating_point:
        raise InputError(
            f"the model {subject.name} returned {outputs.dtype} of shape {tuple(outputs.shape)} for a batch of "
            f"{count}: it must return floats of shape (batch, class)."
        )
    return outputs


def _show(answer: Any) -> str:
    return str(tuple(answer.shape)) if isinstance(answer, Tensor) else type(answer).__name__


# A model that takes a few seconds is run on windows of the song and averaged. A window contains the stems of one or two
# segments, so most masks of the whole song render the same audio in it: 4 stems in one segment have 16 renderings, whatever
# the number of masks. Masks are reduced to the columns that a window contains, made unique on the host, where they were
# drawn, and what was run is scattered back to all masks that render the same. Nothing is read from the device.


def run_windows(
    probe: Probe,
    part: str,
    renderings: Sequence[Renderings],
    keep: bool,
    run: Callable[[list[tuple[int, Tensor]]], Tensor],
) -> Iterator[Encoded]:
    """The part's answers for every mask, window by window; only renderings that have none yet are run.

    `run` gets a batch as (window, mask numbers on the CPU) of successive windows and returns a row for each mask. Batches go
    across windows: sixteen renderings of one would leave a GPU idle. `keep` says that later questions find the answers.
    """
    kept, name = probe.kept if keep else Kept(), f"{part} in {probe.precision}"
    missing = [kept.find_missing(name, rendering) for rendering in renderings]
    shapes = [tuple(table.shape[1:]) for (known, _), table in kept.tables.items() if known == name][:1]
    # A group is what fills a batch. Its answers are all that is held besides those that are kept, however long the song is.
    for group in _group(missing, probe.batch_size):
        pieces = [
            (renderings[number].window, torch.from_numpy(renderings[number].masks[missing[number]])) for number in group
        ]
        size = sum(len(piece) for _, piece in pieces)
        if size:
            batches = probe.count(part, run_batches(probe, part, size, probe.batch_size, _answer(pieces, run)))
            values, start = fill(_check_shapes(probe, part, shapes, batches), size), 0
        # In the order of the windows, so that whoever averages adds them up as they come, one at a time.
        for number in group:
            if missing[number]:
                end = start + len(missing[number])
                kept.add(name, renderings[number], missing[number], values[start:end].clone())
                start = end
            yield kept.look_up(name, renderings[number])
            if not keep:
                kept.forget(name, renderings[number])


def _check_shapes(
    probe: Probe, part: str, shapes: list[tuple[int, ...]], batches: Iterator[tuple[slice, Tensor]]
) -> Iterator[tuple[slice, Tensor]]:
    """Batches whose rows have the first one's shape, `shapes[0]` once there is one: of this window or another, asked now or
    earlier. Put in place of others, a row of another shape would be broadcast without a word.
    """
    for rows, batch in batches:
        shapes.append(tuple(batch.shape[1:]))
        if part == "variants":
            check_count(probe.subject, shapes[0][0], shapes[-1][0])
        check_shape(probe.subject, part, shapes[0], shapes[-1])
        yield rows, batch


def _answer(
    pieces: list[tuple[int, Tensor]], run: Callable[[list[tuple[int, Tensor]]], Tensor]
) -> Callable[[slice], Tensor]:
    """`run` on the part of a group that a batch's rows are."""

    def answer(rows: slice) -> Tensor:
        cut, start = [], 0
        for window, masks in pieces:
            part = masks[max(rows.start - start, 0) : max(rows.stop - start, 0)]
            start += len(masks)
            if len(part):
                cut.append((window, part))
        return run(cut)

    return answer


def _group(missing: Sequence[Sequence[int]], size: int) -> Iterator[list[int]]:
    """Successive windows that together fill a batch."""
    group: list[int] = []
    for number in range(len(missing)):
        group.append(number)
        if sum(len(missing[member]) for member in group) >= size:
            yield group
            group = []
    if group:
        yield group
