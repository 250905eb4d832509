"""The pipeline on a pretended CUDA device: between the first mask and the last coefficient nothing asks the host.

FakeTensorMode itself raises on `.item()`, `if tensor:`, boolean indexing and device mixing. The guard below catches what it
lets pass: copies to the CPU, checking or synchronising linear algebra, mixed devices and 0-d CPU operands.
"""

from functools import partial
from typing import Any

import pytest
import torch
from pretended_cuda import RACING, HostGuard, Names, pretend_weights, pretended_cuda
from torch._subclasses.fake_tensor import DataDependentOutputException

from benchmarks.worlds.subjects import make_ast_roberta
from musiclime_torch.basics.progress import Stages
from musiclime_torch.captum import KernelShap, Lime
from musiclime_torch.captum.request import read_request
from musiclime_torch.demo.bundle import load_demo_model
from musiclime_torch.explanation.estimation import crossed
from musiclime_torch.explanation.estimation.crossed import build_grid, build_grids, encode_masks
from musiclime_torch.models.contract import TokenBatch
from musiclime_torch.models.musicnn import TAGS, Musicnn
from musiclime_torch.models.subject import describe_model
from musiclime_torch.models.vibenet import VibeNet
from musiclime_torch.surrogate.blocks import draw_foldover, draw_kerdock, is_better_unfolded
from musiclime_torch.surrogate.crossed import CrossedFit, list_interactions, solve_crossed
from musiclime_torch.surrogate.crossed_errors import split_errors
from musiclime_torch.surrogate.design import CrossedDesign
from musiclime_torch.surrogate.pairs import solve_pairs
from musiclime_torch.surrogate.solver import solve
from musiclime_torch.surrogate.variance import split_variance
from musiclime_torch.surrogate.walsh import add_up
from musiclime_torch.variants import look_ups
from musiclime_torch.variants.asking import run_joint
from musiclime_torch.variants.fusing import fuse
from musiclime_torch.variants.look_ups import look_up
from musiclime_torch.variants.probe import Probe, Sources
from musiclime_torch.variants.scale import Scale, to_space, to_values
from musiclime_torch.variants.sound import gate_stems
from musiclime_torch.variants.words import TokenGates


