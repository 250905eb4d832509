"""The song itself and the empty song: the two outputs that every attribution is measured between."""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from musiclime_torch.basics.errors import InputError
from musiclime_torch.models.answering.asked import Asked
from musiclime_torch.models.answering.transcribing import Transcribing
from musiclime_torch.models.subject import Subject
from musiclime_torch.surrogate.design import mask_ends
from musiclime_torch.surrogate.signed import full_precision, rounds_products
from musiclime_torch.variants.asking import run_joint
from musiclime_torch.variants.probe import Probe
from musiclime_torch.variants.renderings import Kept


def ask_ends(probe: Probe) -> tuple[Float[Tensor, "2 class"], tuple[str, ...]]:
    """Outputs for the song and the empty song, and what a lower precision does to them."""
    # Every attribution is measured between these two outputs, and the scale and the target are chosen by them.
    masks = mask_ends(len(probe.seen))
    ends = run_joint(probe, masks)
    if probe.precision != "float32" and not probe.subject.late_fusion:
        return ends, (f"{probe.subject.name} has no separate encoders: all of it ran in float32.",)
    if probe.precision != "float32":
        what, exact = "encoders in bfloat16 change", run_joint(replace(probe, precision="float32"), masks)
    elif rounds_products():
        # Kept answers know nothing of torch's settings: these are for the comparison alone.
        with full_precision(probe.device):
            exact = run_joint(replace(probe, kept=Kept()), masks)
        what = "products rounded to TensorFloat-32 or bfloat16, as torch is set, change"
    else:
        return ends, ()
    moved, span = (ends - exact).abs().amax(), (exact[0] - exact[1]).abs().amax()
    return ends, (
        f"{what} the outputs by up to {float(moved):.2g}, where song and empty song differ by up to {float(span):.2g}.",
    )


def refuse_deaf(subject: Subject, ends: Float[Tensor, "2 class"]) -> None:
    """InputError where a language model answers the song and the empty song alike to the last bit."""
    # Sound that doesn't reach a language model raises nothing, and neither do words: the answer is just always the same.
    if isinstance(subject.model, Asked | Transcribing) and torch.equal(ends[0], ends[1]):
        raise InputError(
            f"{subject.name} answers the song and the empty song alike to the last bit: neither sound nor lyrics reach it."
        )
