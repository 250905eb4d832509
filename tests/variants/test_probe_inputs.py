"""A track made ready for a model: its rate, channels and windows, the form of its lyrics, and what is unseen."""

from dataclasses import replace

import pytest
import torch
from models import RATE, Additive, ById

from musiclime_torch.models.subject import Subject, describe_model
from musiclime_torch.song.track import Track
from musiclime_torch.variants.components import list_components
from musiclime_torch.variants.probe import UNREAD, Sources, prepare_sources
from musiclime_torch.variants.sound import mix
from musiclime_torch.variants.words import IdGates, StringGates, TokenGates

CPU = torch.device("cpu")


def describe(model: object, **given) -> Subject:
    return describe_model(model, **{"sample_rate": None, "classes": None, "output_kind": None, "modalities": None, **given})


@torch.no_grad()
def prepare(subject: Subject, track: Track, segments: int = 2, baseline="silence", lyrics_baseline=None) -> Sources:
    components = list_components(track, segments, "word", subject.modalities)
    return prepare_sources(subject, track, components, baseline, lyrics_baseline, 0, CPU)


def all_on(sources: Sources) -> torch.Tensor:
    return torch.ones(1, sources.n_stems, sources.n_segments, dtype=torch.bool)


def test_a_model_with_audio_alone_has_no_lyrics_and_the_other_way_round(track: Track):
    def level(audio: torch.Tensor) -> torch.Tensor:
        return audio.mean((1, 2))

    def count(text: list[str]) -> torch.Tensor:
        return torch.tensor([float(len(words)) for words in text])

    hearing = prepare(describe(level, sample_rate=RATE, modalities=("audio",)), track)
    assert (len(hearing.windows), hearing.lyrics, hearing.lyrics_baseline) == (1, None, None)
    reading = prepare(describe(count, modalities=("lyrics",)), track)
    assert (reading.windows, reading.n_stems, reading.n_segments) == ((), 0, 0)
    assert isinstance(reading.lyrics, StringGates)
    assert reading.lyrics_baseline == "gone"


@pytest.mark.parametrize(("model", "kind"), [(Additive(), TokenGates), (ById(), IdGates)])
def test_lyrics_come_in_the_form_the_model_reads(track: Track, model: torch.nn.Module, kind: type):
    sources = prepare(describe(model), track)
    assert isinstance(sources.lyrics, kind)
    assert sources.lyrics_baseline == "mask"
    assert sources.lyrics.owner.tolist() == [7, 0, 1, 2, 3, 4, 5, 6, 7]


def test_with_every_mask_on_the_song_is_heard_at_the_models_rate_and_channels(track: Track):
    stereo = replace(track, stems=torch.cat([track.stems, -0.5 * track.stems], 1))
    sources = prepare(describe(Additive()), stereo)
    (window,) = sources.windows
    assert torch.allclose(mix(window, all_on(sources))[0], stereo.stems.sum(0).mean(0, keepdim=True), atol=1e-6)
    slower = Additive()
    slower.sample_rate = RATE // 2
    (window,) = prepare(describe(slower), track).windows
    assert (window.channels, window.frames) == (1, track.stems.shape[-1] // 2)


def test_longer_songs_get_windows(track: Track):
    short = Additive()
    short.max_seconds = 0.8
    assert [window.frames for window in prepare(describe(short), track).windows] == [
        round(0.8 * RATE)
    ] * 4  # two in each second


@pytest.mark.parametrize("baseline", ["noise", "track"])
def test_removed_stems_become_their_baseline(track: Track, baseline: str):
    other = replace(track, stems=track.stems.flip(-1))
    sources = prepare(describe(Additive()), track, baseline=other if baseline == "track" else baseline)
    removed = mix(sources.windows[0], ~all_on(sources))[0]
    if baseline == "track":
        assert torch.allclose(removed, other.stems.sum(0), atol=1e-6)
    else:
        assert float(removed.std()) == pytest.approx(float(track.stems.sum(0).std()), rel=0.05)


def test_what_equals_its_baseline_or_owns_no_token_is_unseen_and_says_why(track: Track):
    stems = track.stems.clone()
    stems[0, :, :8100] = 0
    sources = prepare(describe(Additive(limit=6)), replace(track, stems=stems))
    assert sources.unseen == {0: "the stem is silent there", 10: UNREAD}
    same = prepare(describe(Additive()), track, baseline=track)
    assert same.unseen == dict.fromkeys(range(4), "the stem equals its baseline there")


def test_a_fade_that_reaches_into_a_silent_segment_is_seen(track: Track):
    """Half a cross-fade of the first segment's gate lies in the second."""
    stems = track.stems.clone()
    stems[0, :, :8010] = 0
    assert prepare(describe(Additive()), replace(track, stems=stems)).unseen == {}
