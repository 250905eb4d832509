"""What an explanation was asked, read back from it: the same model can be asked again, and the song explained again."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

from musiclime_torch.components import list_components
from musiclime_torch.evaluation import Probe, ask
from musiclime_torch.explainer import explain
from musiclime_torch.explanation import Explanation
from musiclime_torch.failures import InputError
from musiclime_torch.models.subject import describe_model
from musiclime_torch.probing import pick_device, probing, settle_scale
from musiclime_torch.spaces import Scale
from musiclime_torch.track import Track

#: What a model says of itself, where the caller said it.
_DECLARED = ("sample_rate", "classes", "output_kind", "modalities")


@dataclass(frozen=True)
class Question:
    """A model, a track, and the arguments that `explain` took."""

    model: Callable[..., Any]
    track: Track
    options: dict[str, Any] = field(repr=False)

    def explain_again(self, **changes: Any) -> Explanation:
        """The explanation with some arguments changed, such as the seed."""
        return explain(self.model, self.track, **self.options | changes)


def recall(
    model: Callable[..., Any],
    track: Track,
    explanation: Explanation,
    baseline: Track | None,
    device: torch.device | str | None,
) -> Question:
    """The question behind an explanation; `baseline` is the song whose stems stood in, where it was one.

    InputError where the explanation doesn't tell all of it, or is of other components than this model and track have.
    """
    settings = explanation.provenance.get("settings", {})
    if "target" not in settings:
        raise InputError("the explanation was saved by a version that kept less of its question: explain the song again.")
    if settings["baseline"] not in (None, "silence", "noise") and baseline is None:
        raise InputError(f"the stems of {settings['baseline']!r} stood in for removed ones: give that track as baseline.")
    counts = settings["n_samples"]
    options = settings | {
        "space": explanation.space,
        "confidence": explanation.confidence,
        "baseline": settings["baseline"] if baseline is None else baseline,
        "n_samples": counts if isinstance(counts, int) else tuple(counts),
        "device": device,
    }
    subject = describe_model(model, **{name: options[name] for name in _DECLARED})
    if list_components(track, options["segments"], options["units"], subject.modalities) != explanation.components:
        raise InputError("the explanation has other components than this model and song: give those that it was made of.")
    return Question(model, track, options)


@contextmanager
def asking(question: Question, advance: Callable[[int], object]) -> Iterator[tuple[Probe, Scale]]:
    """A probe that gives every variant the outputs that the explanation saw, and the explanation's scale."""
    options = question.options
    subject = describe_model(question.model, **{name: options[name] for name in _DECLARED})
    components = list_components(question.track, options["segments"], options["units"], subject.modalities)
    with probing(
        subject,
        question.track,
        components,
        options["baseline"],
        options["lyrics_baseline"],
        options["seed"],
        pick_device(subject, options["device"]),
        options["batch_size"],
        options["precision"],
        advance,
    ) as probe:
        ends = ask(probe, torch.tensor([[True], [False]]).expand(2, len(probe.seen)))
        yield probe, settle_scale(subject, ends, options["space"], options["target"], options["foil"])
