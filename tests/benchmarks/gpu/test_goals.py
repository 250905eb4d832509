"""What a card is held to, read from the parts' rows."""

from benchmarks.gpu.goals import judge_goals


def make_row(**given):
    plain = {"what": "explanation", "products": "bfloat16", "rows": 128, "how": "plain", "masks": 2048}
    return {**plain, "inside": 0.95, "peak GiB": 4.0, **given}


def verdicts(parts):
    return {row["goal"]: row["verdict"] for row in judge_goals(parts)}


def test_goals_are_met_missed_or_not_measured():
    original = [{"what": "paper's masks, bfloat16", "seconds": 12.5, "x loop": 39.0}]
    told = verdicts({"sweep": [make_row(), make_row(masks=4096, **{"peak GiB": 4.1})], "original": original})
    assert list(told.values()) == ["met", "met", "missed", "met"]
    assert set(verdicts({}).values()) == {"not measured"}


def test_the_best_way_of_running_counts_and_only_in_bfloat16():
    rows = [make_row(inside=0.7), make_row(inside=0.92), make_row(inside=0.99, products="float32")]
    (goal, *_) = judge_goals({"sweep": rows})
    assert (goal["figure"], goal["verdict"]) == (0.92, "met")


def test_memory_is_compared_where_nothing_but_the_masks_differs():
    rows = [make_row(), make_row(masks=4096, rows=64, **{"peak GiB": 9.0}), make_row(masks=4096, **{"peak GiB": 5.0})]
    goal = judge_goals({"sweep": rows})[-1]
    assert (goal["figure"], goal["verdict"]) == (1.25, "missed")


def test_rows_that_were_left_out_are_no_figures():
    left_out = {"what": "explanation", "products": "bfloat16", "rows": 16, "how": "plain", "masks": 2048, "note": "no time"}
    assert set(verdicts({"sweep": [left_out]}).values()) == {"not measured"}
