"""An explanation that sharpens: the same question with more and more masks, each result shown as it comes.

Every step is a complete explanation with twice the masks of the step before; the last is what `explain` gives. All steps
together take at most twice the forward passes of the last alone, and mostly fewer: answers are kept between steps, and masks
that a design shares with the one before are not asked again.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from musiclime_torch.basics.arguments import read_until
from musiclime_torch.basics.progress import Stages
from musiclime_torch.explanation.answers import Answers
from musiclime_torch.explanation.explainer import explain_with
from musiclime_torch.explanation.explanation import Explanation
from musiclime_torch.explanation.settings import SETTLED, read_settings
from musiclime_torch.song.track import Track

#: Masks of the first step: fewer say nothing about a song of a hundred components.
FIRST = 256


def explain_in_steps(
    model: Callable[..., Any],
    track: Track,
    *,
    n_samples: int | None = None,
    first: int = FIRST,
    evidence: bool = False,
    evidence_in_passing: bool = False,
    answers: Answers | None = None,
    progress: bool | Stages = False,
    **options: Any,
) -> Iterator[Explanation]:
    """Explanations with `first` masks, twice as many, four times as many, and so on up to `n_samples`.

    Args:
        model: as `explain` takes it.
        track: as `explain` takes it.
        n_samples: masks of the last step; None ends once effects are as narrow as `explain` wants them by itself.
        first: masks of the first step, at most.
        evidence: search for evidence in the last step.
        evidence_in_passing: search for it there if that costs no more than the sampling did.
        answers: of earlier questions about this song, as `explain` takes them.
        progress: show a bar for each stage, or the stages to show it with.
        options: other arguments of `explain`.

    Raises:
        InputError: whatever `explain` raises, at the first step.
    """
    # Masks are drawn from one seed, so that a later step's first blocks are the earlier step's masks: they are looked up.
    known, n_variants, passes, settled = Answers() if answers is None else answers, 0, (0, 0), False
    settings = read_settings({**options, "n_samples": n_samples})
    steps = deque(plan_steps(settings.total, first))
    while steps:
        count = steps.popleft()
        last = settled or not steps
        # Without a number the last step is what `explain` gives by itself, and finds most of it answered.
        asked = replace(
            settings, n_samples=n_samples if last else count, evidence=evidence and last, edits=settings.edits and last
        )
        explanation = explain_with(model, track, asked, progress, known, evidence_in_passing and last)
        passes = (passes[0] + explanation.audio_passes, passes[1] + explanation.lyrics_passes)
        explanation = replace(explanation, audio_passes=passes[0], lyrics_passes=passes[1])
        # Masks come in whole blocks: two small numbers of them may be rounded to the same design.
        if explanation.n_variants > n_variants or last:
            yield explanation
        if last:
            break
        n_variants, settled = explanation.n_variants, n_samples is None and _is_sharp(explanation)


def _is_sharp(explanation: Explanation) -> bool:
    """Whether every interval is narrow enough to end at, where no number of masks is given."""
    until, row = read_until(SETTLED), explanation.target
    return bool((explanation.half_width[row] <= until.width * explanation.attributions[row].abs().max()).all())


def plan_steps(n_samples: int, first: int) -> list[int]:
    """Numbers of masks, each at least twice the one before.

    >>> plan_steps(2048, 256), plan_steps(1000, 256), plan_steps(100, 256)
    ([256, 512, 1024, 2048], [500, 1000], [100])
    """
    steps = [n_samples]
    while steps[0] >= 2 * first:
        steps.insert(0, steps[0] // 2)
    return steps
