"""Annotations are read back by other tools' own readers, else checked against the format's specification."""

import csv
from dataclasses import replace
from io import StringIO
from pathlib import Path

import jams
import pytest
import torch
from captum.attr import visualization

from musiclime_torch.basics.errors import InputError
from musiclime_torch.demo.bundle import load_demo_model, load_demo_track
from musiclime_torch.explanation.explainer import explain
from musiclime_torch.explanation.explanation import Explanation
from musiclime_torch.variants.components import list_components
from musiclime_torch.views.exports.annotations import to_audacity, to_jams, to_sonic_visualiser, to_visualization_record

ODD = 'a\tb\n"c",<d> ​$é'


@pytest.fixture(scope="module")
def explained() -> Explanation:
    found = explain(load_demo_model(), load_demo_track(), segments=4, n_samples=(48, 96), target="anthem")
    assert found.top(3)
    return found


@pytest.fixture
def odd(explained) -> Explanation:
    """Names that no format expects."""
    items = tuple(replace(item, name=ODD + item.name) for item in explained.components.items)
    return replace(explained, components=replace(explained.components, items=items))


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


<<<<<<< HEAD:tests/views/exports/test_annotations.py
=======
def test_mixes_are_as_loud_and_what_was_kept_alone_sounds(tmp_path: Path):
    track = load_demo_track()
    found = explain(load_demo_model(), track, segments=4, n_samples=(48, 96), target="drum fill", evidence=True)
    assert found.evidence is not None
    paths = {path.stem: path for path in write_mixes(found, track, tmp_path, "flac")}
    assert set(paths) >= {"song", "keeping"}
    sounds = {name: torch.from_numpy(soundfile.read(path, always_2d=True)[0].T) for name, path in paths.items()}
    assert all(float(sound.abs().max()) < 1 for sound in sounds.values())
    levels = [measure_loudness(sound, track.sample_rate) for sound in sounds.values()]
    assert max(levels) - min(levels) < 0.1
    song = sounds["song"]
    assert song.shape == (track.stems.shape[1], track.stems.shape[2])
    gain = float((song * track.stems.sum(0)).sum() / track.stems.sum(0).square().sum())
    assert torch.allclose(song, gain * track.stems.sum(0).double(), atol=1e-4)
    # Outside of the cells that keep the decision there is silence.
    cells = [found.components.items[column] for column in found.evidence.keeping]
    quiet = [
        second for second in range(int(track.seconds)) if all(not c.start - 0.1 <= second <= c.end + 0.1 for c in cells)
    ]
    assert quiet
    assert not any(sounds["keeping"][:, int(second * track.sample_rate)].any() for second in quiet)
    with pytest.raises(InputError, match="form must be wav or flac"):
        write_mixes(found, track, tmp_path, "mp3")


def test_the_command_writes_them_all(tmp_path: Path):
    options = ["--n-samples", "64", "--segments", "2", "--no-report", "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(cli, ["demo", *options, "--export", "audacity,sonic-visualiser,jams,csv,parquet,wav"])
    assert done.exit_code == 0, done.output
    names = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert names >= {"labels.txt", "regions.csv", "explanation.jams", "attributions.csv", "attributions.parquet"}
    assert "mixes/song.wav" in names
    assert not any(name.endswith((".html", ".partial")) for name in names)
    for more, said in ((["--export", "midi"], "choose from audacity"), (["--export", "csv"], "with --out")):
        failed = CliRunner().invoke(cli, ["demo", *(options if "midi" in more else []), *more])
        assert said in str(failed.exception)


>>>>>>> job-d:tests/views/test_exports.py
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
