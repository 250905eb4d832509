"""An explanation in words: what the model decided and how sure it is, what did most, what it takes to change its mind.

Every sentence is made from the explanation's own numbers. What isn't significant isn't named.
"""

import math
from typing import Any

import torch

from musiclime_torch.basics.edits import find_edit

#: Any stands for an `Explanation`: it shows itself by these sentences, and modules import in one direction only.
Explanation = Any

#: Probabilities nearer than this are equal.
TIED = 1e-9

#: Components named in a sentence at most.
NAMED = 3


def to_sentences(explanation: Explanation, target: int | str | None = None) -> tuple[str, ...]:
    """The decision, the largest component, and the evidence where it was searched for.

    Args:
        explanation: of any model.
        target: the class to speak of; None takes the explanation's own.
    """
    row = explanation.class_index(target)
    sentences = [*_tell_decision(explanation, row), _tell_largest(explanation, row)]
    if row == explanation.target and explanation.evidence is not None:
        sentences += _tell_evidence(explanation)
    return tuple(sentences)


def find_probabilities(explanation: Explanation, outputs: torch.Tensor | None = None) -> list[float] | None:
    """The classes' probabilities on the song, a foil's contrast left out; None for outputs that have none.

    `outputs` (class,) are others of the model in the explanation's space, such as those on the empty song.
    """
    kind = explanation.provenance.get("output_kind", "")
    count = len(explanation.classes) - (explanation.provenance.get("settings", {}).get("foil") is not None)
    values = (explanation.output_song if outputs is None else outputs)[:count].double()
    if explanation.space == "probability":
        return [float(value) for value in values]
    if kind == "logits" and explanation.space == "logit" and count > 1:
        return [float(value) for value in values.softmax(0)]
    # A multilabel logit is its log-odds; log-odds of a softmax are those of one class against all others.
    if explanation.space == "log-odds" or (kind == "multilabel" and explanation.space == "logit"):
        return [float(value) for value in torch.sigmoid(values)]
    return None


def say_percent(probability: float) -> str:
    """A probability as people say it, never 0% or 100% of what isn't.

    >>> say_percent(0.714), say_percent(0.9999), say_percent(0.0002)
    ('71%', 'over 99%', 'under 1%')
    """
    if probability >= 0.995:
        return "over 99%"
    return "under 1%" if probability < 0.005 else f"{100 * probability:.0f}%"


def _tell_decision(explanation: Explanation, row: int) -> list[str]:
    name = explanation.classes[row]
    if _compares(explanation):
        return [_tell_similarity(explanation, row)]
    chances = find_probabilities(explanation)
    if chances is None or row >= len(chances):
        song, empty = float(explanation.output_song[row]), float(explanation.output_empty[row])
        unit = explanation.space if explanation.space != "raw" else "the output"
        first = f"{name}: {unit} is {song:.3g} on the song, and {empty:.3g} {say_end(explanation)}."
        return [_tell_contrast(explanation, chances) or first] if chances else [first]
    best = max(range(len(chances)), key=chances.__getitem__)
    if explanation.provenance.get("output_kind") == "multilabel" or len(chances) == 1:
        if chances[row] > 0.5:
            return [f"The model says yes to {name} ({say_percent(chances[row])})."]
        if row == best and len(chances) > 1:
            return [f"None of the {len(chances)} tags reaches 50%; the nearest is {name}, {say_percent(chances[row])}."]
        return [f"The model says no to {name} ({say_percent(chances[row])})."]
    if sum(chance >= chances[best] - TIED for chance in chances) > 1:
        return [f"The model can't decide: {name} and other classes get {say_percent(chances[best])} each."]
    if row == best:
        return [f"The model is {say_percent(chances[row])} sure that this is {name}."]
    return [
        f"The model takes this for {explanation.classes[best]} ({say_percent(chances[best])}); {name} gets "
        f"{say_percent(chances[row])}."
    ]


def _compares(explanation: Explanation) -> bool:
    return bool(explanation.provenance.get("output_kind") == "similarity")


def _tell_similarity(explanation: Explanation, row: int) -> str:
    """How near the song is to a reference, or to which of two it is nearer; cosines, 1 for songs in the same direction."""
    song, empty = explanation.output_song, explanation.output_empty
    settings = explanation.provenance.get("settings", {})
    if settings.get("foil") is not None and row == len(explanation.classes) - 1:
        pair = [explanation.class_index(settings[part]) for part in ("target", "foil")]
        near, far = sorted(pair, key=lambda number: -float(song[number]))
        names, values = explanation.classes, [float(song[number]) for number in (near, far)]
        return f"The song is nearer to {names[near]} (cosine {values[0]:.3g}) than to {names[far]} ({values[1]:.3g})."
    references = len(explanation.classes) - (settings.get("foil") is not None)
    nearest = references > 1 and int(song[:references].argmax()) == row
    said = f"Of {references}, the song is nearest to" if nearest else "The song is compared with"
    return (
        f"{said} {explanation.classes[row]}: cosine {float(song[row]):.3g}, and {float(empty[row]):.3g} with everything "
        "removed."
    )


