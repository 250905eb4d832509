"""An explanation that sharpens: the same question with more and more masks, each result shown as it comes.

Every step is a complete explanation with twice the masks of the step before; the last is what `explain` gives. All steps
together take at most twice the forward passes of the last alone. A late-fusion model takes fewer: its encodings are kept
between steps, and masks that a design shares with the one before are not encoded again.
"""

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from musiclime_torch.explanation.explainer import explain
from musiclime_torch.explanation.explanation import Explanation
from musiclime_torch.models.care import module_behind
from musiclime_torch.models.contract import TokenBatch
from musiclime_torch.models.subject import is_late_fusion, name_model
from musiclime_torch.song.track import Track

#: Masks of the first step: fewer say nothing about a song of a hundred components.
FIRST = 256


class Remembering:
    """A late-fusion model that encodes no batch twice. Everything else, its declarations included, is the model's own.

    Encodings are kept by a hash of their inputs: kilobytes per batch, where the audio would take megabytes.
    """

    def __init__(self, model: Callable[..., Any]) -> None:
        self.model, self.name = model, name_model(model)
        self.module = module_behind(model)  # where `module_behind` looks for it
        self._kept: dict[tuple[str, bytes], Any] = {}

    def __getattr__(self, name: str) -> Any:
        if name == "model":  # not set yet while a copy is being made
            raise AttributeError(name)
        return getattr(self.model, name)

    def __call__(self, *inputs: Any) -> Any:
        """The model's own forward pass."""
        return self.model(*inputs)

    def encode_audio(self, audio: Tensor) -> Any:
        """The model's encoding of a batch of audio, computed once."""
        return self._recall("encode_audio", audio)

    def encode_text(self, text: Any) -> Any:
        """The model's encoding of a batch of lyrics, computed once."""
        return self._recall("encode_text", text)

    def _recall(self, part: str, batch: Any) -> Any:
        encode = getattr(self.model, part)
        key = (part, _digest(batch))
        if key not in self._kept:
            self._kept[key] = encode(batch)
        return self._kept[key]


def explain_in_steps(
    model: Callable[..., Any],
    track: Track,
    *,
    n_samples: int,
    first: int = FIRST,
    evidence: bool = False,
    **options: Any,
) -> Iterator[Explanation]:
    """Explanations with `first` masks, twice as many, four times as many, and so on up to `n_samples`.

    Args:
        model: as `explain` takes it.
        track: as `explain` takes it.
        n_samples: masks of the last step.
        first: masks of the first step, at most.
        evidence: search for evidence in the last step.
        options: other arguments of `explain`.

    Raises:
        InputError: whatever `explain` raises, at the first step.
    """
    # Masks are drawn from one seed, so that a later step's first blocks are the earlier step's masks: their encodings are
    # looked up. A model without separate encoders has no such parts, and every step runs in full.
    late = is_late_fusion(model)
    remembering = Remembering(model) if late else model
    n_variants = 0
    for count in plan_steps(n_samples, first):
        last = count == n_samples
        explanation = explain(remembering, track, n_samples=count, evidence=evidence and last, **options)
        # Masks come in whole blocks: two small numbers of them may be rounded to the same design.
        if explanation.n_variants > n_variants or last:
            yield explanation
        n_variants = explanation.n_variants


def plan_steps(n_samples: int, first: int) -> list[int]:
    """Numbers of masks, each at least twice the one before.

    >>> plan_steps(2048, 256), plan_steps(1000, 256), plan_steps(100, 256)
    ([256, 512, 1024, 2048], [500, 1000], [100])
    """
    steps = [n_samples]
    while steps[0] >= 2 * first:
        steps.insert(0, steps[0] // 2)
    return steps


def _digest(batch: Any) -> bytes:
    parts = [batch.embeddings, batch.attended] if isinstance(batch, TokenBatch) else [batch]
    digest = hashlib.blake2b()
    for part in parts:
        if isinstance(part, Tensor):
            digest.update(repr((part.shape, part.dtype)).encode())
            digest.update(part.detach().contiguous().cpu().flatten().view(torch.uint8).numpy().tobytes())
        else:
            digest.update(repr(part).encode())
    return digest.digest()
