"""What a page is made of: loudness, mixes, packed numbers, lyrics cut up, outlines; against slow ways to the same."""

import base64
import io
import math
import re

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings, strategies as st
from models import Additive, Late

from musiclime_torch import to_html
from musiclime_torch.basics.errors import InputError
from musiclime_torch.explanation.explainer import explain
from musiclime_torch.explanation.explanation import Explanation
from musiclime_torch.song.lyrics.lyrics import parse_lyrics
from musiclime_torch.song.track import Track
from musiclime_torch.variants.components import list_components
from musiclime_torch.views.page.mixes import make_versions
from musiclime_torch.views.page.packing import MOST_PAIRS, ROOM, order_classes, pack_classes
from musiclime_torch.views.page.sheet import lay_out_lyrics
from musiclime_torch.views.page.song import write_report
from musiclime_torch.views.page.sound import (
    CEILING,
    draw_outline,
    encode_sound,
    match_loudness,
    measure_loudness,
    measure_peaks,
)


@pytest.mark.parametrize("rate", [44100, 48000])
def test_loudness_is_that_of_the_standards_own_signals(rate):
    """EBU Tech 3341: stereo 1 kHz at -23 dBFS is -23 LUFS, and quiet parts around it don't count (cases 1, 2, 3)."""
    time = torch.arange(20 * rate) / rate
    tone = (2 * math.pi * 1000 * time).sin().repeat(2, 1)
    assert measure_loudness(10 ** (-23 / 20) * tone, rate) == pytest.approx(-23, abs=0.1)
    assert measure_loudness(10 ** (-33 / 20) * tone, rate) == pytest.approx(-33, abs=0.1)
    quiet, loud = 10 ** (-36 / 20) * tone[:, : 10 * rate], 10 ** (-23 / 20) * tone.repeat(1, 3)
    assert measure_loudness(torch.cat([quiet, loud, quiet], 1), rate) == pytest.approx(-23, abs=0.1)
    assert measure_loudness(torch.zeros(2, rate), rate) is None


