"""Hostile strings wherever a page shows text that came from outside: none runs, none breaks the layout, all are shown."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from chromium import open_page, overflow
from hostile import HOSTILE

from musiclime_torch.corpus.findings.auditing import Finding
from musiclime_torch.corpus.findings.summaries import ClassSummary, Feature, Global, Pair
from musiclime_torch.corpus.reports.page import write_corpus_report
from musiclime_torch.explanation.explainer import explain
from musiclime_torch.explanation.fragment import clean
from musiclime_torch.song.lyrics.lyrics import parse_lyrics
from musiclime_torch.song.track import Track
from musiclime_torch.views.page.song import write_report

#: Strings a page: it takes as many stems, classes and lines of lyrics.
SHARE = 60
#: Elements that the templates don't have, and attributes that run something.
_STRANGE = (
    "img, iframe, input, link, base, style:not(head > style):not(noscript style), script:not(body > script), textarea, "
    "meta[http-equiv=refresh], [onload], [onerror], [onfocus], [ontoggle], [onbegin], [onmouseover], a[href^=javascript]"
)


def parts() -> list[tuple[str, ...]]:
    return [HOSTILE[start : start + SHARE] for start in range(0, len(HOSTILE), SHARE)]


def test_there_are_enough_of_them():
    assert len(set(HOSTILE)) >= 200


def check(browser, path: Path, shown: dict[str, list[str]]) -> None:
    """At a phone's width and a desktop's; `shown` gives texts by selector."""
    for width in (360, 1280):
        with open_page(browser, path, width) as (page, heard):
            page.mouse.move(width / 2, 300)
            assert heard.complaints == []
            assert page.evaluate("window.__ran") is None
            assert page.locator("body > script").count() == 2
            assert page.locator(_STRANGE).count() == 0
            assert overflow(page) <= 0
            for selector, texts in shown.items():
                assert page.locator(selector).all_text_contents() == texts, selector


@pytest.mark.parametrize("strings", parts())
def test_a_songs_page(browser, tmp_path, strings):
    generator = torch.Generator().manual_seed(0)
    rows = "\n".join(f"{text} w{number}\n[{text}]" for number, text in enumerate(strings))
    lyrics = parse_lyrics(rows.encode("utf-8", "replace").decode())  # files are text; their names need not be
    stems = 0.01 * torch.randn(len(strings), 1, 8000, generator=generator)
    joined = " ".join(strings)
    track = Track(stems, strings, 8000, lyrics, title=joined, source=joined, warnings=strings)
    table = torch.randn(8, len(strings), generator=generator)

    def model(audio: torch.Tensor, text: list[str]) -> torch.Tensor:
        heard = audio.square().mean((1, 2)).sqrt()
        counts = torch.tensor([[line.count(letter) / 10 for letter in "aeiouwxy"] for line in text])
        return counts @ table + 100 * heard[:, None] * table[0]

    model.name = joined
    found = explain(model, track, sample_rate=8000, segments=1, units="line", n_samples=1, classes=strings, evidence=True)
    unseen = {0: joined, len(found.components) - 1: strings[0]}
    settings = {**found.provenance["settings"], "model's own": strings}
    found = replace(found, unseen=unseen, provenance={**found.provenance, "settings": settings})
    path = write_report(found, track, tmp_path)
    check(
        browser,
        path,
        {
            "h1": [clean(joined)],
            ".stem-label": [clean(text) for text in strings],
            ".warnings li": [clean(text) for text in found.warnings],
        },
    )
    fragment = found._repr_html_()
    assert "<script" not in fragment
    assert "<img" not in fragment


@pytest.mark.parametrize("strings", parts())
def test_a_catalogues_page(browser, tmp_path, strings):
    features, pairs = [], []
    for number, of in enumerate(strings):
        own = strings[: 8 + number % 3]
        features += [
            Feature(of, "lyrics", text, None, None, 20, 20, 1.0, 1.0, 1.0, 4.0 - place / 4, 0.1, 2.0, True)
            for place, text in enumerate(own)
        ]
        features += [
            Feature(of, "audio", f"{text} {place}", text, place, 20, 20, 1.0, 1.0, 1.0, place - 1.0, -2.0, 2.0, place != 1)
            for text in own[:4]
            for place in range(3)
        ]
        pairs += [Pair(of, text, text, 12, 0.5, 0.1) for text in own[:4]]
    classes = tuple(
        ClassSummary(of, 20, True, 0.5, 0.5, *[dict.fromkeys(strings[:6], 1 / 6), 0.1, 0.1, dict.fromkeys(strings[:6], 0.1)])
        for of in strings
    )
    kinds = ("boilerplate", "position", "rotation", "noise", "unseen", "few songs")
    findings = [
        Finding(kinds[n % 6], text, 3, None, (text, *strings[:3]), tuple(strings[:3])) for n, text in enumerate(strings)
    ]
    path = write_corpus_report(
        Global(100, 1, classes, tuple(features), tuple(pairs), (), None), findings, tmp_path, title=" ".join(strings)
    )
    check(
        browser,
        path,
        {
            "h1": [clean(" ".join(strings))],
            "tbody th bdi": [clean(text) for text in strings],
            "#class-words .label": [clean(text) for text in strings[:8]],
        },
    )