def _tell_contrast(explanation: Explanation, chances: list[float]) -> str:
    """The two classes of a contrast and their probabilities."""
    settings = explanation.provenance.get("settings", {})
    pair = [explanation.class_index(settings[part]) for part in ("target", "foil") if settings.get(part) is not None]
    if len(pair) != 2:
        return ""
    first, second = pair if chances[pair[0]] >= chances[pair[1]] else pair[::-1]
    said = [f"{explanation.classes[number]} ({say_percent(chances[number])})" for number in (first, second)]
    return f"The model prefers {said[0]} to {said[1]}."


def _tell_largest(explanation: Explanation, row: int) -> str:
    top = explanation.top(1, row)
    if not top:
        return "No single component is significant."
    component, value, _ = top[0]
    # Of a contrast named "A rather than B" the whole name is what a component speaks for.
    column = explanation.components.items.index(component)
    instead = find_instead(explanation, column)
    compared = f", as it is instead of {instead}," if instead else ""
    name, contrasts = explanation.classes[row], " rather than " in explanation.classes[row]
    if _compares(explanation) and not contrasts:
        does = "brings the song nearer to" if value > 0 else "takes the song away from"
    else:
        does = f"speaks {'for' if value > 0 else 'against'}"
    return f"{_open(component.name)}{compared} did most: it {does} {name}."


def _tell_evidence(explanation: Explanation) -> list[str]:
    found = explanation.evidence
    assert found is not None
    sentences, end = [], say_end(explanation)
    if found.keeping == () and found.flipping:
        # Both at once: the parts pull in both directions, and removing one is not a step towards removing all.
        parts = say_changed(explanation, found.flipping)
        just = f"With just {parts.removeprefix('without ')} removed" if parts.startswith("without ") else f"Just {parts}"
        sentences = [f"{end[:1].upper()}{end[1:]} the decision stays the same.", f"{just} and the rest kept, it changes."]
    elif found.keeping == ():
        sentences = [f"The decision stays the same {end}."]
    elif found.keeping is not None:
        names = _open(_list(explanation, found.keeping))
        rest = "alone" if end == REMOVED else f"alone, {say_end(explanation, 'else')},"
        sentences = [f"{names} {rest} {_agree(found.keeping, 'keep')} the decision."]
    if found.flipping and found.keeping != ():
        sentences.append(f"{_start(say_changed(explanation, found.flipping))} the model decides otherwise.")
    elif found.flipping is None and found.keeping != ():
        change = "removal" if end == REMOVED else "change"
        sentences.append(f"No set of components was found whose {change} changes the decision.")
    return [*sentences, *_tell_edit(explanation)]


def _tell_edit(explanation: Explanation) -> list[str]:
    edit = explanation.evidence.edit
    if edit is None:
        return []
    if edit.columns is None:
        return [f"No edit that was tried ({edit.variants:,}) flips the decision."]
    return [f"The smallest edit found that flips it: {say_edit(explanation)}."]


def say_edit(explanation: Explanation) -> str:
    """The smallest edit by itself: "vocals 0:03-0:06 made 6 dB lower", "to take out sad (line 2)"."""
    edit = explanation.evidence.edit
    said = say_changed(explanation, edit.columns, edit.edit)
    return f"to take out {said.removeprefix('without ')}" if said.startswith("without ") else said.removeprefix("with ")


#: What is said of the empty song where its stand-in is silence, noise, another song's stems, or a blank.
REMOVED = "with everything removed"


def say_end(explanation: Explanation, of_all: str = "every") -> str:
    """The empty song in words, by what stands in for its parts: "with every stem 12 dB lower".

    With `of_all` "else" it is what is done to all but some: "with all else 12 dB lower". Of few stems each is named.
    """
    edits = _list_edits(explanation)
    swaps = bool(explanation.provenance.get("swaps"))
    if not any(edits.values()) and not swaps:
        return REMOVED
    items = explanation.components.items
    heard, read = any(item.kind == "audio" for item in items), any(item.kind == "lyrics" for item in items)
    done = {way or "removed" for way in edits.values()}
    if len(done) == 1 or of_all == "else" or len(edits) > NAMED:
        changed = done.pop() if len(done) == 1 else "edited"
        sounds = [f"{'all else' if of_all == 'else' else 'every stem'} {changed}"] if heard else []
    else:
        sounds = [f"{stem} {way or 'removed'}" for stem, way in edits.items()]
    words = ["other words in the lyrics" if swaps else "all words removed"] if read else []
    *most, last = [*sounds, *words]
    return f"with {', '.join(most)} and {last}" if most else f"with {last}"


