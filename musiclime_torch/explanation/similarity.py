"""Why are these two songs near each other? Songs, texts and saved tastes become references that a song is compared with."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from musiclime_torch.basics.errors import InputError
from musiclime_torch.explanation.explainer import explain
from musiclime_torch.explanation.explanation import Explanation
from musiclime_torch.explanation.prediction import predict
from musiclime_torch.models.contract import TokenBatch
from musiclime_torch.models.similarity import SIDES, Reference, Similarity, Tower, find_towers
from musiclime_torch.models.subject import Subject, describe_model
from musiclime_torch.song.track import Track

#: A song; a text; or directions by side, as `embed` returns them.
Comparable = Track | str | Mapping[str, Any]

#: Of two songs that are as near to each other as to themselves.
_SILENT = 1e-6


def embed(model: Callable[..., Any], track: Track, **declared: Any) -> dict[str, Float[np.ndarray, " feature"]]:
    """A song's directions by side, "audio" and "lyrics": what the model embeds and the song has.

    A mean of such directions over the songs that somebody likes is a taste: ``numpy.savez("taste.npz", **directions)`` keeps
    it for `read_taste` and ``--like taste.npz``. `declared` is what the model doesn't declare, as in `explain`.

    Raises:
        InputError: for a model that gives no embeddings, and a song that has nothing of what it embeds.
    """
    subject = _describe(model, declared)
    return {side: direction.numpy() for side, direction in _embed(find_towers(subject), subject, track).items()}


def compare(
    model: Callable[..., Any],
    references: Sequence[Comparable],
    names: Sequence[str] | None = None,
    weights: tuple[float, float] = (1.0, 1.0),
    **declared: Any,
) -> Similarity:
    """A model whose outputs say how near a song is to each reference, as cosines; give it to `explain`.

    Args:
        model: what embeds songs, as `musiclime_torch.models.contract` describes it.
        references: songs (`Track`), texts such as "rainy piano" where the model embeds them, or directions by side.
        names: of the references; None takes titles and texts.
        weights: of sound and lyrics in a cosine, where both are compared.
        declared: `sample_rate`, `channels` and `modalities`, where the model doesn't declare them.

    With ``weights="shapley"`` the attributions of `explain` add up to the similarity less that of the empty song. A `foil`
    is another reference: why nearer to this song than to that one.

    Raises:
        InputError: for references that this model can't embed.
    """
    if not references:
        raise InputError("a comparison needs a song, a text or a taste to compare with.")
    subject = _describe(model, declared)
    towers = find_towers(subject)
    called = _name_all(references, names)
    read = [_read_reference(towers, subject, entry, name) for entry, name in zip(references, called, strict=True)]
    return Similarity(towers, read, weights)


def explain_both(model: Callable[..., Any], first: Track, second: Track, **settings: Any) -> tuple[Explanation, Explanation]:
    """Why two songs are near each other, from both sides: what of the first, and what of the second.

    The explained number is the same in both, up to windows of songs of different lengths: each song is compared with the
    whole of the other. `settings` are those of `explain`; Shapley values, which add up to the similarity, are the default.
    """
    # What the model doesn't declare is needed twice: to embed the other song, and to explain this one.
    known = {name: settings[name] for name in ("sample_rate", "channels", "modalities") if name in settings}
    asked = {"weights": "shapley"} | {name: value for name, value in settings.items() if name not in known}
    return (
        explain(compare(model, [second], **known), first, **asked),
        explain(compare(model, [first], **known), second, **asked),
    )


def read_taste(path: str | Path) -> dict[str, Float[np.ndarray, " feature"]]:
    """Directions by side from a file that ``numpy.savez(path, audio=..., lyrics=...)`` wrote, one of them or both.

    Raises:
        InputError: for a file that holds anything else.
    """
    try:
        saved = np.load(path, allow_pickle=False)
        vectors = None if isinstance(saved, np.ndarray) else {name: saved[name] for name in saved.files}
    except (OSError, ValueError, BadZipFile, EOFError) as error:
        raise InputError(f"{str(path)!r} can't be read as saved vectors ({error}): write it with numpy.savez.") from error
    if not vectors or set(vectors) - set(SIDES):
        held = "a single array" if vectors is None else ", ".join(sorted(vectors)) or "nothing"
        raise InputError(
            f"{str(path)!r} holds {held}: a saved taste has audio or lyrics, or both (numpy.savez(path, audio=...))."
        )
    return vectors


def _describe(model: Callable[..., Any], declared: Mapping[str, Any]) -> Subject:
    if isinstance(model, Similarity):
        raise InputError("the model compares songs already: give the one that embeds them.")
    given = {"sample_rate": None, "channels": None, "modalities": None} | dict(declared)
    return describe_model(model, classes=None, output_kind=None, **given)


def _embed(towers: Mapping[str, Tower], subject: Subject, track: Track) -> dict[str, Float[Tensor, " feature"]]:
    has_words = track.lyrics is not None and bool(track.lyrics.words)
    sides = {side: tower for side, tower in towers.items() if side == "audio" or has_words}
    if not sides:
        raise InputError(f"{subject.name} compares lyrics, and {track.title or 'the song'!r} has none.")
    directions = {}
    for side, tower in sides.items():
        # Stems don't matter for a whole song: one of them is mixed and resampled sooner.
        mixed = replace(track, stems=track.stems.sum(0, keepdim=True), stem_names=("song",))
        # A long song's direction is the mean of its windows', which all have length one before.
        mean = torch.tensor(predict(tower, mixed).outputs)
        if not float(mean.norm()) > _SILENT:
            raise InputError(f"{subject.name} gives {track.title or 'the song'!r} no direction: its {side} is empty to it.")
        directions[side] = torch.nn.functional.normalize(mean, dim=0)
    return directions


def _read_reference(towers: Mapping[str, Tower], subject: Subject, entry: Comparable, name: str) -> Reference:
    if isinstance(entry, Track):
        return Reference(name, _embed(towers, subject, entry))
    if isinstance(entry, str):
        return Reference(name, _embed_query(towers, subject, entry))
    return Reference(name, {side: _check_direction(towers, subject, side, vector) for side, vector in entry.items()})


def _embed_query(towers: Mapping[str, Tower], subject: Subject, query: str) -> dict[str, Float[Tensor, " feature"]]:
    embed_query, side = getattr(subject.model, "embed_query", None), getattr(subject.model, "query_side", "audio")
    if not query.strip():
        raise InputError("the query is empty: give words to compare the song with.", argument="query")
    if embed_query is None or side not in towers:
        raise InputError(
            f"{subject.name} can't compare songs with words: use a model that embeds texts, such as CLAP or musicnn-minilm.",
            argument="query",
        )
    with torch.inference_mode():
        return {side: embed_query([query])[0].float().cpu()}


def _check_direction(towers: Mapping[str, Tower], subject: Subject, side: str, vector: Any) -> Float[Tensor, " feature"]:
    """InputError for a vector that isn't one of this model's."""
    if side not in towers:
        raise InputError(f"{subject.name} embeds {' and '.join(towers)}, and the saved taste is one of {side}.")
    direction = torch.as_tensor(np.asarray(vector, dtype=np.float32))
    if direction.ndim != 1 or not direction.isfinite().all() or not float(direction.norm()) > _SILENT:
        raise InputError(
            f"a saved taste must be one vector of finite numbers that aren't all zero, got {side} {vector!r:.60}."
        )
    size = _measure(towers[side], subject)
    if len(direction) != size:
        raise InputError(
            f"the saved taste's {side} has {len(direction)} numbers, and {subject.name} embeds {side} in {size}: it was "
            "made with another model."
        )
    return direction


def _measure(tower: Tower, subject: Subject) -> int:
    """The number of an embedding's features, from a second of silence or one syllable."""
    device = next((parameter.device for parameter in tower.parameters()), torch.device("cpu"))
    with torch.inference_mode():
        if tower.modalities == ("audio",):
            rate = subject.sample_rate or 0
            frames = round(rate * min(subject.max_seconds or 3.0, 3.0))
            return int(tower(torch.zeros(1, subject.channels or 1, frames, device=device)).shape[1])
        if subject.text_form == "strings":
            return int(tower(["la"]).shape[1])
        ids = subject.model.tokenize("la").ids.to(device)[None]
        if subject.text_form == "ids":
            return int(tower(ids).shape[1])
        return int(tower(TokenBatch(subject.model.embed_text(ids), torch.ones_like(ids, dtype=torch.bool))).shape[1])


def _name_all(references: Sequence[Comparable], names: Sequence[str] | None) -> list[str]:
    """A name for each, all different: songs of one title are numbered."""
    if names is not None and len(names) != len(references):
        raise InputError(f"there are {len(names)} names for {len(references)} songs to compare with.")
    # Classes are told apart by their names alone.
    plain = list(names) if names is not None else [_name(entry) for entry in references]
    return [name if plain.count(name) == 1 else f"{name} ({plain[: i + 1].count(name)})" for i, name in enumerate(plain)]


def _name(reference: Comparable) -> str:
    if isinstance(reference, Track):
        return reference.title or "another song"
    return f'"{reference}"' if isinstance(reference, str) else "a taste"
