"""What `MusicLIME` promises Captum's users; shared expectations of Captum's own classes, written for ours."""

import warnings

import pytest
import torch
from captum.attr import Lime, PerturbationAttribution
from captum.metrics import infidelity, infidelity_perturb_func_decorator, sensitivity_max

from musiclime_torch.basics.errors import InputError
from musiclime_torch.captum import MusicLIME


class Linear(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.weight = torch.nn.Parameter(3 * torch.randn(4, 6, generator=generator))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.weight.T + 1


@pytest.fixture
def model() -> Linear:
    return Linear()


@pytest.fixture
def x() -> torch.Tensor:
    return torch.randn(3, 6, generator=torch.Generator().manual_seed(1)) + 2


def test_additive_models_give_coefficient_times_input_minus_baseline(model, x):
    baseline = torch.randn(1, 6, generator=torch.Generator().manual_seed(2))
    result = MusicLIME(model).attribute(x, baselines=baseline, target=[1, 3, 0], perturbations_per_eval=64)
    assert isinstance(MusicLIME(model), PerturbationAttribution)
    assert result.shape == x.shape
    assert result.dtype == torch.float32
    assert (result - model.weight[[1, 3, 0]] * (x - baseline)).abs().max() < 1e-4


@pytest.mark.parametrize(
    "target", [2, torch.tensor(2), torch.tensor([2]), torch.tensor([2, 2, 2]), [2, 2, 2]], ids=lambda value: repr(value)
)
def test_every_form_of_a_target_means_the_same(model, x, target):
    assert torch.equal(MusicLIME(model).attribute(x, target=target), MusicLIME(lambda z: model(z)[:, 2]).attribute(x))


@pytest.mark.parametrize("target", [(1, 0), [(1, 0)] * 3], ids=["tuple", "list of tuples"])
def test_targets_into_more_dimensions(model, x, target):
    deep = MusicLIME(lambda z: model(z).reshape(-1, 2, 2))
    assert torch.equal(deep.attribute(x, target=target), MusicLIME(model).attribute(x, target=2))


def test_no_target_attributes_every_output_example_major(model, x):
    every = MusicLIME(model).attribute(x)
    assert every.shape == (12, 6)
    for example in range(3):
        for output in range(4):
            one = MusicLIME(model).attribute(x, target=output)
            assert torch.allclose(every[4 * example + output], one[example], atol=1e-6)


def test_wrong_numbers_of_targets_or_outputs_are_refused(model, x):
    with pytest.raises(AssertionError, match="2 targets were given for 3 examples"):
        MusicLIME(model).attribute(x, target=[0, 1])
    with pytest.raises(AssertionError, match="one row"):
        MusicLIME(lambda z: model(z)[:2]).attribute(x, target=0, perturbations_per_eval=5)


def test_two_modalities_share_one_numbering_and_batches_stay_in_bounds(model):
    stems = torch.rand(1, 3, 4, generator=torch.Generator().manual_seed(0))
    words = torch.tensor([[5, 7]])
    embedding = torch.randn(10, 2, generator=torch.Generator().manual_seed(1))
    seen = []

    def forward(a: torch.Tensor, w: torch.Tensor, scale: float) -> torch.Tensor:
        seen.append(len(a))
        assert w.dtype == torch.int64
        return scale * (a.sum((1, 2))[:, None] + embedding[w].sum(1))

    masks = (torch.arange(3).reshape(1, 3, 1), torch.tensor([[3, 4]]))
    sound, text = MusicLIME(forward).attribute(
        (stems, words), baselines=(0.0, 0), target=1, additional_forward_args=(2.0,), feature_mask=masks,
        perturbations_per_eval=32,
    )  # fmt: skip
    assert max(seen) == 32
    assert torch.allclose(sound, 2 * stems.sum(2, keepdim=True).expand(1, 3, 4), atol=1e-4)
    assert torch.allclose(text, 2 * (embedding[words, 1] - embedding[0, 1]), atol=1e-4)


def test_masks_may_differ_from_example_to_example(model, x):
    groups = torch.tensor([[0, 0, 0, 1, 1, 1], [0, 1, 2, 3, 4, 5], [5, 4, 3, 2, 1, 0]])
    result = MusicLIME(model).attribute(x, target=0, feature_mask=groups, perturbations_per_eval=100)
    each = (model.weight[0] * x).detach()
    assert torch.allclose(result[0], torch.cat([each[0, :3].sum().expand(3), each[0, 3:].sum().expand(3)]), atol=1e-4)
    assert torch.allclose(result[1:], each[1:], atol=1e-4)


def test_masks_that_do_not_start_at_zero_warn_and_shift(model, x):
    with pytest.warns(UserWarning, match="not 0"):
        result = MusicLIME(model).attribute(
            x, target=0, feature_mask=torch.tensor([[5, 5, 6, 6, 7, 7]]), return_input_shape=False
        )
    assert result.shape == (3, 3)


def test_one_number_per_batch_gives_one_row(model, x):
    for forward in (lambda z: model(z).sum(), lambda z: model(z).sum().item(), lambda z: model(z).sum().reshape(1)):
        result = MusicLIME(forward).attribute(x)
        assert result.shape == (1, 6)
        assert torch.allclose(result[0], (model.weight.sum(0) * x).sum(0), atol=1e-3)
    with pytest.raises(AssertionError, match="must be 1"):
        MusicLIME(lambda z: model(z).sum()).attribute(x, perturbations_per_eval=4)


def test_rows_per_forward_change_nothing(model, x):
    once = MusicLIME(lambda z: model(z).tanh()).attribute(x, target=1, perturbations_per_eval=1)
    for count in (7, 100, 100000):
        many = MusicLIME(lambda z: model(z).tanh()).attribute(x, target=1, perturbations_per_eval=count)
        assert torch.allclose(once, many, atol=1e-5)


def test_arguments_with_a_row_per_example_follow_their_example(model, x):
    scale = torch.tensor([[1.0], [2.0], [3.0]])
    result = MusicLIME(lambda z, s, name: model(z) * s).attribute(
        x, target=0, additional_forward_args=(scale, "kept"), perturbations_per_eval=10
    )
    assert torch.allclose(result, scale * model.weight[0] * x, atol=1e-4)


def test_an_infinite_baseline_stays_harmless_where_it_is_not_used(model, x):
    result = MusicLIME(lambda z: z.exp()[:, :4]).attribute(x, baselines=-torch.inf, target=0)
    assert torch.allclose(result[:, 0], x[:, 0].exp(), rtol=1e-4)


def test_outputs_that_are_no_numbers_raise_and_do_not_return(x):
    with pytest.raises(InputError, match="NaN or infinity"):
        MusicLIME(lambda z: z / 0).attribute(x, target=0)


def test_modules_keep_their_training_flags_and_buffers(x):
    module = torch.nn.Sequential(torch.nn.Dropout(0.5), torch.nn.BatchNorm1d(6), torch.nn.Linear(6, 2))
    module[1].eval()
    flags = [part.training for part in module.modules()]
    buffers = {name: value.clone() for name, value in module.state_dict().items()}
    first = MusicLIME(module).attribute(x, target=0)
    assert torch.equal(first, MusicLIME(module.forward).attribute(x, target=0))
    assert flags == [part.training for part in module.modules()]
    assert all(torch.equal(buffers[name], value) for name, value in module.state_dict().items())


def test_modules_in_closures_are_found_too(x):
    module = torch.nn.Sequential(torch.nn.Dropout(0.9), torch.nn.BatchNorm1d(6))
    before = {name: value.clone() for name, value in module.state_dict().items()}
    result = MusicLIME(lambda z: module(z)).attribute(x, target=0)
    assert module.training
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())
    assert torch.allclose(result[:, 0], x[:, 0], atol=1e-3)