class Fusion(torch.nn.Module):
    """A stand-in for any late-fusion model that is itself pure."""

    sample_rate, channels = 1000, 1

    def __init__(self) -> None:
        super().__init__()
        self.ear, self.eye, self.head = torch.nn.Conv1d(1, 8, 16, 8), torch.nn.Linear(6, 8), torch.nn.Linear(16, 5)

    def tokenize(self, text: str) -> Any: ...
    def embed_text(self, ids: Any) -> Any: ...

    def forward(self, audio: torch.Tensor, text: TokenBatch) -> torch.Tensor:
        return self.fuse(self.encode_audio(audio), self.encode_text(text))

    def encode_audio(self, audio: torch.Tensor) -> torch.Tensor:
        self.started(len(audio))
        return self.ear(audio).relu().mean(2)

    def encode_text(self, text: TokenBatch) -> torch.Tensor:
        self.read(len(text.embeddings))
        return (self.eye(text.embeddings) * text.attended[:, :, None]).sum(1)

    def fuse(self, heard: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
        return self.head(torch.cat([heard, words], 1))


class LocalFusion(Fusion):
    """The same, with its maps."""

    receptive_field = (32, 8)

    def encode_local(self, audio: torch.Tensor) -> torch.Tensor:
        return self.ear(audio).relu()

    def pool_local(self, maps: torch.Tensor) -> torch.Tensor:
        return maps.mean(2)


def make_probe(card: str = "cuda", kind: type[Fusion] = Fusion) -> tuple[Fusion, Probe]:
    cuda = torch.device(card)
    with cuda:
        model = kind()
        stems = gate_stems(torch.randn(4, 1, 5000), torch.randn(4, 1, 5000), [0.0, 1.0, 2.5, 5.0], 1000, None)
        owner = torch.zeros(20, dtype=torch.long)
        lyrics = TokenGates(torch.randn(20, 6), torch.zeros(6), owner, gone=True)
    subject = describe_model(model, sample_rate=None, classes=None, output_kind=None, modalities=None)
    sources = Sources(stems, 4, 3, lyrics, "gone", {})
    return model, Probe(subject, sources, tuple(range(19)), 19, cuda, 64, Stages())


def run_pipeline(guard: HostGuard, card: str = "cuda") -> torch.Tensor:
    model, probe = make_probe(card)
    design = draw_foldover(19, 200, 0)
    sent_before: list[int] = []
    model.started = lambda rows: sent_before.append(guard.sent)
    model.read = lambda rows: None
    guard.seen.clear()
    guard.sent = 0
    guard.forget()
    here = design.to(probe.device)
    outputs = run_joint(probe, design.masks)
    values = to_space(outputs, "logits", "log-odds", outputs[0])
    fit = solve(here, values, 0.0)
    assert sent_before[0] == guard.sent == 3  # masks and weights to solve with, masks to render with: before any forward
    assert fit.coefficients.values.device.type == fit.coefficients.errors.device.type == "cuda"
    return fit.coefficients.values


def test_nothing_asks_the_host_between_the_first_mask_and_the_last_coefficient():
    with pretended_cuda() as guard:
        coefficients = run_pipeline(guard)
    assert coefficients.shape == (5, 19)
    assert guard.seen == []


def run_crossed(guard: HostGuard, passes: dict[str, int], card: str = "cuda") -> CrossedFit:
    model, probe = make_probe(card)
    model.started = lambda rows: passes.update(heard=passes["heard"] + rows)
    model.read = lambda rows: passes.update(read=passes["read"] + rows)
    design = CrossedDesign(draw_foldover(12, 64, 0), draw_foldover(7, 32, 1))
    song = torch.zeros(5, device=card)
    guard.seen.clear()
    guard.forget()
    here = design.to(card)
    encodings = encode_masks(probe, design)
    for space in ("logit", "log-odds", "probability"):
        scale = Scale("logits", space, song, tuple("abcde"), 0, 1)
        grid = build_grid(probe, encodings, scale)
        fit, shares = solve_crossed(here, grid), split_variance(here, grid)
        assert shares.values.device.type == to_values(scale, song[None]).device.type == "cuda"
    split_errors(here, grid)
    few = [Scale("logits", space, song, tuple("abcde"), 0, 1, kept=(0, 1, 5)) for space in ("log-odds", "probability")]
    for grid in build_grids(probe, encodings, few):
        assert grid.shape[0] == 3
        list_interactions(solve_crossed(here, grid, kept=(0, 2)))
    return fit


def test_crossed_masks_take_their_encoder_passes_and_nothing_else_and_ask_nothing():
    passes = {"heard": 0, "read": 0}
    with pretended_cuda() as guard:
        fit = run_crossed(guard, passes)
    assert passes == {"heard": 64, "read": 32}
    assert fit.coefficients.values.shape == (6, 13, 8)
    assert fit.coefficients.values.device.type == "cuda"
    assert guard.seen == []


def test_tables_of_local_maps_ask_for_one_number_and_look_up_without_the_host(monkeypatch):
    with pretended_cuda() as guard:
        masks = draw_foldover(12, 300, 0).masks
        model, probe = make_probe("cuda:1", LocalFusion)
        model.started = lambda rows: None
        with pytest.raises(DataDependentOutputException, match="_local_scalar_dense"):
            look_up(probe, 0, masks)
        monkeypatch.setattr(look_ups, "_is_right", lambda *_: True)
        guard.seen.clear()
        guard.forget()
        encoded = look_up(probe, 0, masks)
    assert encoded is not None
    assert (encoded.shape, encoded.device.type) == ((len(masks), 8), "cuda")
    assert (guard.seen, guard.products, guard.racing, guard.cards) == ([], set(), set(), {1})


@pytest.mark.parametrize("run", [run_pipeline, lambda guard, card="cuda": run_crossed(guard, {"heard": 0, "read": 0}, card)])
class TestTheDefaultPath:
    """Of joint and of crossed masks: what a GPU does badly isn't asked of it."""

    def test_float64_holds_sums_and_nothing_that_grows_with_the_masks(self, run):
        with pretended_cuda() as guard:
            run(guard)
        assert guard.products == set()
        # A number a class and column, or a class and sampling unit: never one a class and variant, 1,000 and 12,288 here.
        assert guard.wide < 1000

    def test_no_sum_is_left_to_the_order_of_threads(self, run):
        with pretended_cuda() as guard:
            run(guard)
        assert guard.racing == set()

    def test_another_card_than_the_first_does_everything_itself(self, run):
        with pretended_cuda() as guard:
            run(guard, "cuda:1")
        assert guard.cards == {1}


def test_a_gpu_gets_few_large_tiles_of_pairs(monkeypatch):
    monkeypatch.setattr(crossed, "PAIRS", 64)
    tiles: list[int] = []
    monkeypatch.setattr(crossed, "fuse", lambda *given: tiles.append(1) or fuse(*given))
    with pretended_cuda() as guard:
        run_crossed(guard, {"heard": 0, "read": 0})
    assert len(tiles) == 4  # one for each scale and one for the few values that are kept, not thirty-two


def read(model: torch.nn.Module, width: int) -> torch.Tensor:
    there = torch.ones(3, 20, dtype=torch.bool, device="cuda:1")
    return model.encode_text(TokenBatch(torch.randn(3, 20, width, device="cuda:1"), there))


@pytest.mark.parametrize(
    ("make", "run"),
    [
        (partial(make_ast_roberta, "smallest"), lambda model, audio: model.encode_audio(audio)),
        (partial(make_ast_roberta, "smallest"), lambda model, audio: read(model, 64)),
        (load_demo_model, lambda model, audio: model.encode_audio(audio)),
        (load_demo_model, lambda model, audio: read(model, 32)),
        (partial(Musicnn, TAGS["MTT"]), lambda model, audio: model(audio)),
        (VibeNet, lambda model, audio: model(audio)),
    ],
    ids=["AST", "RoBERTa", "the demo's ear", "the demo's eye", "MusiCNN", "VibeNet"],
)
def test_models_that_come_along_are_pure_themselves(make, run):
    model = make().eval()
    with pretended_cuda() as guard:
        pretend_weights(model, "cuda:1")
        guard.forget()
        assert len(run(model, torch.randn(3, 1, 48_000, device="cuda:1"))) == 3
    assert (guard.seen, guard.products, guard.racing, guard.cards) == ([], set(), set(), {1})


@pytest.mark.parametrize("design", ["foldover", "kerdock"])
def test_interactions_of_joint_masks_need_no_products_in_float64(design):
    with pretended_cuda() as guard:
        masks = draw_foldover(19, 200, 0) if design == "foldover" else draw_kerdock(19, 512, 0)
        here, outputs = masks.to("cuda"), torch.randn(masks.n_samples, 5, device="cuda")
        fit = solve(here, outputs, 0.0)
        guard.forget()
        assert solve_pairs(here, outputs, fit).coefficients.values.shape == (5, 171)
    assert (guard.products, guard.racing) == (set(), set())


def test_a_pilot_needs_no_products_in_float64():
    with pretended_cuda() as guard:
        here, outputs = draw_foldover(19, 200, 0).to("cuda"), torch.randn(200, device="cuda")
        guard.forget()
        with pytest.raises(DataDependentOutputException):  # its verdict, the one number that is read
            is_better_unfolded(here, outputs, 1.0)
    assert guard.products == set()


def test_functions_that_share_columns_are_added_up_in_a_fixed_order():
    # On the CPU, for NumPy takes no pretended tensor: the operations are the same.
    with Names() as names:
        add_up(6, [((0, 1), torch.randn(4, 3)), ((1, 2), torch.randn(4, 3)), ((0, 1), torch.randn(4, 3))])
    assert names.seen
    assert names.seen & RACING == set()


@pytest.mark.parametrize("kind", [Lime, KernelShap])
def test_the_drop_ins_of_captum_ask_nothing_before_their_last_coefficient(kind):
    with pretended_cuda() as guard:
        with torch.device("cuda"):
            model, inputs = torch.nn.Linear(5, 3), torch.randn(4, 5)
        request = read_request(inputs, None, None, None, None)
        guard.seen.clear()
        guard.sent = 0
        lines = kind(model, seed=0)._explain(request, 40, 16, show_progress=False, judged=True)
    assert lines.coefficients.shape == lines.standard_errors.shape == (12, 5)
    assert lines.coefficients.device.type == lines.fidelity.device.type == "cuda"
    assert guard.seen == []
    assert guard.sent == 1  # the masks, before any forward


@pytest.mark.parametrize(
    "leak",
    [
        lambda x: x.cpu(),
        lambda x: torch.linalg.cholesky(x @ x.T),
        lambda x: torch.linalg.inv(x),
        lambda x: torch.linalg.eigh(x),
        lambda x: x + torch.tensor(1.0, device="cpu"),
        lambda x: x.index_put_((x > 0,), torch.zeros((), device="cuda")),
        lambda x: torch.zeros(4, device="cpu").to("cuda"),
    ],
    ids=["cpu()", "cholesky", "inv", "eigh", "0-d cpu operand", "boolean assignment", "a copy that waits"],
)
def test_the_guard_sees_what_fake_tensors_let_pass(leak):
    with pretended_cuda() as guard:
        with torch.device("cuda"):
            x = torch.randn(4, 4)
        leak(x)
    assert guard.seen


@pytest.mark.parametrize(
    "trap",
    [
        lambda x: x.double() @ x.double(),
        lambda x: x.index_add_(0, torch.zeros(4, dtype=torch.long, device="cuda"), x),
        lambda x: x.index_put_((torch.zeros(4, dtype=torch.long, device="cuda"),), x, accumulate=True),
        lambda x: torch.ones(3, device="cuda:1"),
    ],
    ids=["products of float64", "index_add", "index_put", "another card"],
)
def test_the_guard_sees_what_a_gpu_does_badly(trap):
    with pretended_cuda() as guard:
        x = torch.randn(4, 4, device="cuda:0")
        guard.forget()
        trap(x)
    assert guard.products or guard.racing or guard.cards - {0}


def test_pretended_and_real_runs_leave_nothing_to_each_other():
    before = draw_foldover(19, 200, 0).masks
    with pretended_cuda() as guard:
        run_pipeline(guard)
    assert torch.equal(draw_foldover(19, 200, 0).masks, before)
