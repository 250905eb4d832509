"""Outputs as values: spaces against their formulas, the contrast, and what isn't a number."""

import math
from dataclasses import replace

import pytest
import torch
from models import Additive

from musiclime_torch.basics.errors import InputError
from musiclime_torch.models.subject import Subject, describe_model
from musiclime_torch.variants.scale import (
    ENDS,
    Scale,
    check_means,
    check_outputs,
    list_spaces,
    pick_space,
    pick_values,
    settle_scale,
    to_space,
    to_values,
)


def describe(**given) -> Subject:
    return describe_model(Additive(), sample_rate=None, modalities=None, **{"classes": None, "output_kind": None, **given})


OUTPUTS = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("kind", ["logits", "multilabel", "probabilities", "regression", "embedding"])
def test_every_kind_has_a_first_space_and_refuses_those_it_lacks(kind: str):
    offered = list_spaces(kind, 3)
    assert pick_space(None, kind) == offered[0]
    for space in ("logit", "log-odds", "probability", "raw"):
        if space in offered:
            assert pick_space(space, kind) == space
        elif kind != "multilabel":  # whose log-odds are its logits
            with pytest.raises(InputError, match=f"outputs that are {kind} can't be shown as {space}: use ") as raised:
                pick_space(space, kind)
            assert raised.value.argument == "space"


def test_a_single_logit_has_one_space():
    assert list_spaces("logits", 1) == ("logit",)
    with pytest.raises(InputError, match="give output_kind multilabel") as raised:
        to_space(torch.ones(2, 1), "logits", "probability", torch.ones(1))
    assert raised.value.argument == "output_kind"


def test_spaces_are_what_their_formulas_say():
    p, song = OUTPUTS.double().softmax(1), OUTPUTS[0]
    close = torch.testing.assert_close
    close(to_space(OUTPUTS, "logits", "logit", song), OUTPUTS.double(), rtol=0, atol=0)
    close(to_space(OUTPUTS, "logits", "probability", song), p)
    close(to_space(OUTPUTS, "logits", "log-odds", song), torch.log(p / (1 - p)))
    close(to_space(OUTPUTS, "multilabel", "probability", song), OUTPUTS.double().sigmoid())
    close(to_space(p.float(), "probabilities", "log-odds", song), torch.log(p / (1 - p)), rtol=1e-5, atol=1e-5)
    cosines = torch.nn.functional.normalize(OUTPUTS.double(), dim=1) @ torch.nn.functional.normalize(song.double(), dim=0)
    close(to_space(OUTPUTS, "embedding", "raw", song)[:, 0], cosines)


def test_log_odds_of_a_decision_that_is_certain_stay_finite_and_exact():
    odds = to_space(torch.tensor([[800.0, 0.0, 0.0]]), "logits", "log-odds", torch.zeros(3))[0]
    assert float(odds[0]) == pytest.approx(800 - math.log(2), rel=1e-12)
    assert odds[1:].tolist() == pytest.approx([-800.0, -800.0])
    certain = to_space(torch.tensor([[1.0, 0.0]]), "probabilities", "log-odds", torch.zeros(2))
    assert torch.isfinite(certain).all()


def test_the_contrast_is_the_last_value_in_any_number_of_dimensions():
    scale = Scale("logits", "logit", OUTPUTS[0], ("a", "b", "c", "a rather than c"), 0, 2)
    values = to_values(scale, OUTPUTS.reshape(5, 1, 3).expand(5, 2, 3))
    assert values.shape == (5, 2, 4)
    assert torch.equal(values[..., -1], values[..., 0] - values[..., 2])
    assert scale.column == -1
    assert scale.on("probability").space == "probability"


def test_a_scale_is_settled_from_the_outputs_on_the_song():
    ends = torch.tensor([[0.0, 2.0, 1.0], [0.0, 0.0, 0.0]])
    scale = settle_scale(describe(), ends, "logit", None, None)
    assert (scale.target, scale.foil, scale.column, scale.classes) == (1, None, 1, ("calm", "wild", "sad"))
    contrast = settle_scale(describe(), ends, "logit", "sad", 0)
    assert (contrast.target, contrast.foil, contrast.classes[-1]) == (2, 0, "sad rather than calm")
    with pytest.raises(InputError, match="the foil 'wild' is the target itself") as raised:
        settle_scale(describe(), ends, "logit", None, "wild")
    assert raised.value.argument == "foil"
    with pytest.raises(InputError, match="returned 2 outputs for 3 class names"):
        settle_scale(describe(), ends[:, :2], "logit", None, None)


