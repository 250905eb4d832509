"""The pipeline on a pretended CUDA device: between the first mask and the last coefficient nothing asks the host.

FakeTensorMode itself raises on `.item()`, `if tensor:`, boolean indexing and device mixing. The guard below catches what it
lets pass: copies to the CPU, checking or synchronising linear algebra, mixed devices and 0-d CPU operands.
"""

from typing import Any

import pytest
import torch
from pretended_cuda import HostGuard, pretended_cuda

from musiclime_torch.basics.progress import Stages
from musiclime_torch.captum import KernelShap, Lime
from musiclime_torch.captum.request import read_request
from musiclime_torch.explanation.estimation.crossed import build_grid, encode_masks
from musiclime_torch.models.contract import TokenBatch
from musiclime_torch.models.subject import describe_model
from musiclime_torch.surrogate.blocks import draw_foldover
from musiclime_torch.surrogate.crossed import solve_crossed
from musiclime_torch.surrogate.design import CrossedDesign
from musiclime_torch.surrogate.solver import solve
from musiclime_torch.surrogate.variance import split_variance
from musiclime_torch.variants.asking import run_joint
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


def make_probe() -> tuple[Fusion, Probe]:
    cuda = torch.device("cuda")
    with cuda:
        model = Fusion()
        stems = gate_stems(torch.randn(4, 1, 5000), torch.randn(4, 1, 5000), [0.0, 1.0, 2.5, 5.0], 1000, None)
        owner = torch.zeros(20, dtype=torch.long)
        lyrics = TokenGates(torch.randn(20, 6), torch.zeros(6), owner, gone=True)
    subject = describe_model(model, sample_rate=None, classes=None, output_kind=None, modalities=None)
    sources = Sources(stems, 4, 3, lyrics, "gone", {})
    return model, Probe(subject, sources, tuple(range(19)), 19, cuda, 64, Stages())


def run_pipeline(guard: HostGuard) -> torch.Tensor:
    model, probe = make_probe()
    design = draw_foldover(19, 200, 0)
    sent_before: list[int] = []
    model.started = lambda rows: sent_before.append(guard.sent)
    model.read = lambda rows: None
    guard.seen.clear()
    guard.sent = 0
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


def test_crossed_masks_take_their_encoder_passes_and_nothing_else_and_ask_nothing():
    with pretended_cuda() as guard:
        model, probe = make_probe()
        passes = {"heard": 0, "read": 0}
        model.started = lambda rows: passes.update(heard=passes["heard"] + rows)
        model.read = lambda rows: passes.update(read=passes["read"] + rows)
        design = CrossedDesign(draw_foldover(12, 64, 0), draw_foldover(7, 32, 1))
        song = torch.zeros(5, device="cuda")
        guard.seen.clear()
        here = design.to("cuda")
        encodings = encode_masks(probe, design)
        for space in ("logit", "log-odds", "probability"):
            scale = Scale("logits", space, song, tuple("abcde"), 0, 1)
            grid = build_grid(probe, encodings, scale)
            fit, shares = solve_crossed(here, grid), split_variance(here, grid)
        values = to_values(scale, song[None])
    assert passes == {"heard": 64, "read": 32}
    assert fit.coefficients.values.shape == (6, 13, 8)
    assert fit.coefficients.values.device.type == shares.values.device.type == values.device.type == "cuda"
    assert guard.seen == []


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
    ],
    ids=["cpu()", "cholesky", "inv", "eigh", "0-d cpu operand", "boolean assignment"],
)
def test_the_guard_sees_what_fake_tensors_let_pass(leak):
    with pretended_cuda() as guard:
        with torch.device("cuda"):
            x = torch.randn(4, 4)
        leak(x)
    assert guard.seen


def test_pretended_and_real_runs_leave_nothing_to_each_other():
    before = draw_foldover(19, 200, 0).masks
    with pretended_cuda() as guard:
        run_pipeline(guard)
    assert torch.equal(draw_foldover(19, 200, 0).masks, before)
