"""What a model makes of a song as it is: its outputs by class, with probabilities where there are any. No masks, one answer.

The song is brought to the model's rate, channels and windows exactly as `explain` does it. With the empty song it gives the
two outputs that every attribution is measured between.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from musiclime_torch.basics.choices import OutputKind
from musiclime_torch.basics.errors import InputError
from musiclime_torch.basics.progress import Stages
from musiclime_torch.explanation.sentences import say_percent
from musiclime_torch.models.answering.asked import Asked
from musiclime_torch.models.answering.transcribing import Transcribing
from musiclime_torch.models.subject import Subject, describe_model
from musiclime_torch.song.track import Track
from musiclime_torch.surrogate.design import mask_ends
from musiclime_torch.surrogate.signed import full_precision, rounds_products
from musiclime_torch.variants.asking import run_joint
from musiclime_torch.variants.components import list_components
from musiclime_torch.variants.probe import Probe, pick_device, probing
from musiclime_torch.variants.renderings import Kept
from musiclime_torch.variants.scale import list_spaces, pick_space, settle_scale, to_space

#: Characters of a percentage: "over 99%".
_WIDTH = 8


@dataclass(frozen=True)
class Prediction:
    """A model's outputs for a song, in the order of its classes; `probabilities` is None where the outputs have none.

    >>> Prediction("logits", ("sad", "glad"), (0.0, 1.0), (0.27, 0.73)).top(1)
    [('glad', 1.0, 0.73)]
    """

    output_kind: OutputKind
    classes: tuple[str, ...]
    outputs: tuple[float, ...]
    probabilities: tuple[float, ...] | None

    def top(self, k: int) -> list[tuple[str, float, float | None]]:
        """The k classes with the largest outputs: (class, output, probability)."""
        chances = self.probabilities or (None,) * len(self.classes)
        rows = zip(self.classes, self.outputs, chances, strict=True)
        return sorted(rows, key=lambda row: -row[1])[:k]

    def to_record(self) -> dict[str, Any]:
        """As JSON takes it, largest output first."""
        rows = self.top(len(self.classes))
        named = [{"class": name, "output": output, "probability": chance} for name, output, chance in rows]
        return {"output_kind": self.output_kind, "classes": named}

    def to_text(self, k: int) -> str:
        """A line for each of the k largest outputs: probability, output, class."""
        heading = f"{'':>{_WIDTH if self.probabilities else 0}}{self.output_kind:>14}"
        lines = [
            ("" if chance is None else f"{say_percent(chance):>{_WIDTH}}") + f"{output:14.4g}  {name}"
            for name, output, chance in self.top(k)
        ]
        more = len(self.classes) - k
        return "\n".join([heading, *lines, *([f"{more} more classes."] if more > 0 else [])])


def predict(
    model: Callable[..., object],
    track: Track,
    *,
    batch_size: int = 64,
    device: torch.device | str | None = None,
    sample_rate: int | None = None,
    channels: int | None = None,
    classes: Sequence[str] | None = None,
    output_kind: str | None = None,
    modalities: Sequence[str] | None = None,
) -> Prediction:
    """A model's outputs for a song; the arguments are those of `explain`. The model is left as it was.

    An embedding's outputs are its coordinates. A song longer than the model's window gets the mean over windows.

    Raises:
        InputError: whatever `explain` refuses of the model and the song.
    """
    subject = describe_model(
        model, sample_rate=sample_rate, channels=channels, classes=classes, output_kind=output_kind, modalities=modalities
    )
    components = list_components(track, 1, "section", subject.modalities)
    there = pick_device(subject, device)
    with probing(subject, track, components, "silence", None, 0, there, batch_size, "float32", Stages()) as probe:
        outputs = run_joint(probe, mask_ends(len(probe.seen))[:1]).cpu()
    kind = subject.output_kind
    if kind == "embedding":
        if not outputs.isfinite().all():
            raise InputError(f"the model {subject.name} returned NaN or infinite numbers: its embedding must be finite.")
        names = tuple(f"dimension {number}" for number in range(outputs.shape[1]))
        return Prediction(kind, names, tuple(outputs[0].tolist()), None)
    scale = settle_scale(subject, outputs.expand(2, -1), pick_space(None, kind), None, None)
    chances = None
    if kind == "probabilities" or "probability" in list_spaces(kind, outputs.shape[1]):
        chances = tuple(to_space(outputs, kind, "probability", outputs[0])[0].tolist())
    return Prediction(kind, scale.classes, tuple(outputs[0].double().tolist()), chances)


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
