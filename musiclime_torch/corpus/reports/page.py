"""The page of a catalogue: what stands out first, then classes in a sentence, side by side, one by one, and one against
another; at its end the songs, and what ran over them.
"""

import math
from collections.abc import Sequence
from os.path import relpath, sep
from pathlib import Path
from typing import Any
from urllib.parse import quote

from musiclime_torch.basics.files import write_atomically
from musiclime_torch.corpus.findings.aggregation import CONFIDENCE
from musiclime_torch.corpus.findings.auditing import Finding
from musiclime_torch.corpus.findings.summaries import ClassSummary, Feature, Global, Run, has_words
from musiclime_torch.corpus.reports.columns import label
from musiclime_torch.corpus.runs.shards import place_page
from musiclime_torch.surrogate.intervals import halve_interval
from musiclime_torch.views.page.document import isolate, render
from musiclime_torch.views.page.packing import round_to

#: Classes in a page: those with the most songs.
MOST_CLASSES = 60
#: Words, cells of the sound, and pairs listed for each; and what each gives to the comparison of two.
MOST_FEATURES, MOST_PAIRS, MOST_COMPARED = 14, 8, 30
#: Words or classes, and songs, named by a finding.
MOST_NAMES, MOST_EXAMPLES = 12, 5

#: Songs listed.
MOST_SONGS = 300
#: With fewer classes than this that have songs enough, the page says how to have more.
FEW_CLASSES = 2

#: What a finding is about, in words for people who have not read how it is found.
_HEADINGS = {
    "boilerplate": "Words that may not be sung",
    "position": "The song’s edges weigh more than its middle",
    "rotation": "The model listens to places, not to music",
    "noise": "Components known to be irrelevant weigh too much",
    "unseen": "Parts of songs the model can’t notice",
    "few songs": "Classes with too few songs",
}


def write_corpus_report(
    catalogue: Global,
    findings: Sequence[Finding],
    folder: Path,
    *,
    title: str,
    run: Run | None = None,
    pages: Path | None = None,
) -> Path:
    """Write index.html and return its path. Songs that have a page, ID/index.html in the folder `pages`, are linked to it.

    InputError where the folder can't be written to.
    """
    songs = () if run is None or pages is None else [song[0] for song in run.songs]
    known = {} if pages is None else _find_pages(folder, pages, songs)
    text = to_corpus_html(catalogue, findings, title=title, run=run, pages=known)
    write_atomically(text.encode(), folder / "index.html", "report")
    return folder / "index.html"


def _find_pages(folder: Path, pages: Path, ids: Sequence[str]) -> dict[str, str]:
    """Addresses, relative to the folder of the catalogue's page, of the songs that have a page of their own."""
    addresses = {}
    for song in ids:
        path = place_page(pages, song)
        if path is not None and path.is_file():
            addresses[song] = quote(relpath(path, folder.resolve()).replace(sep, "/"))
    return addresses


def to_corpus_html(
    catalogue: Global,
    findings: Sequence[Finding],
    *,
    title: str,
    run: Run | None = None,
    pages: dict[str, str] | None = None,
) -> str:
    """One page that needs no other file. `run` names the model, its settings and the songs; `pages` are the addresses of
    songs' own pages by id.
    """
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
                "message": isolate(finding.message, [*finding.about, *(summary.name for summary in classes)]),
                "songs": finding.songs,
                "share": finding.share,
                "about": finding.about[:MOST_NAMES],
                "examples": finding.examples[:MOST_EXAMPLES],
            }
            for finding in findings
        ],
        "run": None if run is None else _describe_run(run, pages or {}),
        "counted": "every class" if catalogue.all_classes else "the class the model gave it",
        "hint": _hint(catalogue, run),
        "sentences": [sentence for summary in classes if (sentence := say_class(catalogue, summary))],
        "floors": [(floor.kind, round_to(floor.size, 3), floor.songs) for floor in catalogue.floors],
        "stems": stems,
        "worded": has_words(classes),
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


