"""The scale on which a decision is explained: the same outputs serve logits, log-odds and probabilities.

Outputs are what the model returned, values are those outputs in a space. A `Scale` is settled once, from the outputs on the
song and on the empty song, and turns every later output into values (`to_values`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import SupportsIndex

import torch
from jaxtyping import Float
from torch import Tensor

from musiclime_torch.basics.arguments import find_class
from musiclime_torch.basics.choices import OutputKind, Space
from musiclime_torch.basics.errors import InputError
from musiclime_torch.models.subject import Subject
from musiclime_torch.surrogate.design import send
from musiclime_torch.surrogate.fit import pick
from musiclime_torch.surrogate.signed import pick_precision

#: Which spaces each kind of output can be shown in; the first is used when none is asked for.
OFFERED: dict[OutputKind, tuple[Space, ...]] = {
    "logits": ("logit", "log-odds", "probability"),
    "multilabel": ("logit", "log-odds", "probability"),
    "probabilities": ("probability", "log-odds"),
    "regression": ("raw",),
    "similarity": ("cosine",),
    "embedding": ("raw",),
}

#: Sums of exponentials in float32 keep their digits above it.
FAINT = 1e-30

#: The two variants that every explanation begins with, as messages name them.
ENDS = ("the song itself", "the empty song")


@dataclass(frozen=True)
class Scale:
    """How outputs are looked at: their kind and space, the song's own outputs, and which class is asked about.

    `classes` name the values. With a `foil` there is one more, target minus foil: why the one and not the other. `kept` are
    the values whose interactions are solved, None for all.
    """

    output_kind: OutputKind
    space: Space
    song: Float[Tensor, " class"]
    classes: tuple[str, ...]
    target: int
    foil: int | None
    kept: tuple[int, ...] | None = None

    @property
    def column(self) -> int:
        """The value that the explanation is about; -1 is the contrast."""
        return self.target if self.foil is None else -1

    def on(self, space: Space) -> "Scale":
        """The same outputs in another space."""
        return replace(self, space=space)


def pick_space(asked: Space | None, output_kind: OutputKind) -> Space:
    """The space asked for, by default the first of the kind's; InputError if such outputs can't be shown in it.

    >>> pick_space(None, "logits")
    'logit'
    """
    offered = OFFERED[output_kind]
    if asked is not None and asked not in offered:
        raise InputError(
            f"outputs that are {output_kind} can't be shown as {asked}: use {' or '.join(offered)}.", argument="space"
        )
    return asked or offered[0]


def list_spaces(output_kind: OutputKind, count: int) -> tuple[Space, ...]:
    """The spaces that `count` outputs of a kind can be looked at in, each different from the others.

    >>> list_spaces("multilabel", 7)
    ('logit', 'probability')
    """
    offered = OFFERED[output_kind]
    if output_kind == "logits" and count == 1:
        return offered[:1]
    # Logits of independent sigmoids are log-odds already.
    return tuple(space for space in offered if not (output_kind == "multilabel" and space == "log-odds"))


def settle_scale(
    subject: Subject,
    ends: Float[Tensor, "2 class"],
    space: Space,
    target: SupportsIndex | str | None,
    foil: SupportsIndex | str | None,
) -> Scale:
    """Names, target and foil, now that the number of outputs is known; `ends` are those of the song and the empty song."""
    names = _name_classes(subject, ends.shape[1])
    plain = Scale(subject.output_kind, space, ends[0], names, 0, None)
    values = to_values(plain, ends)
    check_outputs(values, names, subject.name, first=ENDS)
    # The predicted class is the song's own, whatever its variants are taken for.
    about = int(values[0].argmax()) if target is None else find_class(target, names)
    if foil is None:
        return replace(plain, target=about)
    other = find_class(foil, names)
    if other == about:
        raise InputError(f"the foil {names[other]!r} is the target itself: give another class.", argument="foil")
    return replace(plain, classes=(*names, f"{names[about]} rather than {names[other]}"), target=about, foil=other)


def _name_classes(subject: Subject, count: int) -> tuple[str, ...]:
    if subject.output_kind == "embedding":
        return ("similarity to the song",)
    if subject.classes is None:
        return tuple(f"output {column}" for column in range(count)) if count > 1 else ("output",)
    if len(subject.classes) != count:
        raise InputError(
            f"the model {subject.name} returned {count} outputs for {len(subject.classes)} class names.", argument="classes"
        )
    return subject.classes


def to_values(scale: Scale, outputs: Float[Tensor, "*rows class"]) -> Float[Tensor, "*rows value"]:
    """Outputs on the scale, the contrast last if there is one."""
    flat = to_space(outputs.flatten(0, -2), scale.output_kind, scale.space, scale.song)
    values = flat.unflatten(0, outputs.shape[:-1])
    if scale.foil is None:
        return values
    return torch.cat([values, (values[..., scale.target] - values[..., scale.foil])[..., None]], -1)


def pick_values(scales: Sequence[Scale], outputs: Float[Tensor, "*rows class"]) -> list[Float[Tensor, "*rows kept"]]:
    """On each scale those of the values that it keeps. Nothing of the size of all outputs is made where few are kept, and
    where outputs are values already they are handed on as they are.
    """
    picked, odds = [], dict[tuple[int, ...], Tensor]()
    for scale in scales:
        if scale.kept is None or len(scale.kept) == len(scale.classes) or scale.output_kind == "embedding":
            picked.append(outputs if scale.foil is None and _are_given(scale) else to_values(scale, outputs))
            continue
        flat = outputs.flatten(0, -2)
        columns = tuple(number for number in scale.kept if number < flat.shape[1])
        if scale.output_kind == "logits" and scale.space != "logit":
            if columns not in odds:
                odds[columns] = _pick_odds(flat, columns)
            values = odds[columns] if scale.space == "log-odds" else odds[columns].sigmoid()
        else:
            values = to_space(pick(flat.T, columns).T, scale.output_kind, scale.space, pick(scale.song, columns))
        if scale.foil is not None:
            both = [values[:, columns.index(number)] for number in (scale.target, scale.foil)]
            values = torch.cat([values, (both[0] - both[1])[:, None]], 1)
        picked.append(values.unflatten(0, outputs.shape[:-1]))
    return picked


def _are_given(scale: Scale) -> bool:
    """Whether outputs are values on the scale as they are."""
    given = {"logits": ("logit",), "multilabel": ("logit", "log-odds"), "probabilities": ("probability",)}
    return scale.space in given.get(scale.output_kind, ("raw", "cosine")) and scale.output_kind != "embedding"


def _pick_odds(logits: Float[Tensor, "n class"], columns: tuple[int, ...]) -> Float[Tensor, "n kept"]:
    """Log-odds of some classes, as `_log_odds` gives them, to the rounding of the logits: exponentials of all classes are
    taken once, in the logits' own precision.
    """
    wide = pick_precision(logits)
    top, winner = logits.max(1, keepdim=True)
    # The winner's exponential is 1: the others' sum is known without a difference.
    rest = (logits - top).exp_().scatter_(1, winner, 0.0).sum(1, keepdim=True).to(wide)
    log_share = pick(logits.T, columns).T.to(wide) - top - torch.log1p(rest)
    log_rest = rest.log()
    if logits.device.type != "cpu" or bool((rest < FAINT).any()):
        # Others that are all but zero beside the winner are measured by the largest of them.
        others = logits.scatter(1, winner, float("-inf"))
        second = others.amax(1, keepdim=True)
        log_rest = second - top + (others - second).exp_().sum(1, keepdim=True).to(wide).log()
    won = winner == send(torch.tensor(columns), logits.device)
    return torch.where(won, -log_rest, log_share - torch.log(-torch.expm1(log_share)))


def to_space(
    outputs: Float[Tensor, "n class"], output_kind: OutputKind, space: Space, song: Float[Tensor, " class"]
) -> Float[Tensor, "n value"]:
    """Outputs in a space, float64 on a CPU; embeddings become one column, their cosine with the `song`'s own."""
    # Float64 costs a CPU nothing, and keeps digits of log-odds; on a consumer's GPU it would be most of a solve's time.
    values = outputs.to(torch.promote_types(outputs.dtype, pick_precision(outputs)))
    if output_kind == "logits" and space != "logit" and values.shape[1] == 1:
        raise InputError(
            "one logit has no other to compete with in a softmax: give output_kind multilabel.", argument="output_kind"
        )
    # An embedding's axes mean nothing one by one. What can be explained is how near a variant stays to the song.
    if output_kind == "embedding":
        return torch.nn.functional.cosine_similarity(values, song.to(values.dtype), dim=1)[:, None]
    if space == "probability" and output_kind != "probabilities":
        return values.softmax(1) if output_kind == "logits" else values.sigmoid()
    if space == "log-odds" and output_kind == "logits":
        return _log_odds(values)
    if space == "log-odds" and output_kind == "probabilities":
        # Probabilities of 0 and 1 have infinite log-odds: clamped by the rounding of the outputs, not of float64.
        return torch.logit(values, eps=torch.finfo(outputs.dtype).eps)
    return values


