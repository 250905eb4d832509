"""The paper's procedure in `benchmarks/accuracy/attempts.py`: word types' attributions go to the words."""

from types import SimpleNamespace

import torch

from benchmarks.accuracy import attempts
from musiclime_torch.variants.components import list_components


def run_paper(track, units, monkeypatch):
    """With a stand-in for `explain`: it gives a component its column, those of an odd one negative."""
    asked = {}

    def explain(model, track, **settings):
        asked.update(settings)
        components = list_components(track, 2, settings["units"], ("audio", "lyrics"))
        values = torch.arange(1.0, len(components) + 1)
        values[1::2] *= -1
        return SimpleNamespace(
            components=components, attributions={5: values}, target=5, audio_passes=98, lyrics_passes=97
        )  # fmt: skip

    monkeypatch.setattr(attempts, "explain", explain)
    components = list_components(track, 2, units, ("audio", "lyrics"))
    case = SimpleNamespace(model=None, track=track, target=5, units=units, components=components)
    return attempts.run_paper(case, None, 100, 3), asked


def test_each_word_gets_what_its_type_got_and_only_what_is_positive(track, monkeypatch):
    outcome, asked = run_paper(track, "word", monkeypatch)
    # Four cells, then hold, me, now, love, is, my: the second love is the first one's type.
    assert outcome.result.attributions.tolist() == [1, 0, 3, 0, 5, 0, 7, 0, 9, 0, 0]
    assert outcome.passes == (98, 97)
    assert (asked["units"], asked["n_samples"], asked["seed"], asked["target"]) == ("type", 98, 3, 5)
    assert (asked["weights"], asked["ridge"], asked["space"]) == ("paper", 1.0, "probability")


def test_a_repeated_word_gets_it_at_every_place(track, monkeypatch):
    lines = track.lyrics.text.replace("now", "love")
    assert lines.count("love") == 3
    from musiclime_torch.song.lyrics.lyrics import parse_lyrics
    from musiclime_torch.song.track import Track

    sung = Track(track.stems, track.stem_names, track.sample_rate, parse_lyrics(lines))
    outcome, _ = run_paper(sung, "word", monkeypatch)
    # hold, me, love are columns 4 to 6 of the types.
    assert outcome.result.attributions[4:].tolist() == [5, 0, 7, 7, 0, 9, 7]


def test_lines_stay_lines(track, monkeypatch):
    outcome, asked = run_paper(track, "line", monkeypatch)
    assert asked["units"] == "line"
    assert outcome.result.attributions.tolist() == [1, 0, 3, 0, 5, 0]