@pytest.mark.parametrize("rate", [8000, 22050, 44100])
def test_matched_sounds_are_equally_loud_after_encoding_and_none_clips(rate):
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(2, 3 * rate, generator=generator)
    since = torch.arange(3 * rate) % (rate // 2) / rate
    hits = 0.9 * (2 * math.pi * 300 * since).sin().repeat(2, 1) * (-since / 0.02).exp()
    part = torch.where(torch.arange(3 * rate) < rate, 0.02 * noise, 0.0)
    sounds = [0.1 * noise, hits, part, torch.zeros(2, 3 * rate)]
    gains = match_loudness(sounds, rate)
    exact = [measure_loudness(sound * 10 ** (gain / 20), rate) for sound, gain in zip(sounds[:3], gains, strict=False)]
    assert max(exact) - min(exact) < 0.01
    levels = []
    for sound, gain in zip(sounds, gains, strict=True):
        assert float((sound * 10 ** (gain / 20)).abs().max()) <= 10 ** (CEILING / 20) + 1e-6
        _, data = encode_sound(sound, rate, gain)
        heard, at = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
        assert np.abs(heard).max() < 1
        levels.append(measure_loudness(torch.from_numpy(np.ascontiguousarray(heard.T)), at))
    assert levels.pop() is None
    assert gains[3] == 0
    assert max(levels) - min(levels) < 0.5
    assert max(abs(gain) for gain in gains[:3]) > 3, "there was something to match"


def look(audio: torch.Tensor, text: list[str]) -> torch.Tensor:
    """Decides by the first stem's second quarter, and by a word."""
    level = audio[:, :, 4000:8000].square().mean((1, 2)).sqrt()
    return torch.stack([10 * level + torch.tensor([2.0 * line.count("hold") for line in text]), 3 + 0 * level], 1)


@pytest.mark.parametrize("baseline", ["silence", "noise", "song"])
def test_versions_are_what_the_model_said_it_of(track, baseline):
    """The mix and the lyrics of a page, given to the model once more, get the outputs the page shows."""
    other = Track(0.1 * torch.randn(1, 1, 5000), ("vocals",), 8000, title="another")
    stand_in = other if baseline == "song" else baseline
    found = explain(look, track, sample_rate=8000, segments=4, n_samples=200, evidence=True, baseline=stand_in)
    versions = make_versions(found, track, other if baseline == "song" else None)
    # Noise instead of the loud moment is as loud: nothing flips this decision.
    assert [version.name for version in versions] == ["song", "keeping", "flipping"][: 2 if baseline == "noise" else 3]
    for version in versions:
        heard = versions[0].sound if version.sound is None else version.sound
        read = "".join(
            piece.text
            for line in lay_out_lyrics(track.lyrics, found.components)
            for piece in line.pieces
            if piece.column is None or version.kept[piece.column]
        )
        if version.sound is None and not version.kept[: found.components.n_audio].any():
            heard = torch.zeros_like(heard)
        output = look(heard[None], [read])[0, found.target]
        assert float(output) == pytest.approx(version.output, abs=1e-4)
    page = to_html(found, track, baseline=other if baseline == "song" else None)
    assert page.count("data:audio/mpeg") == sum(version.sound is not None for version in versions)


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


def test_packed_numbers_are_the_explanations_rounded(track):
    found = explain(Late(), track, segments=4, n_samples=300)
    packed = pack_classes(found)
    assert (packed.shown, packed.total) == (3, 3)
    assert packed.classes[0]["name"] == found.classes[found.target]
    for one in packed.classes:
        row, step = found.classes.index(one["name"]), 10.0 ** -one["decimals"]
        for key, numbers in (("values", found.attributions[row]), ("halves", found.half_width[row])):
            read = np.frombuffer(base64.b64decode(one[key]), "<i2") * step
            assert np.abs(read - numbers.numpy()).max() <= step / 2 + 1e-12
        bits = np.unpackbits(np.frombuffer(base64.b64decode(one["told"]), np.uint8), bitorder="little")
        assert bits[: len(found.components)].astype(bool).tolist() == found.significant[row].tolist()
        top = found.top_pairs(MOST_PAIRS, row)
        names = [[found.components.items[column].name for column in pair[:2]] for pair in one["pairs"]]
        assert names == [[first.name, second.name] for first, second, _, _ in top]
        for pair, (_, _, value, half) in zip(one["pairs"], top, strict=True):
            assert pair[2] == pytest.approx(value, rel=1e-3)
            assert pair[3] == pytest.approx(half, rel=0.05)


def test_of_hundreds_of_classes_the_target_its_foil_and_the_top_are_kept(track):
    class Many(torch.nn.Module):
        sample_rate, modalities, classes = 8000, ("audio",), tuple(f"c{number}" for number in range(600))

        def forward(self, audio: torch.Tensor) -> torch.Tensor:
            return audio.square().mean((1, 2))[:, None] * torch.arange(600.0)

    found = explain(Many(), track, target="c3", foil="c7", segments=4, n_samples=64)
    order = [found.classes[row] for row in order_classes(found)]
    assert order[:5] == ["c3 rather than c7", "c3", "c7", "c599", "c598"]
    packed = pack_classes(found)
    assert packed.total == 601
    assert len(str(packed.classes)) < 1.1 * ROOM
    assert [one["name"] for one in packed.classes] == order[: packed.shown]
    assert f"{packed.shown} of 601 classes are in this page" in to_html(found, track)


@settings(max_examples=60, deadline=None)
@given(
    text=st.text(st.sampled_from("ab' \n[]é愛-"), max_size=80), units=st.sampled_from(["word", "type", "line", "section"])
)
def test_cut_up_lyrics_join_to_the_text_and_every_span_is_its_components(text, units):
    lyrics = parse_lyrics(text)
    track = Track(torch.zeros(1, 1, 8000), ("all",), 8000, lyrics)
    components = list_components(track, 2, units, ("audio", "lyrics"))
    lines = lay_out_lyrics(lyrics, components)
    assert "\n".join("".join(piece.text for piece in line.pieces) for line in lines) == lyrics.text
    owned = dict.fromkeys(range(components.n_audio, len(components)), "")
    for line in lines:
        for piece in line.pieces:
            if piece.column is not None:
                owned[piece.column] += piece.text
    for column, spans in enumerate(components.lyric_spans, components.n_audio):
        assert owned[column] == "".join(lyrics.text[start:end].replace("\n", "") for start, end in spans)


@given(frames=st.integers(1, 60), steps=st.integers(1, 20))
def test_peaks_are_the_largest_of_each_stretch_and_none_is_lost(frames, steps):
    sound = torch.randn(2, frames, generator=torch.Generator().manual_seed(frames))
    peaks = measure_peaks(sound, steps)
    assert len(peaks) == min(frames, steps)
    assert float(peaks.max()) == float(sound.abs().max())
    assert (peaks > 0).all()
    if frames % steps == 0:
        assert torch.equal(peaks, sound.abs().amax(0).reshape(steps, -1).amax(1))
    numbers = [float(number) for number in re.findall(r"[\d.]+", draw_outline(peaks, float(peaks.max()), mirrored=True))]
    assert min(numbers) >= 0
    assert max(numbers[1::2]) <= 100
    assert max(numbers[::2]) == 1000


def test_models_that_only_hear_or_only_read_and_songs_without_lyrics(track):
    silent = Track(track.stems, track.stem_names, 8000, None)
    heard = explain(lambda audio: audio.square().mean((1, 2)), track, sample_rate=8000, modalities=("audio",),
                    output_kind="regression", segments=2, n_samples=64)  # fmt: skip
    page = to_html(heard, track)
    assert "The model does not read" in page
    assert "Evidence was not searched for" in page
    assert "This song came without lyrics" in to_html(explain(Late(), silent, segments=2, n_samples=64), silent)
    read = explain(lambda text: torch.tensor([[float(len(line))] for line in text]), track, modalities=("lyrics",),
                   output_kind="regression", n_samples=64)  # fmt: skip
    assert "The model does not hear" in to_html(read, track)


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
