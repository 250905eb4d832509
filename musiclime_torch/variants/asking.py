"""The model run on masked variants, in batches: masks in, a row of outputs or an encoding a mask out.

A model as a whole is run on joint masks (`run_joint`). A late-fusion model encodes the masks of each side once
(`encode_audio`, `encode_lyrics`), and its head is run on every pair of encodings (`variants.fusing`). Rendered audio never
outlives its batch; outputs and encodings are kept.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from musiclime_torch.models.batches import fill, fill_each
from musiclime_torch.models.care import widen
from musiclime_torch.surrogate.design import send
from musiclime_torch.variants.forward import (
    check_count,
    check_shape,
    run_batches,
    run_encoder,
    run_head,
    run_model,
    run_windows,
)
from musiclime_torch.variants.fusing import mean_over
from musiclime_torch.variants.look_ups import answer_from_tables, look_up, pays
from musiclime_torch.variants.probe import Probe
from musiclime_torch.variants.renderings import LYRICS, Encoded, Renderings, find_renderings, sort_renderings
from musiclime_torch.variants.scale import Scale, check_outputs, to_values
from musiclime_torch.variants.sound import mix
from musiclime_torch.variants.words import LyricGates, StringGates, count_tokens, mask_lyrics


def run_checked(probe: Probe, scale: Scale, masks: Bool[Tensor, "n seen"]) -> Float[Tensor, "n class"]:
    """As `run_joint`; InputError if a value on the scale is NaN or infinite."""
    outputs = run_joint(probe, masks)
    check_count(probe.subject, len(scale.song), outputs.shape[1])
    check_outputs(to_values(scale, outputs), scale.classes, probe.subject.name)
    return outputs


def run_joint(probe: Probe, masks: Bool[Tensor, "n seen"]) -> Float[Tensor, "n class"]:
    """Outputs for every masked variant, windows averaged. `masks` come from the CPU and are sent once.

    InputError if the model returns anything but (batch, class) or (batch,).
    """
    full = _spread(masks, probe.seen, probe.columns)
    if len(probe.sources.windows) > 1 or probe.kept.everything:
        if probe.subject.late_fusion:
            return _run_sides(probe, masks)
        return _average_windows(probe, full)
    if probe.sources.windows and pays(probe, 0, len(masks)):
        if probe.subject.late_fusion:
            return _run_sides(probe, masks)
        if (known := look_up(probe, 0, full)) is not None:
            return known
    here = send(full, probe.device)
    sources, n_audio = probe.sources, probe.n_audio
    # Strings are cut on the host, so their masks needn't come back from the device.
    lyric_masks = (full if isinstance(sources.lyrics, StringGates) else here)[:, n_audio:]
    lengths = count_tokens(sources.lyrics, full[:, n_audio:])

    def answer(rows: slice) -> Float[Tensor, "batch class"]:
        count = rows.stop - rows.start
        text = _render_text(sources.lyrics, lyric_masks[rows], _take(lengths, rows))
        if not sources.windows:
            return run_model(probe, text, count)
        if probe.subject.shares_sounds:
            return _run_shared(probe, full[rows, :n_audio], text)
        gates = here[rows, :n_audio].unflatten(1, (sources.n_stems, sources.n_segments))
        return run_model(probe, (mix(sources.windows[0], gates), *text), count)

    batches = run_batches(probe, "variants", len(masks), probe.batch_size, answer)
    return fill(_check_counts(probe, probe.count("variants", batches)), len(masks))


def _run_shared(probe: Probe, sounds: Bool[Tensor, "batch column"], text: tuple[Any, ...]) -> Float[Tensor, "batch class"]:
    """Outputs of a model that hears each distinct sound of a batch once."""
    sources = probe.sources
    # On the CPU, where masks are drawn: which sounds are alike needn't be read from the device.
    distinct = find_renderings(0, range(sounds.shape[1]), sounds)
    gates = send(sounds[torch.from_numpy(distinct.masks)], probe.device).unflatten(1, (sources.n_stems, sources.n_segments))
    places = send(torch.from_numpy(distinct.places), probe.device)
    probe.tally["sounds"] += len(gates)
    return run_model(probe, (mix(sources.windows[0], gates), *text, places), len(sounds))


def run_groups(
    probe: Probe, questions: Sequence[tuple[Sequence[int], Bool[Tensor, "_n seen"]]]
) -> list[Float[Tensor, "_n class"]]:
    """What groups of windows add to the song's outputs, each group under masks of its own; float64, audio alone.

    A question is the numbers of its windows and its masks. All of them are run together, so that batches are filled.
    """
    masks = torch.cat([asked for _, asked in questions])
    full, windows = _spread(masks, probe.seen, probe.columns), probe.sources.windows
    renderings, start = [], 0
    for numbers, asked in questions:
        rows = full[start : start + len(asked)]
        renderings += [find_renderings(number, windows[number].columns, rows, start) for number in numbers]
        start += len(asked)
    answers = _run_renderings(probe, full, renderings)
    total = sum(window.weight for window in windows)
    return [
        sum((windows[number].weight / total * next(answers).spread().double() for number in numbers), torch.tensor(0.0))
        for numbers, _ in questions
    ]


def _average_windows(probe: Probe, full: Bool[Tensor, "n column"]) -> Float[Tensor, "n class"]:
    """Outputs averaged over windows, each of which is run once per distinct rendering."""
    sources = probe.sources
    # The lyrics' mask is a part of the question to every window, for the model reads them each time.
    lyric_columns = range(probe.n_audio, full.shape[1]) if sources.lyrics is not None else ()
    windows = sources.windows
    renderings = [find_renderings(number, [*window.columns, *lyric_columns], full) for number, window in enumerate(windows)]
    if not windows:
        return next(_run_renderings(probe, full, [find_renderings(LYRICS, lyric_columns, full)])).spread()
    answers = _run_renderings(probe, full, renderings)
    return mean_over(renderings, lambda _: next(answers).spread(), [window.weight for window in windows])


def _run_renderings(probe: Probe, full: Bool[Tensor, "n column"], renderings: Sequence[Renderings]) -> Iterator[Encoded]:
    """Outputs of the model as a whole, window by window."""
    sources, n_audio = probe.sources, probe.n_audio
    gates = send(full[:, :n_audio], probe.device).unflatten(1, (sources.n_stems, sources.n_segments))
    # Strings are cut on the host, so that their masks stay there.
    lyric_masks = full[:, n_audio:] if isinstance(sources.lyrics, StringGates) else send(full[:, n_audio:], probe.device)
    lengths = count_tokens(sources.lyrics, full[:, n_audio:])

    def run(pieces: list[tuple[int, Tensor]]) -> Float[Tensor, "batch class"]:
        masks = torch.cat([masks for _, masks in pieces])
        some = lyric_masks.index_select(0, send(masks, lyric_masks.device))
        inputs = _render_text(sources.lyrics, some, _take(lengths, masks))
        if sources.windows:
            inputs = (_render_windows(probe, gates, pieces), *inputs)
        return widen(run_model(probe, inputs, len(masks)))

    # With lyrics in the same pass nearly every question is another one, and keeping them all would cost memory for nothing.
    keep = sources.lyrics is None or probe.kept.everything
    if sources.lyrics is None:
        answer_from_tables(probe, "variants", renderings, full)
    return run_windows(probe, "variants", renderings, keep, run)


def _render_windows(
    probe: Probe, gates: Bool[Tensor, "n stem segment"], pieces: list[tuple[int, Tensor]]
) -> Shaped[Tensor, "batch channel *bin frame"]:
    windows = probe.sources.windows
    return torch.cat([mix(windows[window], gates.index_select(0, send(masks, gates.device))) for window, masks in pieces])


def _run_sides(probe: Probe, masks: Bool[Tensor, "n seen"]) -> Float[Tensor, "n class"]:
    """Outputs of a late-fusion model, its sides encoded separately: lyrics are read once, not once for each window."""
    n_audio = len(probe.seen_audio)
    sounds, texts = encode_audio(probe, masks[:, :n_audio]), encode_lyrics(probe, masks[:, n_audio:])

    def answer(encoded: Encoded) -> Float[Tensor, "n class"]:
        def run(rows: slice) -> Float[Tensor, "batch class"]:
            pairs = (encoded.take(rows).spread(), texts.take(rows).spread())
            return run_head(probe.subject, pairs, len(pairs[0]))

        return fill(_check_counts(probe, run_batches(probe, "fuse", len(masks), probe.batch_size, run)), len(masks))

    return mean_over(sounds, answer, [window.weight for window in probe.sources.windows])


def encode_audio(probe: Probe, masks: Bool[Tensor, "n seen_audio"]) -> tuple[Encoded, ...]:
    """The audio's encodings under every mask of its seen columns, window by window."""
    windows = probe.sources.windows
    assert windows, "a late-fusion model takes audio"
    full = _spread(masks, probe.seen_audio, probe.n_audio)
    gates = send(full, probe.device).unflatten(1, (probe.sources.n_stems, probe.sources.n_segments))
    if len(windows) > 1 or probe.kept.everything:
        return _encode_windows(probe, full, gates)
    if (known := look_up(probe, 0, full)) is not None:
        return (Encoded(known),)

    def encode(rows: slice) -> tuple[Tensor, ...]:
        some = gates[rows]
        return (run_encoder(probe, "encode_audio", mix(windows[0], some), len(some)),)

    batches = run_batches(probe, "encode_audio", len(gates), probe.batch_size, encode)
    return (Encoded(fill_each(_check_shapes(probe, "encode_audio", probe.count("encode_audio", batches)), len(gates))[0]),)


