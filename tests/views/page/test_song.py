"""The page of one song: what it refuses, and what it shows of models that only hear or only read."""

from dataclasses import replace

import pytest
import torch
from models import Additive, Late

from musiclime_torch import to_html
from musiclime_torch.basics.choices import Timeline
from musiclime_torch.basics.errors import InputError
from musiclime_torch.explanation.evidence import Evidence
from musiclime_torch.explanation.explainer import explain
from musiclime_torch.explanation.explanation import Explanation
from musiclime_torch.song.track import Track
from musiclime_torch.views.page.song import write_report


def look(audio: torch.Tensor, text: list[str]) -> torch.Tensor:
    """Decides by the first stem's second quarter, and by a word."""
    level = audio[:, :, 4000:8000].square().mean((1, 2)).sqrt()
    return torch.stack([10 * level + torch.tensor([2.0 * line.count("hold") for line in text]), 3 + 0 * level], 1)


def test_a_page_of_another_track_or_without_its_baseline_is_refused(track, tmp_path):
    found = explain(Additive(), track, segments=2, n_samples=64)
    for wrong in (
        Track(track.stems[:, :, :9000], track.stem_names, 8000, track.lyrics),
        Track(track.stems, ("drums", "bass"), 8000, track.lyrics),
    ):
        with pytest.raises(InputError, match="not the one that was explained"):
            to_html(found, wrong)
    other = Track(track.stems.flip(-1), track.stem_names, 8000, title="another")
    found = explain(look, track, sample_rate=8000, segments=4, n_samples=200, evidence=True, baseline=other)
    with pytest.raises(InputError, match="'another': give its track"):
        to_html(found, track)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="another out folder"):
        write_report(explain(Additive(), track, n_samples=64), track, tmp_path / "file")


def test_models_that_only_hear_or_only_read_and_songs_without_lyrics(track):
    silent = Track(track.stems, track.stem_names, 8000, None)
    heard = explain(lambda audio: audio.square().mean((1, 2)), track, sample_rate=8000, modalities=("audio",),
                    output_kind="regression", segments=2, n_samples=64)  # fmt: skip
    page = to_html(heard, track)
    assert "The model does not read" in page
    assert "Evidence was not searched for" in page
    wordless = to_html(explain(Late(), silent, segments=2, n_samples=64), silent)
    assert 'id="words"' not in wordless
    assert 'id="words"' in page
    read = explain(lambda text: torch.tensor([[float(len(line))] for line in text]), track, modalities=("lyrics",),
                   output_kind="regression", n_samples=64)  # fmt: skip
    assert "The model does not hear" in to_html(read, track)


def test_a_search_that_was_not_made_is_not_claimed(track):
    found = explain(Late(), track, segments=2, n_samples=64)
    page = to_html(replace(found, evidence=Evidence("wild: no", (), None, -1.0, None, 0)), track)
    assert "so no set of parts was looked for" in page
    assert "nothing that was tried" not in page
    searched = to_html(replace(found, evidence=Evidence("wild: no", (0,), None, -1.0, None, 9)), track)
    assert "nothing that was tried flips the decision." in searched


def test_shapley_values_close_and_say_so(track, tmp_path):
    found = explain(Additive(), track, segments=2, n_samples=200, weights="shapley")
    found.save(tmp_path / "found.safetensors")
    assert torch.equal(Explanation.load(tmp_path / "found.safetensors").intercept, found.output_empty)
    page = to_html(found, track)
    assert '"exact":true' in page
    assert found._repr_html_().count("<tr>") == 1 + len(found.top(12))


def test_a_notebook_shows_names_numbers_and_signs_without_script(track):
    found = explain(Late(), track, segments=2, n_samples=300)
    shown = found._repr_html_()
    for component, value, half in found.top(12):
        assert f'<td title="{component.name}">' in shown
        assert f"{value:+.3g}" in shown
        assert f"{half:.2g}" in shown
    assert "<script" not in shown
    assert "http" not in shown


def test_names_of_segments_beats_and_bars_are_drawn_under_the_song(track):
    beats = tuple(0.25 * number for number in range(8))
    timeline = Timeline((0.0, 1.0, 2.0), ("verse <1>", ""), "bars", beats, beats[::4], 240.0)
    page = to_html(explain(Additive(), track, segments=timeline, n_samples=64), track)
    music = page.partition('<svg class="music"')[2].partition('<svg class="heat"')[0]
    assert music.count("<line") == len(beats) + 2
    assert music.count('class="downbeat"') == 2
    assert '<text x="3" y="14">verse &lt;1&gt;</text>' in music
    assert music.count("<text") == 1
    assert ">240 BPM</span>" in page
    assert "drums, verse" in page
    assert 'class="music"' not in to_html(explain(Additive(), track, segments=2, n_samples=64), track)
