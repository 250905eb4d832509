"""What the catalogue's page says in words: classes, hints, the run, and songs that have a page of their own."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow
import pytest
from catalogues import draw_songs, write_songs
from chromium import open_page
from click.testing import CliRunner
from pyarrow import parquet

from benchmarks.pages.legibility import SCRIPTS, make_catalogue, make_run
from benchmarks.tools.sight import measure, opening_page
from musiclime_torch.commands.cli import cli
from musiclime_torch.corpus.findings.aggregation import aggregate
from musiclime_torch.corpus.findings.parts import read_run
from musiclime_torch.corpus.findings.summaries import ClassSummary, Feature, Global, Run
from musiclime_torch.corpus.reports.page import say_class, to_corpus_html, write_corpus_report

NAN, INF = math.nan, math.inf


def make_class(shares: dict, errors: float, songs: int = 20, lyrics: float = NAN) -> ClassSummary:
    return ClassSummary("ambient", songs, songs >= 10, lyrics, lyrics, shares, 0.03, 0.03, dict.fromkeys(shares, errors))


def of(summary: ClassSummary, *features: Feature) -> Global:
    return Global(20, 0, (summary,), features, (), (), None)


@pytest.mark.parametrize(
    ("summary", "said"),
    [
        (make_class({"harmonic": 0.78, "percussive": 0.22}, 0.08), "ambient: 78 ± 17% harmonic."),
        (
            make_class({"harmonic": 0.55, "percussive": 0.45}, 0.08),
            "ambient: no stem leads (55 ± 17% harmonic, 45 ± 17% percussive).",
        ),
        (make_class({"harmonic": 0.78, "percussive": 0.22}, INF), "ambient: no stem leads (78% harmonic, 22% percussive)."),
        (make_class({"harmonic": 1.0}, 0.0), "ambient: nothing leads."),
        (
            make_class({"drums": 0.9, "bass": 0.1}, 0.01, lyrics=0.4),
            "ambient: 90 ± 3% drums; words are 40 ± 7% of everything.",
        ),
        (make_class({"drums": 0.9, "bass": 0.1}, 0.01, songs=3), ""),
    ],
)
def test_a_class_in_a_sentence(summary, said):
    assert say_class(of(summary), summary) == said


def test_the_largest_part_is_named_where_it_is_significant():
    summary = make_class({"drums": 0.9, "bass": 0.1}, 0.01)
    love = Feature("ambient", "lyrics", "love", None, None, 20, 20, 1.0, 1.0, 1.0, -1.5, -2.0, -1.0, True)
    drums = Feature("ambient", "audio", "drums 2", "drums", 2, 20, 20, 1.0, 1.0, 1.0, 1.0, 0.9, 1.1, True)
    assert say_class(of(summary, love, drums), summary).endswith("drums. love lowers it most, by 1.5 on average.")
    told = of(summary, replace(love, significant=False), drums)
    assert say_class(told, summary).endswith("drums. drums, segment 3 raises it most, by 1.0 on average.")


def test_too_few_songs_of_a_class_are_hinted_at():
    few, enough = make_catalogue(SCRIPTS[0], few=True)[0], make_catalogue(SCRIPTS[0])[0]
    run = make_run(SCRIPTS[0])
    assert "explain with musiclime corpus --all-classes" in to_corpus_html(few, [], title="x", run=run)
    hint = to_corpus_html(few, [], title="x", run=replace(run, wrote_all=True))
    assert "musiclime corpus --all-classes" not in hint
    assert "musiclime global RUN --all-classes" in hint
    for catalogue in (enough, replace(few, all_classes=True)):
        assert "--all-classes" not in to_corpus_html(catalogue, [], title="x", run=run)


def test_songs_are_linked_to_their_own_pages(tmp_path):
    ids = ("album/one", "two & three", "../out", "none", "/etc")
    for name in ("songs/album/one", "songs/two & three", "out"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "index.html").write_text("")
    songs = tuple((song, f"title of {song}", "pop", f"{song}.mp3") for song in ids)
    run = Run("a model <b>", (("segments", "bars"),), (30.0, 95.0), False, songs)
    catalogue = make_catalogue(SCRIPTS[0])[0]
    page = write_corpus_report(catalogue, [], tmp_path / "report", title="x", run=run, pages=tmp_path / "songs").read_text()
    assert page.count("<a href=") == 2
    assert '<a href="../songs/album/one/index.html"><bdi>title of album/one</bdi></a>' in page
    assert '<a href="../songs/two%20%26%20three/index.html">' in page
    assert "2 of them have a page of their own." in page
    assert "with <bdi>a model &lt;b&gt;</bdi>" in page
    assert "<dt>segments</dt><dd>bars</dd>" in page
    assert "of 0:30 to 1:35 were explained" in page
    assert "Songs are of unequal length" in page
    assert "Songs are of unequal length" not in to_corpus_html(
        catalogue, [], title="x", run=replace(run, seconds=(3.0, 3.0))
    )
    assert "musiclime corpus ... --pages" in to_corpus_html(catalogue, [], title="x", run=run)


def test_stems_count_over_the_whole_song(tmp_path):
    songs = draw_songs(1, 40)
    write_songs(tmp_path, songs)
    for summary in aggregate(tmp_path).classes:
        for stem in ("drums", "vocals"):
            sums = [sum(row[3] for row in song["rows"] if row[0] == stem) for song in songs if song["class"] == summary.name]
            wanted = (np.mean(sums), np.std(sums, ddof=1) / len(sums) ** 0.5)
            assert summary.stem_effects[stem] == pytest.approx(wanted)


def test_with_all_classes_every_song_counts(tmp_path):
    songs = draw_songs(1, 12)
    for song in songs[6:]:
        song["class"] = "rare"
    write_songs(tmp_path, songs)
    (file,) = (tmp_path / "attributions").glob("*.parquet")
    table = parquet.read_table(file)
    # As `musiclime corpus --all-classes` writes it: the other classes' rows aren't the predicted ones.
    rows = table.to_pylist()
    rows += [row | {"class": "pop", "predicted": False} for row in rows if row["class"] == "rare"]
    parquet.write_table(pyarrow.Table.from_pylist(rows, table.schema), file)
    known = {summary.name: summary.songs for summary in aggregate(tmp_path).classes}
    every = {summary.name: summary.songs for summary in aggregate(tmp_path, all_classes=True).classes}
    assert known["rare"] == every["rare"] == 6
    assert every["pop"] == known["pop"] + 6
    out = tmp_path / "report"
    done = CliRunner().invoke(cli, ["global", str(tmp_path), "--min-songs", "2", "--all-classes", "--report", str(out)])
    assert done.exit_code == 0, done.output
    assert "each for every class" in (out / "index.html").read_text()


def test_a_run_names_what_ran(tmp_path):
    write_songs(tmp_path, draw_songs(1, 3))
    run = read_run(tmp_path, 2)
    assert [song[0] for song in run.songs] == ["song0", "song1"]
    assert (run.seconds, run.wrote_all, run.model) == (None, False, "")


def test_stems_stand_before_moments_and_everything_can_be_read(browser, tmp_path):
    catalogue, findings = make_catalogue(SCRIPTS[2])
    path: Path = write_corpus_report(catalogue, findings, tmp_path, title="x", run=make_run(SCRIPTS[2]))
    with open_page(browser, path) as (page, heard):
        headings = page.locator("h3").all_text_contents()
        assert headings.index("Stems, over the whole song") < headings.index("Stems at moments")
        stems = page.locator("#class-stems .label").all_text_contents()
        assert stems == list(SCRIPTS[2].stems)
        assert page.locator("#class-stems .number").first.text_content() == "+2.20"
        assert page.locator(".sentences li").count() == 3
        assert heard.complaints == []
    for width in (390, 1280):
        with opening_page(browser, path, width, "dark") as page:
            assert measure(page).faults == []
