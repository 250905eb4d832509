"""The model watched: masks in, one row of outputs a variant, in batches; audio never outlives its batch."""

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from musiclime_torch.basics.errors import InputError
from musiclime_torch.models.batches import in_batches, ran_out
from musiclime_torch.models.precision import encoding, widen
from musiclime_torch.models.subject import Subject
from musiclime_torch.variants.probe import Probe
from musiclime_torch.variants.scale import Scale, check_outputs, to_values
from musiclime_torch.variants.sound import Window, mix
from musiclime_torch.variants.words import LyricGates, StringGates, mask_lyrics

T = TypeVar("T")

#: Said where halving has come to its end.
_NO_ROOM = " (not one variant fits into memory: explain a part of the song, with start and end, or use another device)"


def ask(probe: Probe, masks: Bool[Tensor, "n seen"]) -> Float[Tensor, "n class"]:
    """Run the model on every masked variant, windows averaged. `masks` come from the CPU and are sent once.

    InputError where the model returns anything but (batch, class) or (batch,).
    """
    full = _spread(masks, probe.seen, probe.columns)
    here = full.to(probe.device)
    subject, sources, n_audio = probe.subject, probe.sources, probe.n_audio
    outputs: Tensor | None = None

    def answer(rows: slice) -> Float[Tensor, "batch class"]:
        # Strings are cut on the host: their masks needn't come back from the device.
        lyric_masks = (full if isinstance(sources.lyrics, StringGates) else here)[rows, n_audio:]
        if sources.stems is None:
            return _call(probe, _render_text(sources.lyrics, lyric_masks), here[rows])
        gates = here[rows, :n_audio].unflatten(1, (sources.n_stems, sources.n_segments))
        return _average(probe, sources.stems.windows, gates, sources.lyrics, lyric_masks)

    for rows, batch in _split(probe, "variants", len(masks), probe.batch_size, answer):
        if outputs is None:
            outputs = batch.new_empty(len(masks), batch.shape[1], dtype=torch.promote_types(batch.dtype, torch.float32))
        check_count(subject, outputs.shape[1], batch.shape[1])
        outputs[rows] = batch
        probe.advance(len(batch))
    assert outputs is not None, "there is always a mask"
    return outputs


def check_count(subject: Subject, first: int, later: int) -> None:
    """InputError where a model gives one number of outputs for one batch and another for the next."""
    if first != later:
        raise InputError(
            f"the model {subject.name} returned {first} outputs at first and {later} later: their number must not hang on "
            f"the batch."
        )


def _spread(masks: Bool[Tensor, "n seen"], seen: tuple[int, ...], columns: int) -> Bool[Tensor, "n column"]:
    rows = torch.ones(len(masks), columns, dtype=torch.bool)
    rows[:, list(seen)] = masks
    return rows


def hear(probe: Probe, masks: Bool[Tensor, "n heard"]) -> tuple[Tensor, ...]:
    """The sound's encodings under every mask of its seen columns: one tensor a window, masks first."""
    stems = probe.sources.stems
    assert stems is not None, "a late-fusion model hears"
    n_audio = probe.n_audio
    here = _spread(masks, probe.seen[: probe.heard], n_audio).to(probe.device)
    gates = here.unflatten(1, (probe.sources.n_stems, probe.sources.n_segments))
    windows = stems.windows

    def encode(rows: slice) -> list[Tensor]:
        some = gates[rows]
        return [_encode(probe, "encode_audio", mix(window, some), len(some)) for window in windows]

    found: list[Tensor] = []
    for rows, batch in _split(probe, "encode_audio", len(gates), probe.batch_size, encode):
        found = found or [_make_room(piece, len(gates)) for piece in batch]
        for whole, piece in zip(found, batch, strict=True):
            _put(whole, rows, piece, f"{probe.subject.name}.encode_audio")
        probe.advance(rows.stop - rows.start)
    return tuple(found)


