"""Peers for music language models: permutations give Shapley values, and Captum's defaults don't hear."""

import torch

from benchmarks.tools.llm_peers import run_captum, run_mm_shap
from benchmarks.tools.peers import Oracle
from musiclime_torch.demo.questions import (
    QUESTIONS,
    find_reasons,
    find_short_column,
    load_demo_answering,
    make_short_track,
    plan_fresh,
    render_short,
)


def test_permutations_share_a_product_between_its_factors():
    weights = torch.tensor([1.0, -2.0, 0.5, 0.0, 3.0], dtype=torch.float64)

    def answer(masks: torch.Tensor) -> torch.Tensor:
        on = masks.double()
        return (on @ weights + 4 * on[:, 1] * on[:, 3])[:, None]

    game = Oracle(answer, 3, 2, 0)
    # There and back, the one factor comes last as often as the other: a pair is shared exactly by each permutation.
    values = run_mm_shap(game, 2, seed=0).attributions
    torch.testing.assert_close(values, weights + torch.tensor([0.0, 2.0, 0.0, 2.0, 0.0]).double())
    assert sum(game.asked) == 2 * 2 * game.width


def test_captum_hears_in_one_pass_and_not_with_its_defaults():
    question = "Is there a synth solo?"
    model, plan = load_demo_answering(question), plan_fresh(2_500_000, question, True)
    (cause,) = find_reasons(plan, question)
    lyrics, stems = make_short_track(plan).lyrics, render_short(plan)
    deaf, passes = run_captum(model, stems, lyrics, None, 0)
    hearing, _ = run_captum(model, stems, lyrics, None, 0, forward_in_tokens=False)
    assert passes == len(hearing) + 1
    assert (deaf[:16] == 0).all()
    assert int(hearing.argmax()) == find_short_column(cause)
    assert set(QUESTIONS[question]) == {("synth solo", "audio")}
