"""Do CPU and GPU agree, does nothing wait between the first mask and the last coefficient, and does Captum's contract hold?

The embedded song is explained on both, from the same masks. Then the stages run under torch's own guard,
`set_sync_debug_mode("error")`, which raises wherever the host waits for the device.
"""

from collections.abc import Callable, Iterator
from typing import Any

import captum.attr
import torch
from captum.metrics import infidelity
from torch import Tensor, nn

from benchmarks.gpu.job import Job, Row, name_error
from benchmarks.tools.tuning import Tuning
from benchmarks.worlds.world import make_probe
from musiclime_torch import MusicLIME, Track, explain
from musiclime_torch.captum import KernelShap, Lime
from musiclime_torch.demo import load_demo_model, load_demo_track
from musiclime_torch.models import evaluating
from musiclime_torch.surrogate import CrossedDesign, draw_foldover, solve, solve_crossed, split_variance
from musiclime_torch.variants import Probe, Scale, encode_audio, encode_lyrics, fuse, run_joint, to_values

#: How far coefficients of the two may be apart.
TOLERANCE = 1e-4
#: Lines of the demo's table.
TOP = 8


def measure(job: Job) -> Iterator[Row]:
    """Agreement first: nothing else counts without it."""
    model, track = load_demo_model(), load_demo_track()
    rows = 64 if job.small else 512
    yield from compare(model, track, rows, job.device)
    yield judge("nothing waits between first mask and last coefficient", lambda: run_guarded(model, track, rows, job.device))
    for name, check in list_promises(job.device).items():
        yield judge(f"Captum: {name}", check)


def judge(name: str, check: Callable[[], str]) -> Row:
    """A line for a check: what it says, or how it failed."""
    try:
        return {"check": name, "result": "holds", "figure": check()}
    # All errors: each check is of its own worth, and the next one runs whatever this one raised.
    except Exception as error:
        return {"check": name, "result": "FAILS", "figure": name_error(error)}


def compare(model: nn.Module, track: Track, rows: int, device: torch.device) -> Iterator[Row]:
    """Coefficients, errors and the demo's table, of one explanation on the CPU and two on the device."""
    options: dict[str, Any] = {"n_samples": (rows, rows), "evidence": False}
    plain = explain(model.cpu(), track, device="cpu", **options)
    model.to(device)
    there, again = (explain(model, track, device=device, **options) for _ in range(2))
    apart = float((plain.attributions - there.attributions).abs().max())
    yield judge(f"coefficients within {TOLERANCE:g} of the CPU's", lambda: expect(apart <= TOLERANCE, f"{apart:.1e} apart"))
    errors = float((plain.standard_errors - there.standard_errors).abs().max())
    yield judge(f"standard errors within {TOLERANCE:g}", lambda: expect(errors <= TOLERANCE, f"{errors:.1e} apart"))
    tables = [explanation.attributions[plain.target].abs().topk(TOP).indices.tolist() for explanation in (plain, there)]
    yield judge(f"the demo's table has the same {TOP} lines", lambda: expect(tables[0] == tables[1], str(tables[1])))
    same = torch.equal(there.attributions, again.attributions)
    yield judge("twice the same, to the last bit", lambda: expect(same, "equal" if same else "different"))


def expect(holds: bool, figure: str) -> str:
    """The figure; AssertionError where it should be another one."""
    if not holds:
        raise AssertionError(figure)
    return figure


def run_guarded(model: nn.Module, track: Track, rows: int, device: torch.device) -> str:
    """All stages, once to warm up and once where waiting raises."""
    probe = make_probe(model, track, tuning=Tuning(device))
    run_stages(probe, rows)
    if device.type != "cuda":
        return "only run: a CPU has nothing to wait for"
    torch.cuda.synchronize(device)
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        run_stages(probe, rows)
    finally:
        torch.cuda.set_sync_debug_mode(before)
    return "joint and crossed, all scales, interactions and errors"


def run_stages(probe: Probe, rows: int) -> list[Tensor]:
    """Coefficients of joint and of crossed masks, as `explain` comes to them."""
    count = len(probe.subject.classes or ())
    kind = probe.subject.output_kind
    song = torch.zeros(count, device=probe.device)
    found: list[Tensor] = []
    with evaluating(probe.subject.module):
        joint = draw_foldover(len(probe.seen), rows, 0)
        outputs = run_joint(probe, joint.masks)
        found.append(solve(joint.to(probe.device), outputs, 0.0).coefficients.values)
        design = CrossedDesign(draw_foldover(len(probe.seen_audio), rows, 0), draw_foldover(len(probe.seen_lyrics), rows, 1))
        pairs = fuse(probe, encode_audio(probe, design.audio.masks), encode_lyrics(probe, design.lyrics.masks))
        here = design.to(probe.device)
        for space in ("logit", "probability"):
            scale = Scale(kind, space, song, tuple(map(str, range(count))), 0, None)
            values = to_values(scale, pairs).movedim(2, 0).contiguous()
            found += [solve_crossed(here, values).main.values, split_variance(here, values).values]
    return found


def list_promises(device: torch.device) -> dict[str, Callable[[], str]]:
    """What Captum's users rely on, by name."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(6, 4, generator=generator)
    x = (torch.randn(3, 6, generator=generator) + 2).to(device)

    def on(where: torch.device) -> Callable[[Tensor], Tensor]:
        moved = weight.to(where)
        return lambda z: torch.tanh(z @ moved / 4)

    def keeps() -> str:
        result = MusicLIME(on(device)).attribute(x, target=1, perturbations_per_eval=64)
        return expect((result.shape, result.device, result.dtype) == (x.shape, x.device, x.dtype), str(result.device))

    def is_exact() -> str:
        moved = weight.to(device)
        result = MusicLIME(lambda z: z @ moved).attribute(x, target=1, perturbations_per_eval=64)
        error = float((result - moved[:, 1] * x).abs().max())
        return expect(error < 1e-4, f"{error:.1e} off")

    def agrees(kind: Any) -> Callable[[], str]:
        def check() -> str:
            options = {"n_samples": 200, "perturbations_per_eval": 50}
            here, there = (kind(on(z.device), seed=0).attribute(z, **options) for z in (x.cpu(), x))
            error = float((here - there.cpu()).abs().max())
            return expect(error < TOLERANCE, f"{error:.1e} from the CPU's")

        return check

    def is_an_attribution() -> str:
        method = MusicLIME(lambda z: z @ weight.to(device))
        missed = infidelity(
            lambda z: z @ weight.to(device),
            lambda inputs: (0.1 * torch.ones_like(inputs), inputs - 0.1),
            x,
            method.attribute(x, target=1, perturbations_per_eval=64) / x,
            target=1,
        )
        known = isinstance(method, captum.attr.PerturbationAttribution)
        return expect(known and float(missed.max()) < 1e-4, f"infidelity {float(missed.max()):.1e}")

    return {
        "shape, device and dtype are the input's": keeps,
        "exact on a linear model": is_exact,
        "Lime as on the CPU": agrees(Lime),
        "KernelShap as on the CPU": agrees(KernelShap),
        "Captum's own metrics take it": is_an_attribution,
    }