def _log_odds(logits: Float[Tensor, "n class"]) -> Float[Tensor, "n class"]:
    """log(p / (1 − p)) of a softmax, accurate for certain decisions too."""
    # log p − log(1 − p), with 1 − p = −expm1(log p), which keeps its digits for small p. For the winner 1 − p may be too
    # small for a float, and the logarithm of the others' sum says the same without a difference:
    #     log(p_w / (1 − p_w)) = l_w − log Σ_{k ≠ w} exp(l_k),    for both have the softmax's denominator.
    log_share = logits.log_softmax(1)
    odds = log_share - torch.log(-torch.expm1(log_share))
    winner = logits.argmax(1, keepdim=True)
    others = logits.scatter(1, winner, float("-inf")).logsumexp(1, keepdim=True)
    return odds.scatter(1, winner, logits.gather(1, winner) - others)


def check_outputs(
    values: Float[Tensor, "rows class"], names: tuple[str, ...], model: str, first: tuple[str, ...] = ()
) -> None:
    """InputError that names the first class and variant whose output is NaN or infinite; `first` names the leading rows."""
    bad = ~torch.isfinite(values)
    if not bad.any():
        return
    row, column = bad.nonzero()[0].tolist()
    variant = first[row] if row < len(first) else f"variant {row - len(first)}"
    raise InputError(
        f"the model {model} returned {float(values[row, column])} for class {names[column]!r} on {variant} "
        f"({int(bad.any(1).sum())} of {len(values)} variants): "
        f"it must return finite numbers for silence and masked words too."
    )


def check_means(means: Float[Tensor, " class"], names: tuple[str, ...], model: str) -> None:
    """As `check_outputs`, for the means over a grid of mask pairs: one NaN or infinite value makes a mean neither finite."""
    # A grid of pairs has millions of values. Its means are at hand, and one NaN spoils them.
    bad = (~torch.isfinite(means)).nonzero().flatten().tolist()
    if bad:
        raise InputError(
            f"the model {model} gave no finite outputs for class {names[bad[0]]!r} on some masked sound with some masked "
            f"lyrics: it must return finite numbers for silence and masked words too."
        )