def test_fractions_stand_in_for_integers(model):
    z = torch.tensor([[1, 2, 3, 4, 5, 6]])
    result = MusicLIME(lambda y: model(y.float())).attribute(z, baselines=0.5, target=0)
    assert torch.allclose(result, model.weight[0] * (z - 0.5), atol=1e-4)


def test_numbers_that_begin_as_integers_stay_numbers(x):
    result = MusicLIME(lambda z: float(z.sum()) if z.any() else 0).attribute(x[:1])
    assert torch.allclose(result, x[:1], atol=1e-4)


def test_a_batch_summed_up_may_have_several_classes(model, x):
    assert MusicLIME(lambda z: model(z).sum(0, keepdim=True)).attribute(x, target=1).shape == (1, 6)


def test_metrics_of_captum_accept_it(model, x):
    attribution = MusicLIME(model).attribute(x, target=1)

    @infidelity_perturb_func_decorator(True)
    def drop(z: torch.Tensor, baselines: object = None) -> torch.Tensor:
        return z * (torch.rand(z.shape, generator=torch.Generator().manual_seed(0)) < 0.5)

    assert (infidelity(model, drop, x, attribution, target=1, n_perturb_samples=20) < 1e-3).all()
    assert torch.isfinite(sensitivity_max(MusicLIME(model).attribute, x, target=1, n_perturb_samples=2)).all()


def test_it_agrees_with_captums_own_lime_on_the_same_surrogate(model, x):
    from captum._utils.models.linear_model import SkLearnLinearRegression

    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        captums = Lime(lambda z: model(z).tanh(), SkLearnLinearRegression(), similarity_func=lambda *a, **k: 1.0).attribute(
            x[:1], target=0, n_samples=8000, perturbations_per_eval=1000
        )
    ours = MusicLIME(lambda z: model(z).tanh()).attribute(x[:1], target=0, n_samples=8000, perturbations_per_eval=1000)
    assert torch.corrcoef(torch.cat([ours, captums]))[0, 1] > 0.995


def test_progress_goes_to_standard_error(model, x, capsys):
    MusicLIME(model).attribute(x, target=0, show_progress=True, perturbations_per_eval=50)
    out, err = capsys.readouterr()
    assert "MusicLIME attribution: 100%" in err
    assert not out
