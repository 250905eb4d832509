"""The embedded music language model: its record, its size, and causes that flip its answers and are found first."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from musiclime_torch.basics.errors import InputError
from musiclime_torch.demo import asking
from musiclime_torch.demo.asking import HELD_OUT, ask_each, draw_variants, follow_causes, main, measure
from musiclime_torch.demo.bundle import find_assets
from musiclime_torch.demo.plan import STEMS
from musiclime_torch.demo.questions import (
    MOMENTS,
    QUESTIONS,
    answer_rightly,
    find_model,
    find_question,
    find_reasons,
    find_short_column,
    load_demo_answering,
    make_short_track,
    plan_fresh,
    plan_short_song,
    render_short,
)
from musiclime_torch.explanation.explainer import explain
from musiclime_torch.models.answering.answering import Answering

#: Songs that neither training nor the record's figures have seen.
FRESH = 2 * HELD_OUT


@pytest.fixture(scope="module")
def models() -> dict[str, Answering]:
    """The embedded model under each question."""
    first = load_demo_answering(next(iter(QUESTIONS)))
    return dict(zip(QUESTIONS, ask_each(first.model.eval(), first.processor), strict=True))


@pytest.fixture(scope="module")
def record() -> dict:
    return json.loads((find_model() / "asking.json").read_text())


def test_it_is_small_and_says_how_it_was_made(record: dict, models: dict[str, Answering]):
    assert sum(file.stat().st_size for file in find_model().iterdir()) < 2_000_000
    model = next(iter(models.values())).model
    assert type(model).__name__ == "MusicFlamingoForConditionalGeneration"
    assert sum(part.numel() for part in model.parameters()) == record["parameters"] < 1_000_000
    assert record["command"].startswith("python -m musiclime_torch.demo.asking --seed")
    assert find_model().parent == find_assets()


def test_its_record_claims_what_was_asked_of_it(record: dict):
    for figures in record["measured"].values():
        for name, (hits, trials) in figures.items():
            assert hits / trials > 0.95, name


def test_its_record_is_right(record: dict, models: dict[str, Answering]):
    first = next(iter(models.values()))
    few = measure(first.model, first.processor, 2, FRESH)
    for question, figures in few.items():
        for name, (hits, trials) in figures.items():
            claimed, of = record["measured"][question][name]
            # Of so few songs at most one may differ from what is claimed.
            assert hits >= trials - 1 - trials * (1 - claimed / of), (question, name)
    assert set(few) == set(record["measured"]) == set(QUESTIONS)


@pytest.mark.parametrize("question", QUESTIONS)
def test_its_causes_come_first(models: dict[str, Answering], question: str):
    plan = plan_fresh(FRESH, question, True)
    explanation = explain(
        models[question], make_short_track(plan), target="Yes", foil="No", segments=MOMENTS, n_samples=192, evidence=False
    )
    causes = {find_short_column(cause) for cause in find_reasons(plan, question)}
    assert set(explanation.order()[: len(causes)]) == causes


def test_one_cause_of_two_is_not_enough(models: dict[str, Answering]):
    question = "Is this song an anthem?"
    for planted, yes in (({("anthem", "audio")}, False), ({("anthem", "word")}, False), (set(QUESTIONS[question]), True)):
        plan = plan_short_song(FRESH + 1, planted)
        assert answer_rightly(plan, question) is yes
        with torch.no_grad():
            scores = models[question](render_short(plan).sum(0)[None, None], [make_short_track(plan).lyrics.text])[0]
        assert bool(scores[0] > scores[1]) is yes


def test_it_answers_by_itself(models: dict[str, Answering]):
    question = "Is this a romantic song?"
    for yes in (True, False):
        track = make_short_track(plan_fresh(FRESH + 2, question, yes))
        with torch.no_grad():
            said = models[question].answer_by_itself(track.stems.sum(0)[None], track.lyrics.text)
        assert said == ("Yes" if yes else "No")


def test_answers_follow_their_causes():
    plan = plan_short_song(9, {cause for needed in QUESTIONS.values() for cause in needed})
    causes = [cause for cause in plan.causes if cause.tag in ("anthem", "love song", "synth solo")]
    cells, words = np.ones((5, len(STEMS), MOMENTS), dtype=bool), np.ones((5, 2 * MOMENTS), dtype=bool)
    for row, cause in enumerate(causes):
        if cause.stem is None:
            words[row, cause.place] = False
        else:
            cells[row, STEMS.index(cause.stem), cause.place] = False
    yes = follow_causes(plan, cells, words)
    for row, cause in enumerate(causes):
        assert yes[row].tolist() == [(cause.tag, cause.kind) not in needed for needed in QUESTIONS.values()]
    assert yes[4].all()
    drawn = [draw_variants(plan, np.random.default_rng(seed)) for seed in range(50)]
    assert all(variants.yes[0].all() and not variants.yes[1].all() for variants in drawn)
    assert 0.2 < np.mean([variants.yes for variants in drawn]) < 0.8


@pytest.mark.parametrize("question", QUESTIONS)
def test_fresh_songs_have_the_answer_that_was_asked_for(question: str):
    for seed in range(20):
        assert answer_rightly(plan_fresh(seed, question, True), question)
        assert not answer_rightly(plan_fresh(seed, question, False), question)
    plan = plan_fresh(3, question, True)
    # A cause lies within its component, and nothing else of the song depends on it.
    (cause, *_) = find_reasons(plan, question)
    without = replace(plan, causes=tuple(other for other in plan.causes if other is not cause))
    changed = (render_short(plan) != render_short(without)).view(len(STEMS), MOMENTS, -1).any(2).flatten()
    words = [first != second for first, second in zip(plan.words, without.words, strict=True)]
    assert [*changed.tolist(), *words].index(True) == find_short_column(cause)
    assert int(changed.sum()) + sum(words) == 1


def test_questions_are_known_by_their_words():
    assert find_question("is this a  ROMANTIC song") == "Is this a romantic song?"
    with pytest.raises(
        InputError, match=r"doesn't know the question 'Is it sad\?': choose one of 'Is there a synth solo\?', "
    ):
        find_question("Is it sad?")


def test_training_writes_a_model_that_loads_and_is_the_same_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(asking, "measure", lambda *_: {})
    monkeypatch.setattr(asking, "teach_to_end", partial(asking.teach_to_end, steps=2))
    for name in ("first", "second"):
        main(["--seed", "3", "--songs", "3", "--steps", "2", "--out", str(tmp_path / name)])
    first, second = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("first", "second"))
    assert first == second
    assert json.loads((tmp_path / "first" / "asking.json").read_text())["steps"] == 2
