"""`Lime` beside Captum's own: the same to the letter where a surrogate is given, and what it offers beyond."""

import dataclasses
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from captum._utils.models.linear_model import SGDLasso, SkLearnLasso, SkLearnLinearRegression, SkLearnRidge
from captum.attr import Lime as CaptumLime, LLMAttribution, NoiseTunnel, TextTemplateInput
from captum.attr._core.lime import get_exp_kernel_similarity_function
from captum.metrics import infidelity, infidelity_perturb_func_decorator, sensitivity_max
from sklearn.linear_model import LinearRegression
from warm import run_warm

from musiclime_torch.basics.errors import InputError
from musiclime_torch.captum import KernelShap, Lime, MaskKernel, MusicLIME, least_squares
from musiclime_torch.captum.coalitions import draw_masks
from musiclime_torch.captum.least_squares import fit_lines, pick_precision

WEIGHT = 3 * torch.randn(6, 4, generator=torch.Generator().manual_seed(0))


def curved(x: torch.Tensor) -> torch.Tensor:
    return torch.tanh(x @ WEIGHT / 4) * 5 + x[:, :1] * x[:, 1:2]


def linear(x: torch.Tensor) -> torch.Tensor:
    return x.to(WEIGHT.dtype) @ WEIGHT + 1


def paired(sound: torch.Tensor, words: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    return (sound.sum(2) @ WEIGHT[:2] + words.float() @ WEIGHT[:3]).tanh() * scale


@pytest.fixture
def x() -> torch.Tensor:
    return torch.randn(3, 6, generator=torch.Generator().manual_seed(1)) + 2


def both_at(seed: int, mine: Any, captums: Any, *args: Any, **options: Any) -> tuple[Any, Any]:
    """Attributions of both from the same global state, which has to end in the same state too."""
    results, states = [], []
    for attribution in (mine, captums):
        torch.manual_seed(seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            results.append(attribution.attribute(*args, **options))
        states.append(torch.get_rng_state())
    assert torch.equal(*states)
    return results[0], results[1]


SURROGATES = {
    "lasso": lambda: SkLearnLasso(alpha=0.01),
    "ridge": lambda: SkLearnRidge(alpha=2.0, solver="cholesky"),
    "least squares": SkLearnLinearRegression,
    "positive": lambda: SkLearnLinearRegression(positive=True),
}
SIMILARITIES = {
    "default": lambda: None,
    "cosine": lambda: get_exp_kernel_similarity_function("cosine", 0.3),
    "euclidean": lambda: get_exp_kernel_similarity_function("euclidean", 5.0),
    "own": lambda: lambda original, altered, row, **given: row.float().mean() + 0.1,
}


@pytest.mark.parametrize("similarity", SIMILARITIES)
@pytest.mark.parametrize("surrogate", SURROGATES)
def test_with_a_surrogate_given_it_is_captums_bit_by_bit_of_randomness(x, surrogate, similarity):
    make = (SURROGATES[surrogate], SIMILARITIES[similarity])
    options = {"n_samples": 40, "perturbations_per_eval": 7, "target": [0, 3, 1]}
    mine, theirs = both_at(
        5, *(kind(curved, make[0](), make[1]()) for kind in (Lime, CaptumLime)), x, baselines=0.2, **options
    )
    assert torch.allclose(mine, theirs, atol=2e-4)


def test_surrogates_trained_by_descent_are_handed_the_same_data(x):
    mine, theirs = both_at(5, *(kind(curved, SGDLasso()) for kind in (Lime, CaptumLime)), x[:1], n_samples=4, target=1)
    assert torch.allclose(mine, theirs, atol=1e-5)


@pytest.mark.parametrize("surrogate", ["lasso", "ridge"])
def test_two_inputs_with_masks_of_their_own_are_captums_too(surrogate):
    generator = torch.Generator().manual_seed(2)
    inputs = (torch.rand(2, 2, 5, generator=generator), torch.tensor([[5, 7, 1], [2, 2, 9]]))
    owners = (torch.tensor([[[0], [1]], [[2], [0]]]), torch.tensor([[2, 3, 5]]))
    options = {"baselines": (0.0, torch.tensor([[1, 0, 0]])), "additional_forward_args": (torch.tensor([[1.0], [2.0]]),)}
    for whole in (False, True):
        forward = (lambda *given: paired(*given).sum()) if whole else paired
        explainers = (kind(forward, SURROGATES[surrogate]()) for kind in (Lime, CaptumLime))
        mine, theirs = both_at(
            6, *explainers, inputs, feature_mask=owners, target=None if whole else 1, n_samples=30, **options
        )
        for a, b in zip(mine, theirs, strict=True):
            assert a.shape == b.shape
            assert torch.allclose(a, b, atol=2e-4)


def test_the_surrogate_is_left_as_captum_leaves_it(x):
    models = SkLearnRidge(alpha=1.0), SkLearnRidge(alpha=1.0)
    both_at(0, Lime(curved, models[0]), CaptumLime(curved, models[1]), x, target=1, n_samples=30)
    assert torch.allclose(models[0].representation(), models[1].representation(), atol=1e-4)
    assert torch.allclose(models[0].bias(), models[1].bias(), atol=1e-4)


def draw_own(original: torch.Tensor, **given: Any) -> torch.Tensor:
    return (torch.rand(1, given["num_interp_features"]) < 0.7).long()


def yield_own(original: torch.Tensor, **given: Any) -> Iterator[torch.Tensor]:
    for _ in range(25):
        yield draw_own(original, **given)


@pytest.mark.parametrize("perturb", [draw_own, yield_own])
@pytest.mark.parametrize("surrogate", ["lasso", "least squares"])
def test_samples_of_ones_own_go_the_slower_way_with_the_same_result(x, perturb, surrogate):
    explainers = [kind(curved, SURROGATES[surrogate](), perturb_func=perturb) for kind in (Lime, CaptumLime)]
    mine, theirs = both_at(7, *explainers, x, target=0, n_samples=40, perturbations_per_eval=6)
    assert torch.allclose(mine, theirs, atol=2e-4)
    if perturb is yield_own:
        with pytest.warns(UserWarning, match="ended after 25 of 40"):
            explainers[0].attribute(x[:1], target=0, n_samples=40)


def test_samples_need_not_be_masks(x):
    def fade(original: torch.Tensor, **given: Any) -> torch.Tensor:
        return torch.rand(1, given["num_interp_features"]).round(decimals=1)

    def mix(row: torch.Tensor, original: torch.Tensor, **given: Any) -> torch.Tensor:
        return row * original

    explainers = [kind(curved, SkLearnRidge(alpha=0.1), perturb_func=fade) for kind in (Lime, CaptumLime)]
    for explainer in explainers:
        explainer.from_interp_rep_transform = mix
    mine, theirs = both_at(8, *explainers, x, target=0, n_samples=40)
    assert torch.allclose(mine, theirs, atol=2e-4)


@pytest.mark.parametrize(("n", "d"), [(1, 1), (5, 3), (40, 17), (3, 130)])
def test_masks_take_the_random_numbers_that_captums_take(n, d):
    torch.manual_seed(n)
    ours, state = draw_masks(n, d, None), torch.get_rng_state()
    torch.manual_seed(n)
    assert torch.equal(ours, torch.cat([torch.bernoulli(torch.full((1, d), 0.5)) for _ in range(n)]) > 0)
    assert torch.equal(state, torch.get_rng_state())


def test_the_default_is_least_squares_under_a_kernel_on_masks_with_the_song_among_the_samples(x):
    rows: list[torch.Tensor] = []

    def record(z: torch.Tensor) -> torch.Tensor:
        rows.append(z != 0)
        return curved(z)

    result = Lime(record, seed=3).attribute(
        x[:1], target=2, n_samples=60, perturbations_per_eval=13, return_input_shape=False
    )
    masks = torch.cat(rows).numpy()
    assert masks[0].all()
    weights = np.exp(-((1 - np.sqrt(masks.mean(1))) ** 2) / 2)
    oracle = LinearRegression().fit(masks, curved(torch.from_numpy(masks) * x[:1])[:, 2].numpy(), sample_weight=weights)
    assert np.allclose(result[0], oracle.coef_, atol=1e-4)


def test_no_target_explains_every_output_example_major(x):
    every = Lime(curved, seed=0).attribute(x, n_samples=40)
    assert every.shape == (12, 6)
    for output in range(4):
        assert torch.allclose(every[output::4], Lime(curved, seed=0).attribute(x, target=output, n_samples=40), atol=1e-5)
    lasso = Lime(curved, SkLearnLasso(alpha=0.1), seed=0).attribute(x, n_samples=40)
    one = Lime(curved, SkLearnLasso(alpha=0.1), seed=0).attribute(x, target=1, n_samples=40)
    assert torch.allclose(lasso[1::4], one, atol=1e-5)


def test_examples_share_forwards(x):
    sizes: list[int] = []

    def count(z: torch.Tensor) -> torch.Tensor:
        sizes.append(len(z))
        return curved(z)

    for per_eval, rows in ((1, 3), (8, 8)):
        sizes.clear()
        Lime(count).attribute(x, target=0, n_samples=16, perturbations_per_eval=per_eval)
        assert sizes == [3] + [rows] * (48 // rows)  # the inputs themselves, once, as Captum asks too


def test_arguments_of_one_row_follow_the_rows(x):
    def stacked(z: torch.Tensor, extra: torch.Tensor) -> torch.Tensor:
        return torch.cat([z, extra], 1)[:, :6] @ WEIGHT

    ones = torch.ones(1, 2)
    options = {"target": 0, "n_samples": 20, "perturbations_per_eval": 5}
    alone = Lime(stacked, seed=0).attribute(x[:1], additional_forward_args=ones, **options)
    with_others = Lime(stacked, seed=0).attribute(x[:2], additional_forward_args=torch.ones(2, 2), **options)
    assert torch.allclose(alone[0], with_others[0], atol=1e-5)


def test_a_seed_draws_the_same_for_all_and_leaves_the_global_state(x):
    for surrogate in (None, SkLearnLasso(alpha=0.1)):
        before = torch.get_rng_state()
        explainer = Lime(curved, surrogate, seed=4)
        together = explainer.attribute(x, target=0, n_samples=30)
        assert torch.equal(before, torch.get_rng_state())
        for example in range(3):
            alone = explainer.attribute(x[example : example + 1], target=0, n_samples=30)
            assert torch.allclose(together[example : example + 1], alone, atol=1e-5)


def test_a_generator_is_drawn_from_in_turn_and_leaves_the_global_state(x):
    before = torch.get_rng_state()
    first = Lime(curved, generator=torch.Generator().manual_seed(9)).attribute(x, target=0, n_samples=30)
    generator = torch.Generator().manual_seed(9)
    turns = [Lime(curved, generator=generator).attribute(x[i : i + 1], target=0, n_samples=30) for i in range(3)]
    assert torch.equal(before, torch.get_rng_state())
    assert torch.allclose(first, torch.cat(turns), atol=1e-5)
    with pytest.raises(InputError, match="give only one"):
        Lime(curved, seed=1, generator=generator)


def test_a_fit_comes_as_a_value_and_nothing_is_kept(x):
    explainer = Lime(curved, seed=0)
    held = set(vars(explainer))
    found = explainer.attribute_with_fit(x, target=0, n_samples=80)
    assert set(vars(explainer)) == held
    assert torch.equal(found.attributions, explainer.attribute(x, target=0, n_samples=80))
    assert found.standard_errors.shape == found.degrees_of_freedom.shape == x.shape
    assert found.intercept.shape == found.fidelity.shape == (3,)
    assert (found.degrees_of_freedom == 80 - 7).all()
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.fidelity = found.intercept


def test_errors_fidelity_and_intercept_are_what_the_formulas_say(x):
    found = Lime(curved, SkLearnLinearRegression(), MaskKernel(0.2), seed=1).attribute_with_fit(
        x[:1], target=0, n_samples=50
    )
    masks = draw_masks(50, 6, torch.Generator().manual_seed(1))
    outputs = curved(masks * x[:1])[:, 0].double().numpy()
    design = np.column_stack([np.ones(50), masks.numpy()])
    weights = MaskKernel(0.2).weigh(masks).double().numpy()
    bread = np.linalg.inv(design.T * weights @ design)
    slopes = bread @ design.T @ (weights * outputs)
    residuals = outputs - design @ slopes
    spread = weights @ (outputs - np.average(outputs, weights=weights)) ** 2
    meat = design.T * (weights * residuals) ** 2 @ design
    errors = np.sqrt(np.diag(bread @ meat @ bread) * 50 / (50 - 7))
    assert np.allclose(found.attributions[0], slopes[1:], atol=1e-4)
    assert np.allclose(found.standard_errors[0], errors[1:], atol=1e-4)
    assert np.isclose(found.intercept[0], slopes[0])
    assert np.isclose(found.fidelity[0], 1 - weights @ residuals**2 / spread)


def test_other_surrogates_tell_what_they_know(x):
    found = Lime(linear, SkLearnLasso(alpha=1e-4), seed=0).attribute_with_fit(x[:1], target=0, n_samples=100)
    assert torch.isnan(found.standard_errors).all()
    assert torch.allclose(found.fidelity, torch.ones(1, dtype=torch.float64), atol=1e-4)
    assert abs(float(found.intercept[0]) - 1) < 0.05


def test_large_offsets_in_float64_cost_nothing(x):
    z = x.double()
    shifted = Lime(lambda y: y @ WEIGHT.double() + 1e8, seed=0).attribute(z, target=0, n_samples=60)
    assert torch.allclose(shifted, (WEIGHT[:, 0] * z).float(), atol=1e-4)


def test_an_infinite_baseline_stays_harmless_where_it_is_not_used(x):
    for explainer in (Lime(lambda z: z.exp()), Lime(lambda z: z.exp(), perturb_func=draw_own)):
        result = explainer.attribute(x, baselines=-torch.inf, target=0, n_samples=40)
        assert torch.allclose(result[:, 0], x[:, 0].exp(), rtol=1e-3)
    with pytest.raises(InputError, match="MaskKernel"):
        Lime(lambda z: z.exp(), SkLearnRidge()).attribute(x, baselines=-torch.inf, target=0)


def test_fewer_samples_than_components_warn_and_give_the_smallest_that_fit(x):
    with pytest.warns(UserWarning, match=r"n_samples=5 can't tell 6 components apart"):
        result = Lime(curved, SkLearnLinearRegression(), lambda *a, **k: 1.0, seed=2).attribute(x[:1], target=0, n_samples=5)
    masks = draw_masks(5, 6, torch.Generator().manual_seed(2))
    outputs = curved(masks * x[:1])[:, 0].double().numpy()
    centred = masks.double().numpy() - masks.double().numpy().mean(0)
    assert np.allclose(result[0], np.linalg.pinv(centred, rcond=1e-9) @ (outputs - outputs.mean()), atol=1e-4)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Lime(curved).attribute(x[:1], target=0, n_samples=7)


def test_components_that_always_go_together_share_as_in_scikit_learn():
    z = torch.ones(1, 2)
    mine, theirs = both_at(
        1, *(kind(lambda y: y[:, 0] * 4, SkLearnLinearRegression()) for kind in (Lime, CaptumLime)), z, n_samples=3
    )
    assert torch.allclose(mine, theirs, atol=1e-4)


def test_metrics_and_tunnels_of_captum_accept_it(x):
    explainer = Lime(linear, seed=0)
    attribution = explainer.attribute(x, target=1, n_samples=100)

    @infidelity_perturb_func_decorator(True)
    def drop(z: torch.Tensor, baselines: object = None) -> torch.Tensor:
        return z * (torch.rand(z.shape, generator=torch.Generator().manual_seed(0)) < 0.5)

    assert (infidelity(linear, drop, x, attribution, target=1, n_perturb_samples=10) < 1e-3).all()
    options = {"target": 1, "n_samples": 30, "perturb_radius": 0.0, "n_perturb_samples": 2}
    assert (sensitivity_max(explainer.attribute, x, **options) == 0).all()  # common random numbers
    tunnel = NoiseTunnel(explainer).attribute(x, nt_samples=2, stdevs=0.0, target=1, n_samples=100)
    assert torch.allclose(tunnel, attribution, atol=1e-5)


class Words:
    """A tokenizer of whole words."""

    def __init__(self) -> None:
        self.known: list[str] = ["?"]

    def encode(self, text: str, add_special_tokens: bool = True, return_tensors: object = None) -> Any:
        self.known += [word for word in dict.fromkeys(text.split()) if word not in self.known]
        ids = [self.known.index(word) for word in text.split()]
        return torch.tensor([ids]) if return_tensors else ids

    def decode(self, ids: Any) -> str:
        return " ".join(self.known[int(i)] for i in ids)

    def convert_ids_to_tokens(self, ids: Any) -> list[str]:
        return [self.known[int(i)] for i in ids]

    def __call__(self, text: str, return_tensors: object = None, return_offsets_mapping: bool = False, **rest: Any) -> Any:
        starts = np.cumsum([0] + [len(word) + 1 for word in text.split()])[:-1].tolist()
        spans = [(start, start + len(word)) for start, word in zip(starts, text.split(), strict=True)]
        return {"input_ids": self.encode(text, return_tensors=return_tensors), "offset_mapping": spans}


class Speaker(torch.nn.Module):
    device = torch.device("cpu")

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.embed, self.out = torch.nn.Embedding(32, 8), torch.nn.Linear(8, 32)

    def forward(self, input_ids: torch.Tensor, attention_mask: object = None, **rest: Any) -> Any:
        return type("Output", (), {"logits": self.out(self.embed(input_ids).cumsum(1).tanh())})


def test_language_models_are_explained_through_captum():
    text = TextTemplateInput("{} likes {} and {}", ["dave", "jazz", "tea"], baselines=["x", "y", "z"])
    result = LLMAttribution(Lime(Speaker(), seed=0), Words()).attribute(
        text, target="in the morning", n_samples=20, use_cached_outputs=False
    )
    assert result.seq_attr.shape == (3,)
    assert result.seq_attr.abs().min() > 1e-3


def test_outputs_are_picked_before_they_fill_memory(monkeypatch, x):
    from musiclime_torch.captum import rows

    plain = Lime(curved, seed=0).attribute(x, target=1, n_samples=40)
    monkeypatch.setattr(rows, "CELLS", 1)
    assert torch.equal(plain, Lime(curved, seed=0).attribute(x, target=1, n_samples=40))


@pytest.mark.parametrize("kind", [Lime, KernelShap, MusicLIME])
def test_samples_and_seeds_are_numbers_of_something(x: torch.Tensor, kind: Any):
    asked = []

    def forward(rows: torch.Tensor) -> torch.Tensor:
        asked.append(rows)
        return linear(rows)

    explainer = kind(forward, seed=np.int64(1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for n_samples in (0, -3):
            with pytest.raises(InputError, match=f"n_samples must be at least 1, got {n_samples}"):
                explainer.attribute(x, target=0, n_samples=n_samples)
    assert not asked
    if kind is not MusicLIME:
        with pytest.raises(InputError, match="n_samples must be at least 1, got 0"):
            explainer.attribute_with_fit(x, target=0, n_samples=0)
    found = explainer.attribute(x, target=0, n_samples=64, perturbations_per_eval=16)
    assert torch.equal(found, kind(forward, seed=1).attribute(x, target=0, n_samples=64, perturbations_per_eval=16))


def test_a_seed_or_a_number_of_samples_with_decimals_is_refused(tmp_path: Path):
    """In a process of its own, where beartype doesn't refuse them first."""
    script = """
import torch
from musiclime_torch import InputError
from musiclime_torch.captum import KernelShap, Lime, MusicLIME
for kind in (KernelShap, Lime, MusicLIME):
    for seed, n_samples, said in ((1.5, 20, "seed 1.5 is not"), (1, 2.5, "n_samples 2.5 is not")):
        try:
            kind(lambda rows: rows.sum(1), seed=seed).attribute(torch.ones(1, 3), n_samples=n_samples)
        except InputError as error:
            assert f"{said} a whole number" in str(error), error
        else:
            raise AssertionError(kind)
"""
    done = run_warm([], tmp_path, script)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("ridge", [0.0, 0.7])
@pytest.mark.parametrize(("n", "d"), [(12, 40), (25, 25), (3, 9)])
def test_fewer_samples_than_elements_have_the_solution_of_least_norm(n: int, d: int, ridge: float):
    generator = torch.Generator().manual_seed(n)
    masks = torch.rand(2, n, d, generator=generator) < 0.5
    weights, outputs = torch.rand(2, n, generator=generator) + 0.1, torch.randn(2, n, 3, generator=generator)
    lines = fit_lines(masks, weights, outputs, ridge, judged=True)
    for design in range(2):
        share = weights[design].double()[:, None]
        centred = masks[design].double() - (share * masks[design].double()).sum(0) / share.sum()
        targets = outputs[design].double() - (share * outputs[design].double()).sum(0) / share.sum()
        rows = share.sqrt() * centred
        gram = rows.T @ rows + ridge * torch.eye(d, dtype=torch.float64)
        expected = torch.linalg.pinv(gram, hermitian=True, rtol=1e-10) @ (rows.T @ (share.sqrt() * targets))
        torch.testing.assert_close(lines.coefficients[3 * design : 3 * design + 3], expected.T, atol=1e-6, rtol=1e-5)


def test_a_hundred_thousand_elements_need_no_table_of_their_squares():
    """Captum's usual call, without a feature mask: 205 GB if every two elements had a cell."""
    inputs = torch.randn(1, 160_000, generator=torch.Generator().manual_seed(0))
    with pytest.warns(UserWarning, match="25"):
        found = Lime(lambda batch: batch.sum(1)).attribute(inputs)
    assert found.shape == inputs.shape
    assert found.isfinite().all()


@pytest.mark.parametrize(("n", "d"), [(5, 2**18 + 3), (3, 1000), (2000, 300)])
def test_masks_in_pieces_are_those_of_captum_too(n: int, d: int):
    torch.manual_seed(4)
    masks, after = draw_masks(n, d, None), torch.rand(1)
    torch.manual_seed(4)
    assert torch.equal(masks, torch.cat([torch.bernoulli(torch.full((1, d), 0.5)) for _ in range(n)]).bool())
    assert torch.equal(after, torch.rand(1))


@pytest.mark.parametrize("ridge", [0.0, 3.0])
@pytest.mark.parametrize("largest", [1.0, 1e-30])
def test_many_rows_are_set_up_in_float32_with_the_digits_that_attributions_have(ridge: float, largest: float):
    generator = torch.Generator().manual_seed(0)
    masks = torch.rand(2, 1500, 60, generator=generator) < 0.5
    weights = largest * (0.3 + torch.rand(2, 1500, generator=generator, dtype=torch.float64))
    outputs = masks.float() @ torch.randn(60, 3, generator=generator) + torch.randn(2, 1500, 3, generator=generator) + 100
    assert pick_precision(outputs, weights, 60) == torch.float32
    fast, exact = (fit_lines(masks, weights, y, ridge * largest, True) for y in (outputs, outputs.double()))
    scale = exact.coefficients.abs().max()
    assert float((fast.coefficients - exact.coefficients).abs().max() / scale) < 1e-6
    assert float((fast.standard_errors / exact.standard_errors - 1).abs().max()) < 1e-5
    torch.testing.assert_close(fast.intercept, exact.intercept, rtol=1e-6, atol=0)
    torch.testing.assert_close(fast.fidelity, exact.fidelity, rtol=1e-6, atol=0)


def test_few_rows_and_numbers_in_float64_are_set_up_in_float64(monkeypatch: pytest.MonkeyPatch):
    outputs, even = torch.zeros(100, 1), torch.ones(1, 100)
    assert pick_precision(outputs, even, 12) == torch.float32
    assert pick_precision(outputs, even, 13) == torch.float64
    assert pick_precision(outputs.double(), even, 12) == torch.float64
    uneven = even.clone()
    uneven[0, 0] = 1000
    assert pick_precision(outputs, uneven, 12) == torch.float64, "one row outweighs all others"
    monkeypatch.setattr(torch, "get_float32_matmul_precision", lambda: "medium")
    assert pick_precision(outputs, even, 12) == torch.float64, "products of float32 may have fewer bits"


def test_columns_are_taken_some_at_a_time_where_they_are_many(monkeypatch: pytest.MonkeyPatch):
    generator = torch.Generator().manual_seed(0)
    masks, weights = torch.rand(2, 20, 90, generator=generator) < 0.5, torch.rand(2, 20, generator=generator)
    outputs = torch.randn(2, 20, 3, generator=generator)
    at_once = fit_lines(masks, weights, outputs, 0.5, True)
    monkeypatch.setattr(least_squares, "BLOCK", 7 * 40)
    in_turn = fit_lines(masks, weights, outputs, 0.5, True)
    torch.testing.assert_close(at_once.coefficients, in_turn.coefficients)
    torch.testing.assert_close(at_once.fidelity, in_turn.fidelity)
    torch.testing.assert_close(at_once.intercept, in_turn.intercept)
