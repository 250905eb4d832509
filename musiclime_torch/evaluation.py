"""The model watched: masks in, one row of outputs a variant, in batches; audio never outlives its batch."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from musiclime_torch.failures import InputError
from musiclime_torch.models.subject import Subject
from musiclime_torch.rendering import StringGates, Window, mask_lyrics, mix
from musiclime_torch.sources import Sources


def evaluate(
    subject: Subject,
    sources: Sources,
    masks: Bool[Tensor, "n column"],
    device: torch.device,
    batch_size: int,
    advance: Callable[[int], object],
) -> Float[Tensor, "n class"]:
    """Run the model on every masked variant, windows averaged; call inside `models.care.evaluating`.

    `masks` come from the CPU and are sent once; `advance` is told of every batch done. InputError where the model
    returns anything but (batch, class) or (batch,).
    """
    here = masks.to(device)
    outputs: Tensor | None = None
    for start in range(0, len(masks), batch_size):
        rows = slice(start, start + batch_size)
        n_audio = sources.n_stems * sources.n_segments
        text: tuple[Any, ...] = ()
        if sources.lyrics is not None:
            lyric_masks = masks if isinstance(sources.lyrics, StringGates) else here
            text = (mask_lyrics(sources.lyrics, lyric_masks[rows, n_audio:]),)
        if sources.stems is None:
            batch = _call(subject, text, here[rows])
        else:
            gates = here[rows, :n_audio].unflatten(1, (sources.n_stems, sources.n_segments))
            windows = sources.stems.windows
            batch = _average(subject, windows, gates, text)
        if outputs is None:
            outputs = batch.new_empty(len(masks), batch.shape[1], dtype=torch.promote_types(batch.dtype, torch.float32))
        outputs[rows] = batch
        advance(len(batch))
    assert outputs is not None, "the song itself is always among the masks"
    return outputs


def _average(
    subject: Subject, windows: tuple[Window, ...], gates: Bool[Tensor, "batch stem segment"], text: tuple[Any, ...]
) -> Float[Tensor, "batch class"]:
    total = _call(subject, (mix(windows[0], gates), *text), gates)
    for window in windows[1:]:
        total = total + _call(subject, (mix(window, gates), *text), gates)
    return total / len(windows)


def _call(subject: Subject, inputs: tuple[Any, ...], rows: Bool[Tensor, "batch ..."]) -> Float[Tensor, "batch class"]:
    try:
        outputs = subject.model(*inputs)
    except Exception as error:  # the model is somebody else's code and may raise anything
        shape = tuple(inputs[0].shape) if inputs and isinstance(inputs[0], Tensor) else f"{len(rows)} texts"
        way_out = " (try a smaller batch_size)" if isinstance(error, torch.OutOfMemoryError) else ""
        said = str(error).strip().splitlines() or [""]
        raise InputError(
            f"the model {subject.name} failed on a batch of {shape} with {type(error).__name__}: {said[0]}{way_out}"
        ) from error
    if not isinstance(outputs, Tensor):
        raise InputError(f"the model {subject.name} returned a {type(outputs).__name__}, not a tensor (batch, class).")
    if outputs.dim() == 1:
        outputs = outputs[:, None]
    if outputs.dim() != 2 or outputs.shape[0] != rows.shape[0] or not outputs.dtype.is_floating_point:
        raise InputError(
            f"the model {subject.name} returned {outputs.dtype} of shape {tuple(outputs.shape)} for a batch of "
            f"{rows.shape[0]}: it must return floats of shape (batch, class)."
        )
    return outputs
