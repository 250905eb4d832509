"""A song of several windows: each is run once per distinct rendering, and the answers are kept.

A model that takes a few seconds is run on windows of the song and averaged. A window contains the stems of one or two
segments, so most masks of the whole song render the same audio in it: 4 stems in one segment have 16 renderings, whatever
the number of masks. Masks are reduced to the columns that a window contains, made unique on the host, where they were drawn,
and what was run is scattered back to all masks that render the same. Nothing is read from the device.
"""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from musiclime_torch.models.batches import fill
from musiclime_torch.surrogate.design import send
from musiclime_torch.variants.forward import check_count, check_shape, run_batches
from musiclime_torch.variants.probe import Probe
from musiclime_torch.variants.renderings import Encoded, Kept, Renderings


def run_windows(
    probe: Probe,
    part: str,
    renderings: Sequence[Renderings],
    keep: bool,
    run: Callable[[list[tuple[int, Tensor]]], Tensor],
) -> Iterator[Encoded]:
    """The part's answers for every mask, window by window; only renderings that have none yet are run.

    `run` gets a batch as (window, mask numbers on the device) of successive windows and returns a row for each mask. Batches
    go across windows: sixteen renderings of one would leave a GPU idle. `keep` says that later questions find the answers.
    """
    kept, name = probe.kept if keep else Kept(), f"{part} in {probe.precision}"
    missing = [kept.find_missing(name, rendering) for rendering in renderings]
    shapes = [tuple(table.shape[1:]) for (known, _), table in kept.tables.items() if known == name][:1]
    # A group is what fills a batch. Its answers are all that is held besides those that are kept, however long the song is.
    for group in _group(missing, probe.batch_size):
        pieces = [
            (renderings[number].window, send(torch.from_numpy(renderings[number].masks[missing[number]]), probe.device))
            for number in group
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
