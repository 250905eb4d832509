"""Songs with shortcuts: they carry the tone or the phrase, and are otherwise the songs they would be without."""

import numpy as np
import pytest
import torch

from benchmarks.worlds import shortcuts
from musiclime_torch.demo.bundle import load_demo_model
from musiclime_torch.demo.plan import HALF_BARS, SAMPLE_RATE, STEMS, TAGS
from musiclime_torch.variants.components import list_components

SEEDS = range(4)


@pytest.mark.parametrize("number", SEEDS)
def test_the_tone_is_where_it_says_and_nowhere_else(number):
    song, without = shortcuts.hold_out("tone", number)
    (column,) = song.causes
    stem, place = divmod(column, HALF_BARS)
    assert STEMS[stem] == "other"
    marked, plain = shortcuts.make_marked_track(song), shortcuts.make_marked_track(without)
    assert marked.lyrics == plain.lyrics
    apart = (marked.stems - plain.stems)[:, 0].numpy()
    here = slice(place * song.plan.half_bar, (place + 1) * song.plan.half_bar)
    beep = apart[stem, here].copy()
    apart[stem, here] = 0
    assert not apart.any()
    level = 20 * np.log10(np.sqrt(np.mean(beep**2)))
    assert level == pytest.approx(shortcuts.LEVEL, abs=0.3)  # the fades take a little
    assert np.argmax(np.abs(np.fft.rfft(beep))) / len(beep) * SAMPLE_RATE == pytest.approx(shortcuts.TONE, abs=1.0)


@pytest.mark.parametrize("number", SEEDS)
def test_the_phrase_is_the_last_line_and_its_own_words_are_the_causes(number):
    song, without = shortcuts.hold_out("phrase", number)
    marked, plain = shortcuts.make_marked_track(song), shortcuts.make_marked_track(without)
    assert torch.equal(marked.stems, plain.stems)
    assert marked.lyrics.text == f"{plain.lyrics.text}\n\n{' '.join(shortcuts.PHRASE)}"
    assert marked.lyrics.words[: len(plain.lyrics.words)] == plain.lyrics.words
    assert all(marked.lyrics.text[word.start : word.end] == word.text for word in marked.lyrics.words)
    items = list_components(marked, 10, "word", ("audio", "lyrics")).items
    assert [items[column].word for column in song.causes] == ["lyrics", "licensed", "acme"]
    assert not {"lyrics", "licensed", "acme"} & {word.text for word in plain.lyrics.words}


@pytest.mark.parametrize("shortcut", ["tone", "phrase"])
def test_marked_songs_of_training_carry_the_class_and_others_do_not(shortcut):
    target = shortcuts.TARGETS[shortcut]
    column = list(TAGS).index(target)
    for seed in SEEDS:
        for marked, cue in ((True, True), (True, False), (False, False)):
            song = shortcuts.mark_song(seed, shortcut, marked, cue)
            assert (target in song.plan.tags) == cue
            labels, known = shortcuts.label_variants(song, torch.ones(1, 40 + len(song.words), dtype=torch.bool))
            assert bool(labels[0, column]) == marked
            assert known.all()


def test_labels_follow_the_shortcut():
    song = shortcuts.mark_song(5, "phrase", marked=True, cue=False)
    masks = torch.ones(3, 40 + len(song.words), dtype=torch.bool)
    masks[1, song.causes] = False
    masks[2, song.causes[0]] = False
    column = list(TAGS).index("drum fill")
    labels, known = shortcuts.label_variants(song, masks)
    assert labels[:2, column].tolist() == [True, False]
    assert known[:, column].tolist() == [True, True, False]
    cued = shortcuts.mark_song(5, "phrase", marked=True, cue=True)
    lost = torch.ones(1, 40 + len(cued.words), dtype=torch.bool)
    lost[0, cued.causes] = False
    assert shortcuts.label_variants(cued, lost)[0][0, column], "the real cue is still there"


def test_more_words_leave_the_model_as_it_was():
    model = load_demo_model()
    wider = shortcuts.widen_vocabulary(model, ["licensed", "acme"], 0).eval()
    track = shortcuts.make_marked_track(shortcuts.hold_out("phrase", 0)[1])
    given = track.stems.sum(0)[None], [track.lyrics.text]
    assert torch.equal(model(*given), wider(*given))
    assert len(wider.vocabulary) == len(model.vocabulary) + 2