def read(probe: Probe, masks: Bool[Tensor, "n read"]) -> Tensor:
    """The lyrics' encodings under every mask of their seen columns, masks first."""
    lyrics = probe.sources.lyrics
    assert lyrics is not None, "a late-fusion model reads"
    seen = tuple(column - probe.n_audio for column in probe.seen[probe.heard :])
    full = _spread(masks, seen, probe.columns - probe.n_audio)
    here = full if isinstance(lyrics, StringGates) else full.to(probe.device)

    def encode(rows: slice) -> Tensor:
        return _encode(probe, "encode_text", mask_lyrics(lyrics, here[rows]), rows.stop - rows.start)

    found: Tensor | None = None
    for rows, batch in _split(probe, "encode_text", len(here), probe.batch_size, encode):
        found = _make_room(batch, len(here)) if found is None else found
        _put(found, rows, batch, f"{probe.subject.name}.encode_text")
        probe.advance(rows.stop - rows.start)
    assert found is not None, "there is always a mask"
    return found


def _make_room(piece: Tensor, count: int) -> Tensor:
    """Where all encodings go. Kept one by one, they would lie between batches of sound, and the heap could not close up."""
    return piece.new_empty(count, *piece.shape[1:])


def _put(whole: Tensor, rows: slice, piece: Tensor, name: str) -> None:
    if piece.shape[1:] != whole.shape[1:]:
        raise InputError(
            f"{name} returned encodings of shape {tuple(whole.shape[1:])} at first and {tuple(piece.shape[1:])} later: it "
            f"must not hang on the batch."
        )
    whole[rows] = piece


def _split(probe: Probe, part: str, count: int, most: int, run: Callable[[slice], T]) -> Iterator[tuple[slice, T]]:
    """Batch after batch; InputError where memory runs out on a single row."""
    try:
        yield from in_batches(probe.room, part, count, most, run)
    # All errors, because only `ran_out` knows a lack of memory, by class, words or cause; the rest is raised as it was.
    except Exception as error:
        if isinstance(error, InputError) or not ran_out(error):
            raise
        raise InputError(
            f"memory ran out while a single variant was rendered for {probe.subject.name}{_NO_ROOM}."
        ) from error


def fuse(probe: Probe, heard: tuple[Tensor, ...], texts: Tensor) -> Float[Tensor, "na nt class"]:
    """Outputs of every pair of encodings, windows averaged."""
    total: Tensor | None = None
    for sounds in heard:
        outputs = _fuse_pairs(probe, sounds, texts)
        total = outputs if total is None else total + outputs
    assert total is not None, "a track has at least one window"
    return total / len(heard)