def test_outputs_without_names_are_numbered():
    unnamed = Additive()
    unnamed.classes = None
    subject = describe_model(unnamed, sample_rate=None, classes=None, output_kind=None, modalities=None)
    assert settle_scale(subject, torch.zeros(2, 2), "logit", None, None).classes == ("output 0", "output 1")
    assert settle_scale(subject, torch.zeros(2, 1), "logit", None, None).classes == ("output",)
    similar = settle_scale(describe(output_kind="embedding"), torch.ones(2, 4), "raw", None, None)
    assert similar.classes == ("similarity to the song",)


@pytest.mark.parametrize(
    ("row", "first", "named"),
    [
        (0, ENDS, "on the song itself"),
        (1, ENDS, "on the empty song"),
        (2, ENDS, "on variant 0"),
        (0, (), "on variant 0"),
        (3, (), "on variant 3"),
    ],
)
def test_the_first_variant_without_a_number_is_named_as_what_it_is(row: int, first: tuple[str, ...], named: str):
    values = torch.zeros(4, 2)
    values[row, 1] = torch.inf
    with pytest.raises(InputError, match=rf"returned inf for class 'b' {named} \(1 of 4 variants\)"):
        check_outputs(values, ("a", "b"), "m", first)
    check_outputs(torch.zeros(4, 2), ("a", "b"), "m", first)


def test_a_grid_with_one_number_missing_is_named_as_pairs_of_masks():
    grid = torch.zeros(3, 4, 2)
    check_means(grid.mean((0, 1)), ("a", "b"), "m")
    grid[1, 2, 1] = torch.nan
    with pytest.raises(InputError, match="no finite outputs for class 'b' on some masked sound with some masked lyrics"):
        check_means(grid.mean((0, 1)), ("a", "b"), "m")


@pytest.mark.parametrize("wrong", [{"output_kind": "odds"}])
def test_kinds_that_are_not_known_are_refused(wrong: dict):
    with pytest.raises(
        InputError, match="use one of logits, multilabel, probabilities, regression, similarity, embedding"
    ) as raised:
        describe(**wrong)
    assert raised.value.argument == "output_kind"


@pytest.mark.parametrize("foil", [None, 5])
@pytest.mark.parametrize("spread", [1.0, 30.0, 300.0])
@pytest.mark.parametrize("kind", ["logits", "multilabel", "probabilities", "regression"])
def test_values_that_are_kept_are_those_of_all(kind, spread, foil):
    outputs = spread * torch.randn(20, 3, 40, generator=torch.Generator().manual_seed(0))
    outputs = outputs.softmax(-1) if kind == "probabilities" else outputs
    classes, kept = (
        tuple(map(str, range(40 if foil is None else 41))),
        (2, 5, *range(20, 30), *(() if foil is None else (40,))),
    )
    scales = [Scale(kind, space, outputs[0, 0], classes, 2, foil, kept) for space in list_spaces(kind, 40)]
    for scale, picked in zip(scales, pick_values(scales, outputs), strict=True):
        every = to_values(scale, outputs)
        torch.testing.assert_close(picked.double(), every[..., list(kept)].double(), rtol=1e-6, atol=1e-7)
        (whole,) = pick_values([replace(scale, kept=None)], outputs)
        assert torch.equal(whole.double(), every.double())


def test_log_odds_that_are_kept_need_no_difference_from_one():
    logits = torch.tensor([[800.0, 0.0, 0.0, -5.0], [1.0, 0.5, 0.0, -5.0]])
    scale = Scale("logits", "log-odds", logits[0], tuple("abcd"), 0, None, (0, 1))
    picked = pick_values([scale], logits)[0]
    torch.testing.assert_close(picked, to_values(scale, logits)[:, :2], rtol=1e-6, atol=1e-6)
    assert float(picked[0, 0]) == pytest.approx(800 - math.log(2 + math.exp(-5)), rel=1e-9)
