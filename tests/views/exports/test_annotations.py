"""Annotations are read back by other tools' own readers, else checked against the format's specification."""

import csv
from dataclasses import replace
from io import StringIO
from pathlib import Path

import jams
import pytest
import torch
from captum.attr import visualization
from hostile import ODD

from musiclime_torch.basics.errors import InputError
from musiclime_torch.demo.bundle import demo_song, load_demo_model, load_demo_track
from musiclime_torch.explanation.explainer import explain
from musiclime_torch.explanation.explanation import Explanation
from musiclime_torch.song.track import load_track
from musiclime_torch.variants.components import list_components
from musiclime_torch.views.exports.annotations import to_audacity, to_jams, to_sonic_visualiser, to_visualization_record


def timed(explanation: Explanation, row: int) -> dict[str, float]:
    return {
        item.name: float(explanation.attributions[row, column])
        for column, item in enumerate(explanation.components.items)
        if item.start is not None and explanation.significant[row, column]
    }


def test_audacity_reads_three_fields_a_line_in_order(explained, odd):
    lines = [line.split("\t") for line in to_audacity(explained).splitlines()]
    expected = timed(explained, explained.target)
    assert {text.rsplit(" ", 1)[0] for _, _, text in lines} == set(expected)
    assert [float(start) for start, _, _ in lines] == sorted(float(start) for start, _, _ in lines)
    assert all(float(start) <= float(end) for start, end, _ in lines)
    for _, _, text in lines:
        name, value = text.rsplit(" ", 1)
        assert float(value) == pytest.approx(expected[name], rel=5e-3)
    assert all(line.count("\t") == 2 for line in to_audacity(odd).splitlines())
    assert len(to_audacity(odd).splitlines()) == len(lines)


def test_sonic_visualiser_reads_regions(explained, odd):
    rows = list(csv.DictReader(StringIO(to_sonic_visualiser(explained, "love song"))))
    expected = timed(explained, explained.class_index("love song"))
    assert {row["LABEL"]: pytest.approx(float(row["VALUE"])) for row in rows} == expected
    by_name = {item.name: item for item in explained.components.items}
    for row in rows:
        item = by_name[row["LABEL"]]
        assert float(row["TIME"]) == pytest.approx(item.start, abs=1e-6)
        assert float(row["DURATION"]) == pytest.approx(item.end - item.start, abs=2e-6)
    assert len(list(csv.reader(StringIO(to_sonic_visualiser(odd, "love song"))))) == len(rows) + 1


def test_lines_have_a_start_alone_and_untimed_lyrics_no_moment(explained):
    track = load_demo_track()
    lines = list_components(track, segments=4, units="line", modalities=("lyrics",))
    count = len(lines)
    whole = replace(
        explained,
        components=lines,
        attributions=torch.ones(len(explained.classes), count, dtype=torch.float64),
        standard_errors=torch.full((len(explained.classes), count), 1e-3, dtype=torch.float64),
        degrees_of_freedom=torch.full((len(explained.classes), count), 50.0, dtype=torch.float64),
        unseen={},
    )
    said = to_audacity(whole).splitlines()
    assert len(said) == sum(item.start is not None for item in lines.items) > 0
    assert all(line.split("\t")[0] == line.split("\t")[1] for line in said)


def test_jams_validates_and_comes_back(explained, odd, tmp_path: Path):
    to_jams(odd, load_demo_track().seconds).save(str(tmp_path / "a.jams"))  # strict: validated when written
    found = jams.load(str(tmp_path / "a.jams"))
    annotation = found.annotations[0]
    items = [item for item in explained.components.items if item.start is not None]
    data = sorted(annotation.data, key=lambda one: (one.time, one.value))
    assert len(data) == len(items)
    values = {ODD + item.name: float(explained.attributions[explained.target, column])
              for column, item in enumerate(explained.components.items)}  # fmt: skip
    assert all(one.confidence == pytest.approx(values[one.value]) for one in data)
    assert annotation.sandbox.target == "anthem"
    assert len(annotation.sandbox.standard_errors) == len(items)
    assert found.file_metadata.duration == pytest.approx(load_demo_track().seconds)


def test_captum_draws_the_words_and_escapes_them(explained, odd):
    record = to_visualization_record(explained, "love song")
    first = explained.components.n_audio
    words = [item.word for item in explained.components.items[first:]]
    assert record.raw_input_ids == words
    told = explained.significant[explained.target, first:]
    assert float(record.word_attributions.abs().max()) == 1
    assert not record.word_attributions[~told].any()
    assert words[int(record.word_attributions.argmax())] == "tonight"
    hostile = replace(
        odd, components=replace(odd.components, items=tuple(replace(i, word="<script>x") for i in odd.components.items))
    )
    shown = visualization.visualize_text([to_visualization_record(hostile)]).data
    assert "<script>" not in shown
    assert "&lt;script&gt;x" in shown
    silent = replace(explained, components=replace(explained.components, items=explained.components.items[:first]))
    with pytest.raises(InputError, match="no lyrics"):
        to_visualization_record(silent)


@pytest.mark.parametrize(
    ("start", "end", "lyrics"), [(6, 12, True), (2.5, 9.75, True), (None, 7, True), (1, None, False), (None, None, True)]
)
def test_jams_of_a_part_lies_where_the_recording_lies(start: float | None, end: float | None, lyrics: bool):
    track = load_track(demo_song(), separator="none", start=start, end=end)
    track = track if lyrics else replace(track, lyrics=None)
    explanation = explain(load_demo_model(), track, target="anthem", n_samples=64, segments=3, design="joint")
    record = to_jams(explanation, track.seconds)
    annotation, first, last = record.annotations[0], track.offset, track.offset + track.seconds
    assert (annotation.time, annotation.duration) == (first, pytest.approx(track.seconds))
    assert record.file_metadata.duration == pytest.approx(last)
    # JAMS' own ways to look at a stretch: all observations are valid within the part, and are found there.
    within = record.trim(first, last).annotations[0]
    assert len(within.data) == len(annotation.data)
    sounds = [item for item in annotation.slice(first, last).data if item.value.startswith("mix")]
    assert [item.time for item in sounds] == pytest.approx([place * track.seconds / 3 for place in range(3)], abs=1e-6)


def test_jams_of_lyrics_alone_are_told_where_the_part_begins():
    track = load_track(demo_song(), separator="none", start=6, end=12)
    given = {"modalities": ("lyrics",), "output_kind": "regression", "n_samples": 64}
    words = explain(lambda texts: torch.tensor([[float(len(text))] for text in texts]), track, **given)
    record = to_jams(words, track.seconds, offset=track.offset)
    assert (record.annotations[0].time, record.file_metadata.duration) == (6.0, 12.0)
    assert to_jams(words, track.seconds).annotations[0].time == 0.0