def say_changed(explanation: Explanation, columns: tuple[int, ...], edit: str | None = None) -> str:
    """What becomes of some components: "without drums 0:03-0:06", "with vocals 0:00-0:03 made 12 dB lower".

    `edit` is what is done to their sound, None for what the explanation's baseline does.
    """
    items = explanation.components.items
    ways: dict[str, list[int]] = {}
    for column in columns:
        ways.setdefault(_find_way(explanation, column, edit), []).append(column)
    parts = []
    for way, some in ways.items():
        names = _list(explanation, tuple(some))
        # Each word has another one of its own.
        if all(items[column].kind == "lyrics" for column in some) and way:
            names = _join([f"{way} in place of {items[column].name}" for column in some[:NAMED]])
            parts.append(f"with {names}")
        else:
            made = "made " if way[:1].isdigit() else ""
            parts.append(f"with {names} {made}{way}" if way else f"without {names}")
    return " and ".join(parts)


def find_instead(explanation: Explanation, column: int) -> str:
    """What a component is compared with, where that is not its absence: "12 dB lower", "happy"."""
    return _find_way(explanation, column, None)


def _find_way(explanation: Explanation, column: int, edit: str | None) -> str:
    item = explanation.components.items[column]
    if item.kind == "lyrics":
        return str(explanation.provenance.get("swaps", {}).get(str(column), ""))
    if edit is None:
        return _list_edits(explanation).get(item.stem or "", "")
    known = find_edit(edit)
    return known.done if known is not None and known.kind != "silence" else ""


def _list_edits(explanation: Explanation) -> dict[str, str]:
    """What is done to each stem, "" for those that are removed or replaced."""
    stems = dict.fromkeys(item.stem for item in explanation.components.items if item.stem is not None)
    known = explanation.provenance
    own = known.get("stand_ins")
    if own:
        return {stem: _say_way(own.get(stem, "silence")) for stem in stems}
    asked = known.get("settings", {}).get("baseline") or "silence"
    # A song may have the title of an edit.
    return dict.fromkeys(stems, "" if known.get("baseline_song") else _say_way(asked))


def _say_way(asked: str) -> str:
    edit = find_edit(asked)
    if edit is None:
        return "" if asked else "as in another take"
    return "" if edit.kind in ("silence", "noise") else edit.done


def _list(explanation: Explanation, columns: tuple[int, ...]) -> str:
    return _join([explanation.components.items[column].name for column in columns])


def _join(names: list[str]) -> str:
    if len(names) > NAMED:
        return f"{', '.join(names[: NAMED - 1])} and {len(names) - NAMED + 1} more"
    # Between names that have commas themselves: "vocals, verse 2; and drums, bar 3".
    comma, last = ("; ", "; and ") if any(", " in name.split(" (line")[0] for name in names) else (", ", " and ")
    return names[0] if len(names) == 1 else f"{comma.join(names[:-1])}{last}{names[-1]}"


def _agree(columns: tuple[int, ...], verb: str) -> str:
    return f"{verb}s" if len(columns) == 1 else verb


def _start(phrase: str) -> str:
    return f"{phrase[:1].upper()}{phrase[1:]}"


def _open(name: str) -> str:
    """The beginning of a sentence; a word of the lyrics keeps its own case."""
    first = name.split(", ")[0].split(" and ")[0]
    return name if "(line" in first else name[:1].upper() + name[1:]


def tell_kinds(explanation: Explanation, target: int | str | None = None) -> str:
    """What a model that was asked a question heard, read and was asked, by their shares; "" for any other model."""
    if "asked" not in explanation.provenance:
        return ""
    parts = explanation.kind_shares(target)
    told = [f"{name} {100 * share:.0f} ± {say_half_width(half)}%" for name, share, half in parts]
    # Of a model that takes one kind alone there is nothing to tell.
    if len(told) < 2:
        return ""
    return f"Of what single parts do for {explanation.classes[explanation.class_index(target)]}: {', '.join(told)}."


def say_half_width(share: float) -> str:
    """The half-width of a share's interval in percent, to one digit and without an exponent.

    >>> say_half_width(0.096), say_half_width(0.00028), say_half_width(0.0)
    ('10', '0.03', '0')
    """
    percent = float(f"{100 * share:.1g}")
    decimals = max(-math.floor(math.log10(percent)), 0) if math.isfinite(percent) and percent > 0 else 0
    return f"{percent:.{decimals}f}"
