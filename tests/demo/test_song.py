"""Laws of the demonstration songs: the same plan is the same song, and a swap changes what it says and nothing else."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from musiclime_torch.demo.plan import (
    FILLER,
    HALF_BARS,
    SAMPLE_RATE,
    STEMS,
    TAGS,
    Cause,
    SongPlan,
    find_causes,
    find_column,
    locate_cause,
    plan_song,
    swap_background,
    swap_cause,
    without_cause,
)
from musiclime_torch.demo.song import label, make_track, render_stems, write_lyrics

CAUSES = [(name, kind) for name, tag in TAGS.items() for kind in tag.kinds]
SEEDS = range(500, 520)


@pytest.fixture(scope="module")
def plan() -> SongPlan:
    """A song with a cue on every stem."""
    return plan_song(41, {"drum fill", "bass drop", "lullaby", "anthem"})


def outside(plan: SongPlan, cause: Cause, sound: np.ndarray) -> np.ndarray:
    """All samples but those of the cause's stem and half-bar."""
    kept = np.ones(sound.shape, dtype=bool)
    kept[STEMS.index(cause.stem), cause.place * plan.half_bar : (cause.place + 1) * plan.half_bar] = False
    return sound[kept]


def test_same_plan_same_samples(plan):
    assert np.array_equal(render_stems(plan), render_stems(plan_song(41, {"anthem", "bass drop", "lullaby", "drum fill"})))


def test_seeds_differ():
    assert not np.array_equal(render_stems(plan_song(1, ()))[:, :100_000], render_stems(plan_song(2, ()))[:, :100_000])


def test_the_mix_is_the_sum_of_stems_and_never_clips():
    for seed in SEEDS:
        stems = render_stems(plan_song(seed, set(TAGS)))
        assert np.abs(stems).sum(0).max() < 1


def test_songs_have_the_tags_they_are_planned_with():
    for seed in SEEDS:
        tags = set(np.random.default_rng(seed).choice(list(TAGS), seed % 4, replace=False))
        assert plan_song(seed, tags).tags == tags


def test_drawn_songs_have_up_to_two_tags_and_all_come_up():
    plans = [plan_song(seed) for seed in range(300)]
    assert {len(plan.tags) for plan in plans} == {0, 1, 2}
    assert frozenset.union(*(plan.tags for plan in plans)) == set(TAGS)


@pytest.mark.parametrize(
    ("tag", "kind"), [("anthem", "audio"), ("anthem", "word"), ("lullaby", "audio"), ("lullaby", "word")]
)
def test_each_half_of_an_and_is_often_there_without_the_tag(tag, kind):
    plans = [plan_song(seed) for seed in range(300)]
    halves = [plan for plan in plans if tag not in plan.tags and any(cause.kind == kind for cause in find_causes(plan, tag))]
    assert len(halves) > 60


def test_labels_are_in_the_order_of_the_tags(plan):
    assert label(plan) == tuple(name in {"drum fill", "bass drop", "lullaby", "anthem"} for name in TAGS)


def test_a_tag_has_one_cause_of_each_of_its_kinds():
    for seed in SEEDS:
        plan = plan_song(seed, set(TAGS))
        assert [(cause.tag, cause.kind) for cause in plan.causes] == CAUSES


def test_no_two_causes_share_a_place():
    for seed in SEEDS:
        places = [(cause.kind, cause.place) for cause in plan_song(seed, set(TAGS)).causes]
        assert len(places) == len(set(places))


def test_ordinary_words_cause_nothing():
    assert not set(FILLER) & {word for tag in TAGS.values() for word in tag.words}


def test_a_song_without_word_causes_has_ordinary_words_only():
    plan = replace(plan_song(8, ()), causes=())
    assert set(plan.words) <= set(FILLER)


@pytest.mark.parametrize(("tag", "kind"), [pair for pair in CAUSES if pair[1] == "audio"])
def test_removing_a_cue_changes_its_stem_and_half_bar_only(tag, kind):
    plan = plan_song(17, {tag})
    before, after = render_stems(plan), render_stems(without_cause(plan, tag, kind))
    cause = find_causes(plan, tag)[0]
    assert np.array_equal(outside(plan, cause, before), outside(plan, cause, after))
    assert not np.array_equal(before, after)
    assert write_lyrics(plan) == write_lyrics(without_cause(plan, tag, kind))


@pytest.mark.parametrize(("tag", "kind"), [pair for pair in CAUSES if pair[1] == "word"])
def test_removing_a_word_changes_one_word_and_no_sample(tag, kind):
    plan = plan_song(17, {tag})
    swapped = without_cause(plan, tag, kind)
    changed = [number for number, pair in enumerate(zip(plan.words, swapped.words, strict=True)) if pair[0] != pair[1]]
    assert changed == [find_causes(plan, tag)[-1].place]
    assert swapped.words[changed[0]] in FILLER
    assert np.array_equal(render_stems(plan), render_stems(swapped))


@pytest.mark.parametrize(("tag", "kind"), CAUSES)
def test_removing_any_cause_takes_the_tag_and_no_other(tag, kind):
    plan = plan_song(23, set(TAGS))
    assert without_cause(plan, tag, kind).tags == set(TAGS) - {tag}