def say_class(catalogue: Global, summary: ClassSummary) -> str:
    """A ranked class in a sentence or three: what of its sound carries it, how much the words do, and its largest part. What
    isn't significant isn't said; "" for a class with too few songs.
    """
    if not summary.ranked:
        return ""
    shares = {
        stem: _list_share(share, summary.stem_errors.get(stem, math.inf), summary.songs)
        for stem, share in summary.stem_shares.items()
    }
    known = sorted(((*share, stem) for stem, share in shares.items() if share), key=lambda entry: -entry[0])
    said = [_say_stems(known)] if len(known) > 1 else []
    words = _list_share(summary.lyrics_share, summary.lyrics_error, summary.songs)
    if words is not None and 0 < words[0] < 100:
        said.append(f"words are {_say_share(*words)} of everything")
    top = catalogue.top(summary.name, 1)
    largest = ""
    if top:
        verb, part = "raises" if top[0].mean > 0 else "lowers", label(top[0].kind, top[0].name)
        largest = f" {part} {verb} it most, by {abs(top[0].mean):#.2g} on average."
    return isolate(f"{summary.name}: {'; '.join(said) or 'nothing leads'}.{largest}", [summary.name, *summary.stem_shares])


def _say_stems(known: Sequence[tuple[int, int | None, str]]) -> str:
    """The stem with the largest share, or the first two where their intervals can't part them."""
    (share, half, stem), (next_share, next_half, next_stem) = known[:2]
    if half is not None and next_half is not None and share - next_share > math.hypot(half, next_half):
        return f"{_say_share(share, half)} {stem}"
    return f"no stem leads ({_say_share(share, half)} {stem}, {_say_share(next_share, next_half)} {next_stem})"


def _say_share(share: int, half: int | None) -> str:
    return f"{share}%" if half is None else f"{share} ± {half}%"


def _hint(catalogue: Global, run: Run | None) -> str:
    """What to do where too few songs share a prediction; "" where enough do, or where every class counts every song."""
    ranked = sum(summary.ranked for summary in catalogue.classes)
    few = sum(summary.songs for summary in catalogue.classes if not summary.ranked)
    if catalogue.all_classes or (ranked >= FEW_CLASSES and 2 * few < catalogue.songs):
        return ""
    counted = "musiclime global RUN --all-classes counts every song for every class"
    if run is not None and run.wrote_all:
        return f"Too few songs share a prediction ({few} of {catalogue.songs} are in classes too small to rank): {counted}."
    return (
        f"Too few songs share a prediction ({few} of {catalogue.songs} are in classes too small to rank): explain with "
        f"musiclime corpus --all-classes, and {counted}."
    )


def _describe_run(run: Run, pages: dict[str, str]) -> dict[str, Any]:
    """Plain values for the template."""
    return {
        "model": run.model,
        "settings": run.settings,
        "seconds": None if run.seconds is None else [f"{int(time // 60)}:{int(time % 60):02d}" for time in run.seconds],
        "songs": [
            {"id": song, "title": title or song, "predicted": predicted, "file": file, "page": pages.get(song, "")}
            for song, title, predicted, file in run.songs
        ],
        "linked": len(pages),
    }


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
    summaries = {summary.name: summary for summary in catalogue.classes}
    compared = list(
        dict.fromkeys((feature.kind, feature.name) for kinds in tops.values() for top in kinds.values() for feature in top)
    )
    return {
        "compared": [{"sound": kind == "audio", "name": label(kind, name)} for kind, name in compared],
        "classes": [
            {
                "name": name,
                "songs": summaries[name].songs,
                "stems": _list_effects(summaries[name]),
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


def _list_effects(summary: ClassSummary) -> list[list[Any]]:
    """[stem, mean over songs, its interval's ends, songs], largest first; none where there is one stem or nothing known."""
    rows = []
    for stem, (effect, error) in summary.stem_effects.items():
        half = halve_interval(error, summary.songs, CONFIDENCE)
        if math.isfinite(half):
            limits = [round_to(number, 4) for number in (effect, effect - half, effect + half)]
            rows.append([stem, *limits, summary.songs])
    return sorted(rows, key=lambda row: -abs(row[1])) if len(rows) > 1 else []


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
