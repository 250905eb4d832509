"""The page of a catalogue: what stands out first, then classes side by side, one by one, and one against another."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from musiclime_torch.basics.files import write_atomically
from musiclime_torch.corpus.findings.aggregation import CONFIDENCE, Feature, Global
from musiclime_torch.corpus.findings.auditing import Finding
from musiclime_torch.corpus.reports.columns import label
from musiclime_torch.surrogate.intervals import halve_interval
from musiclime_torch.views.page.document import render
from musiclime_torch.views.page.packing import round_to

#: Classes in a page: those with the most songs.
MOST_CLASSES = 60
#: Words, cells of the sound, and pairs listed for each; and what each gives to the comparison of two.
MOST_FEATURES, MOST_PAIRS, MOST_COMPARED = 14, 8, 30
#: Words or classes, and songs, named for what stands out.
MOST_NAMES, MOST_EXAMPLES = 12, 5

#: What a finding is about, in words for people who have not read how it is found.
_HEADINGS = {
    "boilerplate": "Words that may not be sung",
    "position": "The song’s edges weigh more than its middle",
    "rotation": "The model listens to places, not to music",
    "noise": "What is known to be irrelevant weighs too much",
    "unseen": "Parts of songs the model can’t notice",
    "few songs": "Classes with too few songs",
}


def write_corpus_report(found: Global, findings: Sequence[Finding], folder: Path, *, title: str) -> Path:
    """Write index.html; its path. InputError where the folder can't be written to."""
    write_atomically(to_corpus_html(found, findings, title=title).encode(), folder / "index.html", "report")
    return folder / "index.html"


def to_corpus_html(found: Global, findings: Sequence[Finding], *, title: str) -> str:
    """One page, complete in itself."""
    classes = sorted(found.classes, key=lambda one: -one.songs)[:MOST_CLASSES]
    stems = list(dict.fromkeys(stem for one in classes for stem in one.stem_shares))
    values = {
        "title": title,
        "songs": found.songs,
        "failures": found.failures,
        "total": len(found.classes),
        "findings": [
            {
                "heading": _HEADINGS.get(one.kind, one.kind),
                "said": one.said,
                "songs": one.songs,
                "share": one.share,
                "about": one.about[:MOST_NAMES],
                "examples": one.examples[:MOST_EXAMPLES],
            }
            for one in findings
        ],
        "floors": [(floor.kind, round_to(floor.size, 3), floor.songs) for floor in found.floors],
        "stems": stems,
        "classes": [
            {
                "name": one.name,
                "songs": one.songs,
                "ranked": one.ranked,
                "shares": [
                    _list_share(one.lyrics_share, one.lyrics_error, one.songs),
                    _list_share(one.lyrics_share_by_component, one.lyrics_error_by_component, one.songs),
                ],
                "stems": [
                    _list_share(one.stem_shares.get(stem, math.nan), one.stem_errors.get(stem, math.inf), one.songs)
                    for stem in stems
                ],
            }
            for one in classes
        ],
        "data": _gather(found, [one.name for one in classes if one.ranked]),
    }
    return render("corpus.html.j2", ("figures.js", "corpus.js"), None, values)


def _gather(found: Global, names: Sequence[str]) -> dict[str, Any]:
    """What the script draws: for each class that is ranked its features, cells and pairs; and what classes share."""
    own: dict[str, list[Feature]] = {name: [] for name in names}
    for one in found.features:
        if one.of in own:
            own[one.of].append(one)
    tops = {name: {kind: found.top(name, MOST_COMPARED, kind) for kind in ("lyrics", "audio")} for name in names}
    pairs = {name: [pair for pair in found.pairs if pair.of == name][:MOST_PAIRS] for name in names}
    songs = {one.name: one.songs for one in found.classes}
    compared = list(dict.fromkeys((one.kind, one.name) for kinds in tops.values() for top in kinds.values() for one in top))
    return {
        "compared": [{"sound": kind == "audio", "name": label(kind, name)} for kind, name in compared],
        "classes": [
            {
                "name": name,
                "songs": songs[name],
                "words": [_list_feature(one) for one in tops[name]["lyrics"][:MOST_FEATURES]],
                "sounds": [_list_feature(one) for one in tops[name]["audio"][:MOST_FEATURES]],
                "untold": sum(one.low is not None and not one.told for one in own[name]),
                "cells": [_list_cell(one) for one in own[name] if one.position is not None],
                "pairs": [
                    [pair.stem, pair.word, pair.songs, round_to(pair.mean, 3), round_to(pair.half_width(CONFIDENCE), 2)]
                    for pair in pairs[name]
                ],
                "means": _line_up(own[name], compared),
            }
            for name in names
        ],
    }


def _list_share(share: float, error: float, songs: int) -> tuple[int, int | None] | None:
    """Per cent, and half its interval where there are songs enough to tell; None where nobody knows."""
    if math.isnan(share):
        return None
    half = 100 * halve_interval(error, songs, CONFIDENCE)
    return round(100 * share), math.ceil(half) if half < 100 else None


def _list_feature(one: Feature) -> list[Any]:
    limits = [None if limit is None else round_to(limit, 3) for limit in (one.low, one.high)]
    return [label(one.kind, one.name), round_to(one.mean, 3), *limits, one.songs]


def _list_cell(one: Feature) -> list[Any]:
    limits = [None if limit is None else round_to(limit, 3) for limit in (one.low, one.high)]
    return [one.stem, one.position, round_to(one.mean, 3), *limits, one.songs, int(one.told)]


def _line_up(features: Sequence[Feature], compared: Sequence[tuple[str, str]]) -> list[list[Any] | int]:
    """[mean, told] of each compared feature in a class; 0 where too few of its songs have it."""
    known = {(one.kind, one.name): one for one in features if one.low is not None}
    return [[round_to(known[key].mean, 3), int(known[key].told)] if key in known else 0 for key in compared]