def test_swapping_a_cue_on_the_same_stem_changes_its_half_bar_only():
    plan = replace(plan_song(5, {"synth solo"}), causes=find_causes(plan_song(5, {"synth solo"}), "synth solo"))
    swapped = swap_cause(plan, "synth solo", "audio", "lullaby")
    before, after = render_stems(plan), render_stems(swapped)
    assert np.array_equal(outside(plan, plan.causes[0], before), outside(plan, plan.causes[0], after))
    assert (find_column(plan.causes[0]), swapped.tags) == (find_column(swapped.causes[0]), set())


def test_swapping_a_word_turns_one_tag_into_another():
    plan = plan_song(6, {"love song"})
    assert swap_cause(plan, "love song", "word", "heartbreak").tags == {"heartbreak"}


def test_a_swap_that_makes_no_sense_is_refused(plan):
    with pytest.raises(ValueError, match="choose another tag"):
        swap_cause(plan, "anthem", "word", "drum fill")
    with pytest.raises(ValueError, match="no audio cause of 'synth solo'"):
        without_cause(plan, "synth solo", "audio")
    with pytest.raises(ValueError, match="can't be tagged polka"):
        plan_song(0, {"polka"})


def test_a_new_background_keeps_the_tags_and_their_causes(plan):
    other = swap_background(plan, 99)
    kept = [cause for cause in plan.causes if cause.tag in plan.tags]
    assert other.tags == plan.tags
    assert [cause for cause in other.causes if cause.tag in plan.tags] == kept
    assert [other.words[cause.place] for cause in kept if cause.word] == [cause.word for cause in kept if cause.word]


def test_a_new_background_changes_every_stem_and_most_words(plan):
    other = swap_background(plan, 99)
    before, after = render_stems(plan), render_stems(other)
    assert all(not np.array_equal(first, second) for first, second in zip(before, after, strict=True))
    assert np.mean([first != second for first, second in zip(plan.words, other.words, strict=True)]) > 0.8


@pytest.mark.parametrize(("tag", "kind"), [pair for pair in CAUSES if pair[1] == "audio"])
def test_a_cue_is_where_the_plan_says(tag, kind):
    plan = plan_song(31, {tag})
    cause = find_causes(plan, tag)[0]
    changed = (render_stems(plan) != render_stems(without_cause(plan, tag, kind))).nonzero()
    start, end = (round(seconds * SAMPLE_RATE) for seconds in locate_cause(plan, cause))
    assert set(changed[0]) == {STEMS.index(TAGS[tag].stem)}
    assert start <= changed[1].min() < start + 100
    assert end - 2000 < changed[1].max() < end


def test_spans_give_the_words_back():
    for seed in SEEDS:
        plan = plan_song(seed)
        lyrics = write_lyrics(plan)
        assert tuple(lyrics.text[word.start : word.end] for word in lyrics.words) == plan.words


def test_lines_and_sections_are_laid_out_in_the_text():
    plan = plan_song(77)
    lyrics = write_lyrics(plan)
    lines = [lyrics.text[line.start : line.end] for line in lyrics.lines]
    sections = [lyrics.text[section.start : section.end] for section in lyrics.sections]
    assert lines == [line for line in lyrics.text.split("\n") if line]
    assert sections == lyrics.text.split("\n\n")
    assert [word.line for word in lyrics.words] == [n for n, length in enumerate(plan.line_lengths) for _ in range(length)]


def test_words_are_sung_one_after_the_other_within_the_song():
    plan = plan_song(78)
    times = [time for word in write_lyrics(plan).words for time in (word.start_seconds, word.end_seconds)]
    assert times == sorted(times)
    assert times[0] == 0
    assert times[-1] == plan.frames / SAMPLE_RATE


def test_a_track_has_what_the_plan_has(plan):
    track = make_track(plan)
    assert np.array_equal(track.stems[:, 0].numpy(), render_stems(plan))
    assert (track.stem_names, track.sample_rate, track.stems.shape[1]) == (STEMS, SAMPLE_RATE, 1)
    assert track.lyrics == write_lyrics(plan)
    assert track.stems.shape[-1] % HALF_BARS == 0


def test_columns_are_those_of_the_pipeline(plan):
    components = pytest.importorskip("musiclime_torch.variants.components").list_components(
        make_track(plan), 10, "word", ("audio", "lyrics")
    )
    for cause in plan.causes:
        item = components.items[find_column(cause)]
        assert (item.stem, item.word) == (cause.stem, cause.word)
        assert item.start == pytest.approx(locate_cause(plan, cause)[0])


def test_global_random_states_are_not_touched():
    script = """
import random, numpy as np, torch
from musiclime_torch.demo.plan import plan_song, swap_background
from musiclime_torch.demo.song import make_track
def states():
    return random.getstate(), np.random.get_state()[1].tobytes(), torch.get_rng_state().numpy().tobytes()
before = states()
make_track(swap_background(plan_song(3), 4))
assert states() == before
"""
    subprocess.run([sys.executable, "-c", script], check=True)
