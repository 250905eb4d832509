"""The page of a catalogue: what stands out first, then classes side by side, one by one, and one against another."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from musiclime_torch.basics.files import write_atomically
from musiclime_torch.corpus.findings.aggregation import CONFIDENCE
from musiclime_torch.corpus.findings.auditing import Finding
from musiclime_torch.corpus.findings.summaries import Feature, Global
from musiclime_torch.corpus.reports.columns import label
from musiclime_torch.surrogate.intervals import halve_interval
from musiclime_torch.views.page.document import render
from musiclime_torch.views.page.packing import round_to

#: Classes in a page: those with the most songs.
MOST_CLASSES = 60
#: Words, cells of the sound, and pairs listed for each; and what each gives to the comparison of two.
MOST_FEATURES, MOST_PAIRS, MOST_COMPARED = 14, 8, 30
#: Words or classes, and songs, named by a finding.
MOST_NAMES, MOST_EXAMPLES = 12, 5

#: What a finding is about, in words for people who have not read how it is found.
_HEADINGS = {
    "boilerplate": "Words that may not be sung",
    "position": "The song’s edges weigh more than its middle",
    "rotation": "The model listens to places, not to music",
    "noise": "Components known to be irrelevant weigh too much",
    "unseen": "Parts of songs the model can’t notice",
    "few songs": "Classes with too few songs",
}


def write_corpus_report(catalogue: Global, findings: Sequence[Finding], folder: Path, *, title: str) -> Path:
    """Write index.html and return its path. InputError where the folder can't be written to."""
    write_atomically(to_corpus_html(catalogue, findings, title=title).encode(), folder / "index.html", "report")
    return folder / "index.html"


def to_corpus_html(catalogue: Global, findings: Sequence[Finding], *, title: str) -> str:
    """One page that needs no other file."""
    classes = sorted(catalogue.classes, key=lambda summary: -summary.songs)[:MOST_CLASSES]
    stems = list(dict.fromkeys(stem for summary in classes for stem in summary.stem_shares))
    values = {
        "title": title,
        "songs": catalogue.songs,
        "failures": catalogue.failures,
        "total": len(catalogue.classes),
        "findings": [
            {
                "heading": _HEADINGS.get(finding.kind, finding.kind),
                "message": finding.message,
                "songs": finding.songs,
                "share": finding.share,
                "about": finding.about[:MOST_NAMES],
                "examples": finding.examples[:MOST_EXAMPLES],
            }
            for finding in findings
        ],
        "floors": [(floor.kind, round_to(floor.size, 3), floor.songs) for floor in catalogue.floors],
        "stems": stems,
        "classes": [
            {
                "name": summary.name,
                "songs": summary.songs,
                "ranked": summary.ranked,
                "shares": [
                    _list_share(summary.lyrics_share, summary.lyrics_error, summary.songs),
                    _list_share(summary.lyrics_share_by_component, summary.lyrics_error_by_component, summary.songs),
                ],
                "stems": [
                    _list_share(
                        summary.stem_shares.get(stem, math.nan), summary.stem_errors.get(stem, math.inf), summary.songs
                    )
                    for stem in stems
                ],
            }
            for summary in classes
        ],
        "data": _gather(catalogue, [summary.name for summary in classes if summary.ranked]),
    }
    return render("corpus.html.j2", ("figures.js", "corpus.js"), None, values)


def _gather(catalogue: Global, names: Sequence[str]) -> dict[str, Any]:
    """What the script draws: features, cells and pairs of each ranked class, and the features that classes are compared
    by.
    """
    by_class: dict[str, list[Feature]] = {name: [] for name in names}
    for feature in catalogue.features:
        if feature.class_name in by_class:
            by_class[feature.class_name].append(feature)
    tops = {name: {kind: catalogue.top(name, MOST_COMPARED, kind) for kind in ("lyrics", "audio")} for name in names}
    pairs = {name: [pair for pair in catalogue.pairs if pair.class_name == name][:MOST_PAIRS] for name in names}
    songs = {summary.name: summary.songs for summary in catalogue.classes}
    compared = list(
        dict.fromkeys((feature.kind, feature.name) for kinds in tops.values() for top in kinds.values() for feature in top)
    )
    return {
        "compared": [{"sound": kind == "audio", "name": label(kind, name)} for kind, name in compared],
        "classes": [
            {
                "name": name,
                "songs": songs[name],
                "words": [_list_feature(feature) for feature in tops[name]["lyrics"][:MOST_FEATURES]],
                "sounds": [_list_feature(feature) for feature in tops[name]["audio"][:MOST_FEATURES]],
                "untold": sum(feature.low is not None and not feature.significant for feature in by_class[name]),
                "cells": [_list_cell(feature) for feature in by_class[name] if feature.position is not None],
                "pairs": [
                    [pair.stem, pair.word, pair.songs, round_to(pair.mean, 3), round_to(pair.half_width(CONFIDENCE), 2)]
                    for pair in pairs[name]
                ],
                "means": _line_up(by_class[name], compared),
            }
            for name in names
        ],
    }


def _list_share(share: float, error: float, songs: int) -> tuple[int, int | None] | None:
    """Per cent, and half its interval where there are enough songs for one; None where the share is unknown."""
    if math.isnan(share):
        return None
    half = 100 * halve_interval(error, songs, CONFIDENCE)
    return round(100 * share), math.ceil(half) if half < 100 else None


def _list_feature(feature: Feature) -> list[Any]:
    limits = [None if limit is None else round_to(limit, 3) for limit in (feature.low, feature.high)]
    return [label(feature.kind, feature.name), round_to(feature.mean, 3), *limits, feature.songs]


def _list_cell(feature: Feature) -> list[Any]:
    limits = [None if limit is None else round_to(limit, 3) for limit in (feature.low, feature.high)]
    return [feature.stem, feature.position, round_to(feature.mean, 3), *limits, feature.songs, int(feature.significant)]


def _line_up(features: Sequence[Feature], compared: Sequence[tuple[str, str]]) -> list[list[Any] | int]:
    """[mean, significant] of each compared feature in a class; 0 where too few of its songs have it."""
    known = {(feature.kind, feature.name): feature for feature in features if feature.low is not None}
    return [[round_to(known[key].mean, 3), int(known[key].significant)] if key in known else 0 for key in compared]