def _fuse_pairs(probe: Probe, sounds: Tensor, texts: Tensor) -> Float[Tensor, "na nt class"]:
    """All pairs at once, where that fits."""
    subject, na, nt = probe.subject, len(sounds), len(texts)
    if hasattr(subject.model, "fuse_pairs"):

        def fuse_texts(heard: Tensor) -> Tensor:
            parts = _split(probe, "fuse_pairs' lyrics", nt, nt, lambda some: _fuse_block(subject, heard, texts[some]))
            return torch.cat([part for _, part in parts], 1)

        def fuse_sounds(rows: slice) -> Tensor:
            # More than one sound: that they don't fit is for the caller to know, who halves them first.
            return _fuse_block(subject, sounds[rows], texts) if rows.stop - rows.start > 1 else fuse_texts(sounds[rows])

        return torch.cat([part for _, part in _split(probe, "fuse_pairs", na, na, fuse_sounds)])

    def fuse_rows(rows: slice) -> Float[Tensor, "pair class"]:
        pair = torch.arange(rows.start, rows.stop, device=sounds.device)
        inputs = (sounds.index_select(0, pair // nt), texts.index_select(0, pair % nt))
        return _check(subject, _run(subject, subject.model.fuse, inputs, len(pair)), len(pair))

    return torch.cat([part for _, part in _split(probe, "fuse", na * nt, na * nt, fuse_rows)]).unflatten(0, (na, nt))


def _fuse_block(subject: Subject, sounds: Tensor, texts: Tensor) -> Float[Tensor, "na nt class"]:
    na, nt = len(sounds), len(texts)
    outputs = _run(subject, subject.model.fuse_pairs, (sounds, texts), na)
    if not isinstance(outputs, Tensor) or outputs.dim() != 3 or outputs.shape[:2] != (na, nt):
        shape = tuple(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
        raise InputError(
            f"{subject.name}.fuse_pairs returned {shape} for {na} sounds and {nt} lyrics: it must return "
            f"(sound, lyrics, class)."
        )
    return outputs


def _encode(probe: Probe, part: str, batch: Any, rows: int) -> Tensor:
    subject = probe.subject
    with encoding(probe.precision, probe.device):
        found = _run(subject, getattr(subject.model, part), (batch,), rows)
    if not isinstance(found, Tensor) or not found.dim() or len(found) != rows:
        shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
        raise InputError(f"{subject.name}.{part} returned {shape} for a batch of {rows}: it must return one row a variant.")
    return widen(found)


def _average(
    probe: Probe,
    windows: tuple[Window, ...],
    gates: Bool[Tensor, "batch stem segment"],
    lyrics: LyricGates | None,
    lyric_masks: Bool[Tensor, "batch column"],
) -> Float[Tensor, "batch class"]:
    """The mean over windows. Each gets its own rendering of the lyrics: a model may write into what it is given."""
    total: Tensor | None = None
    for window in windows:
        outputs = _call(probe, (mix(window, gates), *_render_text(lyrics, lyric_masks)), gates)
        total = outputs if total is None else total + outputs
    assert total is not None, "a track has at least one window"
    return total / len(windows)


def _render_text(lyrics: LyricGates | None, masks: Bool[Tensor, "batch column"]) -> tuple[Any, ...]:
    return () if lyrics is None else (mask_lyrics(lyrics, masks),)


def _call(probe: Probe, inputs: tuple[Any, ...], rows: Bool[Tensor, "batch ..."]) -> Float[Tensor, "batch class"]:
    subject, count = probe.subject, len(rows)
    if probe.precision == "float32" or not subject.late_fusion:
        return _check(subject, _run(subject, subject.model, inputs, count), count)
    sides = zip(("encode_audio", "encode_text"), inputs, strict=True)
    encoded = tuple(_encode(probe, part, given, count) for part, given in sides)
    return _check(subject, _run(subject, subject.model.fuse, encoded, count), count)


def _run(subject: Subject, function: Callable[..., Any], inputs: tuple[Any, ...], rows: int) -> Any:
    try:
        return function(*inputs)
    except (Exception, SystemExit) as error:  # the model is somebody else's code and may raise anything
        shape = tuple(inputs[0].shape) if inputs and isinstance(inputs[0], Tensor) else f"{rows} texts"
        way_out = _NO_ROOM if ran_out(error) else ""
        said = str(error).strip().splitlines() or [""]
        raise InputError(
            f"the model {subject.name} failed on a batch of {shape} with {type(error).__name__}: {said[0]}{way_out}"
        ) from error


def _check(subject: Subject, outputs: Any, rows: int) -> Float[Tensor, "batch class"]:
    if not isinstance(outputs, Tensor):
        raise InputError(f"the model {subject.name} returned a {type(outputs).__name__}, not a tensor (batch, class).")
    if outputs.dim() == 1:
        outputs = outputs[:, None]
    if outputs.dim() != 2 or outputs.shape[0] != rows or not outputs.shape[1] or not outputs.dtype.is_floating_point:
        raise InputError(
            f"the model {subject.name} returned {outputs.dtype} of shape {tuple(outputs.shape)} for a batch of "
            f"{rows}: it must return floats of shape (batch, class)."
        )
    return outputs


def ask_checked(probe: Probe, scale: Scale, masks: Bool[Tensor, "n seen"]) -> Float[Tensor, "n class"]:
    """Outputs for every mask; InputError where one of them is no number on the scale."""
    outputs = ask(probe, masks)
    check_count(probe.subject, len(scale.song), outputs.shape[1])
    # The song's own before them, twice, for the first rows are told as those of the song and the empty song.
    values = to_values(scale, torch.cat([scale.song.to(outputs).expand(2, -1), outputs]))
    check_outputs(values, scale.classes, probe.subject.name)
    return outputs