def _encode_windows(
    probe: Probe, full: Bool[Tensor, "n column"], gates: Bool[Tensor, "n stem segment"]
) -> tuple[Encoded, ...]:
    """Encodings of every window, each of which is run once per distinct rendering."""
    windows = probe.sources.windows
    renderings = [find_renderings(number, window.columns, full) for number, window in enumerate(windows)]
    answer_from_tables(probe, "encode_audio", renderings, full)

    def run(pieces: list[tuple[int, Tensor]]) -> Tensor:
        sounds = _render_windows(probe, gates, pieces)
        return run_encoder(probe, "encode_audio", sounds, len(sounds))

    return tuple(run_windows(probe, "encode_audio", renderings, True, run))


def encode_lyrics(probe: Probe, masks: Bool[Tensor, "n seen_lyrics"]) -> Encoded:
    """The lyrics' encodings under every mask of their seen columns."""
    lyrics = probe.sources.lyrics
    assert lyrics is not None, "a late-fusion model takes lyrics"
    seen = tuple(column - probe.n_audio for column in probe.seen_lyrics)
    full = _spread(masks, seen, probe.columns - probe.n_audio)
    lengths = count_tokens(lyrics, full)
    if len(probe.sources.windows) > 1 or probe.kept.everything:
        return _encode_renderings(probe, lyrics, full, lengths)
    if lengths is None:
        return Encoded(_encode_texts(probe, lyrics, full, None))
    # Short ones together: the longest of a batch says how many tokens all of it has.
    order = lengths.argsort(stable=True)
    encoded = _encode_texts(probe, lyrics, full[order], lengths[order])
    return Encoded(encoded.index_select(0, send(order.argsort(), encoded.device)))


