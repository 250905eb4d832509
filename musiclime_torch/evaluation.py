"""The model watched: masks in, one row of outputs a variant, in batches; audio never outlives its batch."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from musiclime_torch.failures import InputError
from musiclime_torch.models.subject import Subject
from musiclime_torch.rendering import LyricGates, StringGates, Window, mask_lyrics, mix
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
        # Strings are cut on the host: their masks needn't come back from the device.
        lyric_masks = (masks if isinstance(sources.lyrics, StringGates) else here)[rows, n_audio:]
        if sources.stems is None:
            batch = _call(subject, _render_text(sources.lyrics, lyric_masks), here[rows])
        else:
            gates = here[rows, :n_audio].unflatten(1, (sources.n_stems, sources.n_segments))
            batch = _average(subject, sources.stems.windows, gates, sources.lyrics, lyric_masks)
        if outputs is None:
            outputs = batch.new_empty(len(masks), batch.shape[1], dtype=torch.promote_types(batch.dtype, torch.float32))
        if batch.shape[1] != outputs.shape[1]:
            raise InputError(
                f"the model {subject.name} returned {outputs.shape[1]} outputs at first and {batch.shape[1]} later: "
                f"their number must not hang on the batch."
            )
        outputs[rows] = batch
        advance(len(batch))
    assert outputs is not None, "the song itself is always among the masks"
    return outputs


def _average(
    subject: Subject,
    windows: tuple[Window, ...],
    gates: Bool[Tensor, "batch stem segment"],
    lyrics: LyricGates | None,
    lyric_masks: Bool[Tensor, "batch column"],
) -> Float[Tensor, "batch class"]:
    """The mean over windows. Each gets its own rendering of the lyrics: a model may write into what it is given."""
    total: Tensor | None = None
    for window in windows:
        outputs = _call(subject, (mix(window, gates), *_render_text(lyrics, lyric_masks)), gates)
        total = outputs if total is None else total + outputs
    assert total is not None, "a track has at least one window"
    return total / len(windows)


def _render_text(lyrics: LyricGates | None, masks: Bool[Tensor, "batch column"]) -> tuple[Any, ...]:
    return () if lyrics is None else (mask_lyrics(lyrics, masks),)


def _call(subject: Subject, inputs: tuple[Any, ...], rows: Bool[Tensor, "batch ..."]) -> Float[Tensor, "batch class"]:
    try:
        outputs = subject.model(*inputs)
    except (Exception, SystemExit) as error:  # the model is somebody else's code and may raise anything
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
    if (
        outputs.dim() != 2
        or outputs.shape[0] != rows.shape[0]
        or not outputs.shape[1]
        or not outputs.dtype.is_floating_point
    ):
        raise InputError(
            f"the model {subject.name} returned {outputs.dtype} of shape {tuple(outputs.shape)} for a batch of "
            f"{rows.shape[0]}: it must return floats of shape (batch, class)."
        )
    return outputs
