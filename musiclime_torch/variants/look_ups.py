"""Masks of the sound that are looked up in tables of local maps instead of being run (`local_maps`).

A model offers its sound tower as `pool_local(encode_local(audio))` and declares its `receptive_field`. A table is made once
more masks are to be asked about at a time than the table takes passes, so that none is made in vain. It is believed only
after it has answered some random masks as the model itself does; else every mask is run, and a note says why.
"""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor

from musiclime_torch.models.batches import fill
from musiclime_torch.surrogate.design import send
from musiclime_torch.variants.forward import check_shape, run_batches, run_encoder, run_model, run_pool
from musiclime_torch.variants.local_maps import CHECKED, Combinations, Table, combine, cut_table, place_frames
from musiclime_torch.variants.probe import Probe
from musiclime_torch.variants.renderings import Renderings
from musiclime_torch.variants.sound import mix

#: A table's outputs may differ from the model's own by this share of the largest of these: the rounding of float32.
TOLERANCE = 1e-5

#: Bytes that all tables of a song may take.
MOST = 2**30


def pays(probe: Probe, window: int, masks: int) -> bool:
    """Whether so many masks are better looked up: there is a table, or one that can be made takes fewer passes than they."""
    tables, declared = probe.local.tables, probe.subject.receptive_field
    if window in tables:
        return tables[window] is not None
    here = probe.sources.windows[window]
    if declared is None or probe.local.closed or probe.precision != "float32" or here.bins is not None:
        return False
    if max(masks, probe.local.foreseen) <= _combine(probe, window).passes + CHECKED:
        return False
    if place_frames(here, declared, here.frames // declared[1] + 1) is None:
        rate = probe.subject.sample_rate or 1
        probe.local.give_up(
            f"every mask of the sound took a pass: a frame of {probe.subject.name} hears {declared[0] / rate:.2f} s, and so "
            f"more than two segments; with longer segments its passes would be fewer."
        )
    return not probe.local.closed


def look_up(probe: Probe, window: int, masks: Bool[Tensor, "n column"]) -> Tensor | None:
    """What the model gives for masks on the CPU: encodings if it is a late-fusion model, else outputs. None where it must be
    run.
    """
    if not pays(probe, window, len(masks)):
        return None
    spared, tables = len(masks), probe.local.tables
    if window not in tables:
        before = probe.tally["tables"]
        tables[window] = _make_table(probe, window)
        spared -= probe.tally["tables"] - before
    table = tables[window]
    if table is None:
        return None
    probe.tally["looked up"] += len(masks)
    probe.stages.spare(spared)
    return _pool(probe, table, masks)


def answer_from_tables(probe: Probe, part: str, renderings: Sequence[Renderings], masks: Bool[Tensor, "n column"]) -> None:
    """Keep the answers to those renderings that are missing and that tables have."""
    name = f"{part} in {probe.precision}"
    for rendering in renderings:
        missing = probe.kept.find_missing(name, rendering)
        known = look_up(probe, rendering.window, masks[torch.from_numpy(rendering.masks[missing])]) if missing else None
        if known is not None:
            probe.kept.add(name, rendering, missing, known)


def describe_look_ups(probe: Probe) -> dict[str, Any]:
    """What the provenance says of tables: their passes, the masks that were looked up, and how far they were off; nothing
    where no mask was looked up.
    """
    tally = probe.tally
    if not tally["looked up"]:
        return {}
    difference = probe.local.difference
    return {"local_maps": {"passes": tally["tables"], "looked_up": tally["looked up"], "difference": difference}}


def _combine(probe: Probe, window: int) -> Combinations:
    return combine(probe.sources.windows[window], probe.seen_audio, probe.sources.n_segments)


def _pool(probe: Probe, table: Table, masks: Bool[Tensor, "n column"]) -> Tensor:
    rows, shapes = table.find_rows(masks), list[tuple[int, ...]]()

    def run(some: slice) -> Tensor:
        maps = table.look_up(rows[some])
        pooled = run_pool(probe, maps, len(maps))
        shapes.append(tuple(pooled.shape[1:]))
        check_shape(probe.subject, "pool_local", shapes[0], shapes[-1])
        return pooled

    return fill(run_batches(probe, "pool_local", len(masks), probe.batch_size, run), len(masks))


def _make_table(probe: Probe, window: int) -> Table | None:
    """The table, once it has been checked; None where the model turned out not to be local, or the maps to be too large."""
    combinations, declared = _combine(probe, window), probe.subject.receptive_field
    assert declared is not None, "only a model with a receptive field has tables"
    maps = _encode(probe, window, combinations.make_masks(probe.n_audio))
    borders = None if maps is None else place_frames(probe.sources.windows[window], declared, maps.shape[2])
    if maps is None or borders is None:
        return None
    table = cut_table(combinations, maps, borders)
    return table if _is_right(probe, window, table) else None


def _encode(probe: Probe, window: int, masks: Bool[Tensor, "row column"]) -> Tensor | None:
    """Maps of the table's variants; None where all of them would be too large to hold."""
    gates = send(masks, probe.device).unflatten(1, (probe.sources.n_stems, probe.sources.n_segments))
    held = sum(part.nbytes for table in probe.local.tables.values() if table is not None for part in table.stretches)
    part, filled = _name_part(probe), None
    here = probe.sources.windows[window]

    def run(rows: slice) -> Tensor:
        some = gates[rows]
        return run_encoder(probe, "encode_local", mix(here, some), len(some))

    for rows, maps in probe.count(part, run_batches(probe, "encode_local", len(gates), probe.batch_size, run)):
        probe.tally["tables"] += len(maps)
        if filled is None:
            needed = len(masks) * maps[0].nbytes
            if maps.dim() != 3 or held + needed > MOST:
                probe.local.give_up(_tell_of_shape(probe, maps, held + needed))
                return None
            filled = maps.new_empty(len(masks), *maps.shape[1:])
        filled[rows] = maps
    return filled


def _tell_of_shape(probe: Probe, maps: Tensor, size: int) -> str:
    name = probe.subject.name
    if maps.dim() != 3:
        return (
            f"every mask of the sound took a pass: {name}.encode_local returned {tuple(maps.shape)}, and not (batch, "
            "map, time)."
        )
    return f"every mask of the sound took a pass: the maps of {name} would take {size / 2**30:.1f} GiB."


def _is_right(probe: Probe, window: int, table: Table) -> bool:
    """Whether the table answers random masks as the model does."""
    generator = torch.Generator().manual_seed(window)
    masks = torch.ones(CHECKED, probe.n_audio, dtype=torch.bool)
    switched = [column for columns in table.combinations.columns for column in columns]
    masks[:, switched] = torch.rand(CHECKED, len(switched), generator=generator) < 0.5
    own, said = _run_own(probe, window, masks), _pool(probe, table, masks)
    if own.shape != said.shape:
        probe.local.give_up(
            f"every mask of the sound took a pass: {probe.subject.name}.pool_local returned {tuple(said.shape)}, where the "
            f"model itself gives {tuple(own.shape)}."
        )
        return False
    # The one number of a song that is read from the device for its tables.
    difference = float((own - said).abs().max().detach() / own.detach().abs().max().clamp_min(1e-30))
    probe.local.difference = max(probe.local.difference, difference)
    if difference <= TOLERANCE:
        return True
    probe.local.give_up(
        f"every mask of the sound took a pass: {probe.subject.name} isn't as local as it declares; its table of local maps "
        f"differs from the model by {difference:.1g} of the largest value on {CHECKED} random masks."
    )
    return False


def _run_own(probe: Probe, window: int, masks: Bool[Tensor, "n column"]) -> Tensor:
    """What the model itself gives."""
    gates = send(masks, probe.device).unflatten(1, (probe.sources.n_stems, probe.sources.n_segments))

    def run(rows: slice) -> Tensor:
        sound, count = mix(probe.sources.windows[window], gates[rows]), rows.stop - rows.start
        if probe.subject.late_fusion:
            return run_encoder(probe, "encode_audio", sound, count)
        return run_model(probe, (sound,), count)

    part = _name_part(probe)
    batches = run_batches(probe, part, len(masks), probe.batch_size, run)
    own = fill(probe.count(part, batches), len(masks))
    probe.tally["tables"] += len(masks)
    return own


def _name_part(probe: Probe) -> str:
    """The part of the model whose passes these are."""
    return "encode_audio" if probe.subject.late_fusion else "variants"