def _encode_texts(
    probe: Probe, lyrics: LyricGates, full: Bool[Tensor, "n column"], lengths: Int[Tensor, " n"] | None
) -> Tensor:
    """Encodings of lyrics under every mask, one after the other."""
    here = full if isinstance(lyrics, StringGates) else send(full, probe.device)

    def encode(rows: slice) -> tuple[Tensor, ...]:
        some = here[rows]
        return (run_encoder(probe, "encode_text", mask_lyrics(lyrics, some, _take(lengths, rows)), len(some)),)

    batches = run_batches(probe, "encode_text", len(here), probe.batch_size, encode)
    return fill_each(_check_shapes(probe, "encode_text", probe.count("encode_text", batches)), len(here))[0]


def _encode_renderings(
    probe: Probe, lyrics: LyricGates, full: Bool[Tensor, "n column"], lengths: Int[Tensor, " n"] | None
) -> Encoded:
    """The same of lyrics that several windows share, or later questions: each rendering is run once."""
    here = full if isinstance(lyrics, StringGates) else send(full, probe.device)

    def run(pieces: list[tuple[int, Tensor]]) -> Tensor:
        rows = pieces[0][1]
        some = here.index_select(0, send(rows, here.device))
        return run_encoder(probe, "encode_text", mask_lyrics(lyrics, some, _take(lengths, rows)), len(some))

    renderings = find_renderings(LYRICS, range(full.shape[1]), full)
    renderings = renderings if lengths is None else sort_renderings(renderings, lengths)
    return next(run_windows(probe, "encode_text", [renderings], True, run))


def _spread(masks: Bool[Tensor, "n some"], columns: tuple[int, ...], width: int) -> Bool[Tensor, "n column"]:
    """Masks of some columns as masks of all; the others stay on."""
    # On the CPU, where masks are drawn: a scatter into a tensor on the device would send the column numbers too.
    rows = torch.ones(len(masks), width, dtype=torch.bool)
    rows[:, list(columns)] = masks
    return rows


def _render_text(
    lyrics: LyricGates | None, masks: Bool[Tensor, "batch column"], lengths: Int[Tensor, " batch"] | None
) -> tuple[Any, ...]:
    return () if lyrics is None else (mask_lyrics(lyrics, masks, lengths),)


def _take(lengths: Int[Tensor, " n"] | None, rows: slice | Int[Tensor, " batch"]) -> Int[Tensor, " batch"] | None:
    return None if lengths is None else lengths[rows]


def _check_counts(probe: Probe, batches: Iterator[tuple[slice, Tensor]]) -> Iterator[tuple[slice, Tensor]]:
    """Outputs in float32 at least, and as many for every batch as for the first."""
    count = None
    for rows, batch in batches:
        count = batch.shape[1] if count is None else count
        check_count(probe.subject, count, batch.shape[1])
        yield rows, widen(batch)


def _check_shapes(
    probe: Probe, part: str, batches: Iterator[tuple[slice, tuple[Tensor, ...]]]
) -> Iterator[tuple[slice, tuple[Tensor, ...]]]:
    """Encodings, of the same shape in every batch and window by window."""
    first: tuple[Tensor, ...] = ()
    for rows, batch in batches:
        first = first or tuple(encoded[:0] for encoded in batch)
        for encoded, known in zip(batch, first, strict=True):
            # A copy into the filled tensor would broadcast (1,) to (4,) without a word.
            check_shape(probe.subject, part, tuple(known.shape[1:]), tuple(encoded.shape[1:]))
        yield rows, batch
