"""`benchmarks/worlds/rules.py` and the songs planted for it: the rules hang on their causes and on nothing else."""

import pytest
import torch
from hypothesis import given, strategies as st

from benchmarks.worlds import known_causes as causes, rules
from musiclime_torch.demo.bundle import load_demo_model
from musiclime_torch.models.contract import TokenBatch
from musiclime_torch.models.tokens import MASK, PAD, UNKNOWN

VOCABULARY = {PAD: 0, MASK: 1, UNKNOWN: 2, "a": 3, "b": 4, "c": 5, "d": 6}


def read(model, ids, attended=None):
    ids = torch.tensor([ids])
    attended = torch.ones_like(ids, dtype=torch.bool) if attended is None else torch.tensor([attended])
    return float(model.encode_text(TokenBatch(model.embed_text(ids), attended)))


def quote_slowly(ids, line):
    """The most of the line's words that stand right at any offset, the line hanging over either end too."""
    best = max(
        sum(0 <= start + place < len(ids) and ids[start + place] == word for place, word in enumerate(line))
        for start in range(-len(line), len(ids) + 1)
    )
    return min(max((best - len(line) + 2) / 2, 0), 1)


@given(st.lists(st.integers(0, 6), min_size=1, max_size=12), st.lists(st.sampled_from("abcd"), min_size=3, max_size=5))
def test_quotes_are_counted_as_a_loop_counts_them(ids, line):
    model = rules.Rules(VOCABULARY, line)
    assert read(model, ids) == pytest.approx(quote_slowly(ids, [VOCABULARY[word] for word in line]))


def test_a_rule_can_be_asked_where_it_is():
    assert next(rules.Rules(VOCABULARY, "abcd").parameters()).shape == (4, len(VOCABULARY))


def test_words_that_may_not_be_attended_to_are_no_quote():
    model = rules.Rules(VOCABULARY, "abcd")
    assert read(model, [3, 4, 5, 6]) == 1
    assert read(model, [3, 4, 5, 6], [True, True, True, False]) == 0.5
    assert read(model, [3, 4, 5, 6], [True, False, True, False]) == 0


def test_a_piece_is_bright_by_its_level_between_the_two_frequencies():
    model, time = rules.Rules(VOCABULARY, "abc"), torch.arange(16000) / 16000
    loud = 10 ** (-30 / 20)
    inside, outside = (loud * torch.sin(2 * torch.pi * hertz * time) for hertz in (6000, 1000))
    half = torch.where(time < 0.5, inside, 0.0)
    heard = model.encode_audio(torch.stack([inside, outside, half, inside / 20])[:, None])[:, 0]
    assert heard.tolist() == pytest.approx([1, 0, 0.5, 0], abs=1e-3)


@pytest.mark.parametrize("kind", ["stem", "line", "quote"])
@pytest.mark.parametrize("number", [0, 3, 9])
def test_a_song_of_a_rule_hangs_on_its_causes_alone(kind, number):
    case = causes.plant(kind, load_demo_model(), number)
    game = causes.make_game(case, "cpu")
    masks = torch.ones(4, game.width, dtype=torch.bool)
    planted = list(case.causes)
    masks[1, planted] = False
    masks[2:] = False
    masks[2, planted] = True
    whole, without, alone, empty = game.answer(masks)[:, game.target].tolist()
    assert min(whole, alone) > 2.5
    assert max(without, empty) < -2.5


def test_every_moment_of_the_stem_counts_and_no_other_cell_does():
    case = causes.plant("stem", load_demo_model(), 7)
    game = causes.make_game(case, "cpu")
    masks = torch.ones(1 + game.d_audio, game.width, dtype=torch.bool)
    masks[1:, : game.d_audio] ^= torch.eye(game.d_audio, dtype=torch.bool)
    outputs = game.answer(masks)[:, game.target]
    lost = outputs[0] - outputs[1:]
    planted = lost[list(case.causes)]
    assert 0.45 < float(planted.min()) <= float(planted.max()) < 1.0
    assert float(lost.abs().sum() - planted.sum()) < 0.1


def test_most_words_of_a_quoted_line_are_needed():
    case = causes.plant("quote", load_demo_model(), 4)
    game = causes.make_game(case, "cpu")
    masks = torch.ones(3, game.width, dtype=torch.bool)
    masks[1, case.causes[0]] = False
    masks[2, list(case.causes[:2])] = False
    assert game.answer(masks)[:, game.target].tolist() == pytest.approx([4, 0, -4])
