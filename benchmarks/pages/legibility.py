"""Whether pages can be read: zero lines, overlaps, contrast and width in Chromium, at three widths, light and dark.

Songs of 1 to 60 components, with and without lyrics, in Latin, Japanese and Arabic script, and a catalogue in each; their
effects are planted, no model runs. Each page is measured as it opens, and for another class
while a word is sung. Ends with an error where a
zero line is off by more than half a pixel, two texts lie on each other, a text's contrast is below WCAG 2's AA, or
something is wider than its window.

    python -m benchmarks.pages.legibility [--smoke] [--keep FOLDER]
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.tools.sight import Sight, measure, opening_browser, opening_page, take_worst
from musiclime_torch import Explanation, Track, list_components
from musiclime_torch.corpus import ClassSummary, Feature, Finding, Global, Pair, Run, to_corpus_html
from musiclime_torch.explanation import Evidence, Interactions
from musiclime_torch.song import parse_lrc
from musiclime_torch.views import write_report

RATE, SECONDS = 8000, 12.0
WIDTHS, SCHEMES = (390, 768, 1280), ("light", "dark")


#: A line and its first word as they are while they are sung, without the sound that it takes.
_PLAYED = """() => {
    const word = document.querySelector("#lyrics .w");
    for (const sung of word ? [word, word.parentElement] : []) sung.classList.add("sung");
}"""


@dataclass(frozen=True)
class Script:
    """What a song is called and sung in one script; `lines` are sung evenly."""

    name: str
    title: str
    classes: tuple[str, ...]
    stems: tuple[str, ...]
    lines: tuple[str, ...]


SCRIPTS = (
    Script(
        "Latin", "Hold me (live at the Old Theatre, remastered)",
        ("indie", "metal", "ambient drone with field recordings", "pop", "jazz"),
        ("drums", "bass", "other instruments", "vocals"),
        ("Hold me now, don’t let me down", "love is all I ever wanted to find", "Antidisestablishmentarianism, oh"),
    ),
    Script(
        "Japanese", "夜に駆ける君のことを", ("ロック", "アンビエント・ミュージック", "演歌", "ポップ", "ジャズ"),
        ("ドラム", "ベース", "その他の楽器", "ボーカル"),
        ("君のことを愛してる", "カラオケでロックンロール歌おう", "戻らない幸せがあることを Baby"),
    ),
    Script(
        "Arabic", "أغنية الليل الطويل", ("روك", "موسيقى هادئة مع أصوات الطبيعة", "طرب", "بوب", "جاز"),
        ("طبول", "باص", "آلات أخرى", "غناء"),
        ("أحبك يا ليل، لا تتركني", "قلبي معك دائما في كل مكان", "يا عيني على الدنيا"),
    ),
)  # fmt: skip


def make_song(script: Script, stems: int, lyrics: bool) -> Track:
    """Noise that gets louder, and lines that are sung evenly."""
    sound = 0.1 * torch.randn(stems, 1, round(SECONDS * RATE), generator=torch.Generator().manual_seed(0))
    sung = "\n".join(f"[00:{SECONDS * number / len(script.lines):05.2f}]{line}" for number, line in enumerate(script.lines))
    return Track(
        sound * torch.linspace(0.2, 1, sound.shape[2]), script.stems[:stems], RATE, parse_lrc(sung) if lyrics else None,
        title=script.title, source="made up",
    )  # fmt: skip


def plant(track: Track, script: Script, segments: int) -> Explanation:
    """Every fifth component has an effect, each a third of the one before and of the other sign; the rest is noise."""
    components = list_components(track, segments, "word", ("audio", "lyrics"))
    count, classes = len(components), len(script.classes)
    generator = torch.Generator().manual_seed(1)
    errors = torch.full((classes, count), 0.02, dtype=torch.float64)
    values = 0.01 * torch.randn(classes, count, generator=generator, dtype=torch.float64)
    for row in range(classes):
        for place, column in enumerate(range(row % count, count, 5)):
            values[row, column] = 3.0 * (-1 / 3) ** min(place, 5) * (1 + row)
    columns = torch.combinations(torch.arange(min(count, 12)))
    pairs = torch.where(torch.arange(len(columns)) % 7 == 0, 0.08, 0.001).double().expand(1, classes, -1).contiguous()
    return Explanation(
        components=components, classes=script.classes, target=0, value="Banzhaf value", space="logit",
        attributions=values, standard_errors=errors, degrees_of_freedom=torch.full_like(errors, 100.0),
        intercept=torch.zeros(classes).double(), fidelity=torch.full((classes,), 0.83).double(),
        output_song=values.sum(1) + 0.31, output_empty=torch.linspace(-3.2, 0.4, classes).double(),
        interactions=None if count < 3 else Interactions(
            spaces=("probability",), classes=tuple(range(classes)), risk=0.05, part_freedom=100.0,
            columns=columns, values=pairs,
            standard_errors=torch.full_like(pairs, 0.004), degrees_of_freedom=torch.full_like(pairs, 100.0),
            explained=torch.full((1, classes), 0.11).double(),
            parts=torch.tensor([0.52, 0.31, 0.17]).double().expand(1, classes, 3),
            part_errors=torch.full((1, classes, 3), 0.01).double(),
        ),
        evidence=Evidence(f"{script.classes[0]}: yes", (0,), tuple(range(min(count, 3))), 2.41, -0.87, 64),
        design="joint fold-over blocks", n_variants=2048, audio_passes=1024, lyrics_passes=1024, looks=1, stopped="",
        confidence=0.95, unseen={count - 1: "past the model’s input"} if count > 20 else {},
        warnings=("the stems don’t add up to the song: −21 dB is left.",),
        provenance={
            "title": track.title, "model": "planted effects", "model_hash": "7f3a" * 16, "audio_hash": "",
            "output_kind": "multilabel", "settings": {"baseline": "silence", "seed": 0, "n_samples": 2048},
            "versions": {"musiclime_torch": "0.2.0"},
        },
    )  # fmt: skip


def make_catalogue(script: Script, few: bool = False) -> tuple[Global, list[Finding]]:
    """Three classes with enough songs (one with `few`), the others without, over eight segments and the words."""
    words = [word.text for word in parse_lrc("\n".join(f"[00:01]{line}" for line in script.lines)).words]
    features, pairs, summaries = [], [], []
    for row, name in enumerate(script.classes):
        ranked = row < (1 if few else 3)
        songs = 60 - 20 * row if ranked else 2
        for place, stem in ((place, stem) for place in range(8) for stem in script.stems):
            mean = 2.0 * (-0.6) ** (place + row)
            features.append(
                Feature(name, "audio", f"{stem} {place}", stem, place, songs, songs, 1.0, abs(mean), abs(mean), mean,
                        *((mean - 0.2, mean + 0.2, abs(mean) > 0.2) if ranked else ()))
            )  # fmt: skip
        for place, word in enumerate(dict.fromkeys(words)):
            mean = 1.5 * (-0.7) ** (place + row)
            features.append(
                Feature(name, "lyrics", word, None, None, songs, songs, 1.0, abs(mean), abs(mean), mean,
                        *((mean - 0.1, mean + 0.1, True) if ranked else ()))
            )  # fmt: skip
        pairs += [Pair(name, stem, words[0], 12, 0.031, 0.004) for stem in script.stems[:2]]
        shares = dict(zip(script.stems, (0.78, 0.12, 0.06, 0.04), strict=True))
        summaries.append(
            ClassSummary(name, songs, ranked, 0.31, 0.12, shares, 0.02, 0.01, dict.fromkeys(script.stems, 0.04),
                         {stem: (2.2 * (-0.5) ** place, 0.1) for place, stem in enumerate(script.stems)})
        )  # fmt: skip
    message = f"{script.classes[0]}: {words[0]}: in most songs, and significant in nearly all. Is this sung?"
    finding = Finding("boilerplate", message, 41, 0.22, tuple(words[:6]), ("song17", script.title))
    return Global(130, 3, tuple(summaries), tuple(features), tuple(pairs), (), None), [finding]


def make_run(script: Script) -> Run:
    """A run over songs of unequal length, some of which have a title."""
    songs = tuple(
        (f"album/song{number}", script.title if number % 3 else "", script.classes[number % 5], f"album/song{number}.flac")
        for number in range(12)
    )
    return Run("planted effects", (("n samples", "512"), ("segments", "bars")), (31.0, 312.0), False, songs)


def write_pages(folder: Path, smoke: bool) -> Iterator[tuple[str, str, Path]]:
    """(script, what is on it, its file)."""
    for script in SCRIPTS:
        sizes = ((1, 1), (4, 3), (4, 15)) if not smoke else ((4, 3),)
        for stems, segments in sizes:
            for lyrics in (True, False):
                track = make_song(script, stems, lyrics)
                name = f"{stems * segments} cells{', lyrics' if lyrics else ''}"
                path = write_report(plant(track, script, segments), track, folder / f"{script.name} {name}")
                yield script.name, name, path
        path = folder / f"{script.name} catalogue.html"
        catalogue, findings = make_catalogue(script)
        run, pages = make_run(script), {"album/song1": "songs/album/song1/index.html"}
        page = to_corpus_html(catalogue, findings, title=script.title, run=run, pages=pages)
        path.write_text(page, encoding="utf-8")
        yield script.name, "catalogue", path


def look_at(browser: object, path: Path, width: int, keep: Path | None) -> Sight:
    """The worst of both schemes, as the page opens, and of another class while a word is sung."""
    sights = []
    for scheme in SCHEMES:
        with opening_page(browser, path, width, scheme) as page:
            sights.append(measure(page))
            if keep is not None:
                name = f"{path.parent.name if path.name == 'index.html' else path.stem} {width} {scheme}.png"
                page.screenshot(path=keep / name.replace(",", "").replace(" ", "-"), full_page=True)
            page.select_option("#class", "1")
            page.evaluate(_PLAYED)
            sights.append(measure(page))
    return take_worst(sights)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="a song with and without lyrics in each script, at one width")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="pictures of all pages")
    options = parser.parse_args()
    if options.keep is not None:
        options.keep.mkdir(parents=True, exist_ok=True)
    widths = WIDTHS[:1] if options.smoke else WIDTHS
    table = Table(title=f"{' and '.join(SCHEMES)}, as it opens and for another class: the worst of them")
    for heading in (
        "script",
        "page",
        "px",
        "zero lines apart, px",
        "texts on each other",
        "lowest contrast",
        "too wide, px",
    ):
        table.add_column(heading, justify="left" if heading in ("script", "page") else "right")
    faults: dict[str, list[str]] = {}
    sights = []
    with tempfile.TemporaryDirectory() as folder, opening_browser() as browser:
        for script, name, path in write_pages(Path(folder), options.smoke):
            for width in widths:
                sight = look_at(browser, path, width, options.keep)
                sights.append(sight)
                numbers = (f"{sight.spread:.1f}", str(len(sight.overlaps)), f"{sight.contrast:.2f}", str(max(sight.wide, 0)))
                table.add_row(script, name, str(width), *numbers)
                faults |= {f"{script}, {name}, {width} px": sight.faults} if sight.faults else {}
    Console(width=110).print(table)
    for place, found in faults.items():
        print(f"{place}: {'; '.join(found[:6])}{f'; and {len(found) - 6} more' if len(found) > 6 else ''}")
    worst = take_worst(sights)
    print(
        f"{worst.texts} texts and {worst.rows} bars on the fullest page; {len(faults)} of {len(sights)} windows have faults"
    )
    print(json.dumps({"windows": len(sights), "faulty": len(faults), "spread": worst.spread, "contrast": worst.contrast}))
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
