"""An explanation that sharpens: the same question with more and more masks, each result shown as it comes.

Every step is a complete explanation with twice the masks of the step before; the last is what `explain` gives. All steps
together take at most twice the forward passes of the last alone, and mostly fewer: answers are kept between steps, and masks
that a design shares with the one before are not asked again.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from musiclime_torch.explanation.answers import Answers
from musiclime_torch.explanation.explainer import explain
from musiclime_torch.explanation.explanation import Explanation
from musiclime_torch.song.track import Track

#: Masks of the first step: fewer say nothing about a song of a hundred components.
FIRST = 256


def explain_in_steps(
    model: Callable[..., Any],
    track: Track,
    *,
    n_samples: int,
    first: int = FIRST,
    evidence: bool = False,
    answers: Answers | None = None,
    **options: Any,
) -> Iterator[Explanation]:
    """Explanations with `first` masks, twice as many, four times as many, and so on up to `n_samples`.

    Args:
        model: as `explain` takes it.
        track: as `explain` takes it.
        n_samples: masks of the last step.
        first: masks of the first step, at most.
        evidence: search for evidence in the last step.
        answers: of earlier questions about this song, as `explain` takes them.
        options: other arguments of `explain`.

    Raises:
        InputError: whatever `explain` raises, at the first step.
    """
    # Masks are drawn from one seed, so that a later step's first blocks are the earlier step's masks: they are looked up.
    known, n_variants, passes = Answers() if answers is None else answers, 0, (0, 0)
    for count in plan_steps(n_samples, first):
        last = count == n_samples
        explanation = explain(model, track, n_samples=count, evidence=evidence and last, answers=known, **options)
        passes = (passes[0] + explanation.audio_passes, passes[1] + explanation.lyrics_passes)
        explanation = replace(explanation, audio_passes=passes[0], lyrics_passes=passes[1])
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
