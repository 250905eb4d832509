"""Whether the model learned what it should: accuracy, cause and effect, and what a plain LIME finds.

Seeds identify songs: training takes them from 0, these checks from ``HELD_OUT`` on, so that no song is in both.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from musiclime_torch.demo.plan import (
    HALF_BARS,
    SAMPLE_RATE,
    STEMS,
    TAGS,
    SongPlan,
    find_causes,
    find_column,
    plan_song,
    spawn,
    swap_background,
    swap_cause,
    without_cause,
)
from musiclime_torch.demo.song import label, make_track, render_stems, write_lyrics
from musiclime_torch.models.care import evaluating
from musiclime_torch.models.contract import TokenBatch
from musiclime_torch.models.tagger import Tagger
from musiclime_torch.variants.sound import gate_stems, mix

#: First seed of the held-out songs, far above those of training.
HELD_OUT = 10_000_000


@dataclass(frozen=True)
class Count:
    """``hits`` of ``trials``."""

    hits: int
    trials: int

    @property
    def rate(self) -> float:
        """Hits per trial."""
        return self.hits / self.trials


def run(model: Tagger, plans: Iterable[SongPlan]) -> Float[Tensor, "song class"]:
    """Logits of unaltered songs; on the CPU, wherever the model is."""
    device = next(model.parameters()).device
    with evaluating(model):
        rows = [
            model(torch.from_numpy(render_stems(plan).sum(0))[None, None].to(device), [write_lyrics(plan).text])
            for plan in plans
        ]
    return torch.cat(rows).cpu()


def decide(model: Tagger, plans: Iterable[SongPlan]) -> Bool[Tensor, "song class"]:
    """Which tags the model gives songs."""
    return run(model, plans) > 0


def measure_exact(model: Tagger, songs: int, seed: int = HELD_OUT) -> Count:
    """Songs with none to two tags (and halves of others) for which all seven decisions are right."""
    plans = [plan_song(seed + index) for index in range(songs)]
    truth = torch.tensor([label(plan) for plan in plans])
    return Count(int((decide(model, plans) == truth).all(1).sum()), songs)


def measure_classes(model: Tagger, pairs: int, seed: int = HELD_OUT + 1_000_000) -> dict[str, Count]:
    """Right decisions on each tag, in as many songs with it as without; each also has one other tag."""
    counts = {}
    for number, name in enumerate(TAGS):
        plans, truth = [], []
        for index in range(pairs):
            song_seed = seed + number * pairs + index
            other = _draw_other(name, song_seed)
            plans += [plan_song(2 * song_seed, {name, other}), plan_song(2 * song_seed + 1, {other})]
            truth += [True, False]
        right = decide(model, plans)[:, number] == torch.tensor(truth)
        counts[name] = Count(int(right.sum()), 2 * pairs)
    return counts


def count_cause_flips(model: Tagger, pairs: int, seed: int = HELD_OUT + 3_000_000) -> dict[str, Count]:
    """How often swapping one cause alone turns its tag off; by "tag, kind", so that each half of an AND counts.

    Every second swap puts ordinary material in the cause's place, the others another tag's cause of that kind.
    """
    counts = {}
    for number, (name, kind) in enumerate(_list_causes()):
        plans = []
        for index in range(pairs):
            song_seed = seed + number * pairs + index
            plan = plan_song(song_seed, {name})
            plans += [plan, _swap(plan, name, kind, song_seed, to_other=index % 2 == 1)]
        decisions = decide(model, plans)[:, list(TAGS).index(name)]
        counts[f"{name}, {kind}"] = Count(int((decisions[::2] & ~decisions[1::2]).sum()), pairs)
    return counts


def count_other_flips(model: Tagger, pairs: int, seed: int = HELD_OUT + 5_000_000) -> dict[str, Count]:
    """How often any of the seven decisions changes when everything but the tag's causes is drawn again, by tag."""
    counts = {}
    for number, name in enumerate(TAGS):
        plans = []
        for index in range(pairs):
            song_seed = seed + number * pairs + index
            plan = plan_song(2 * song_seed, {name})
            plans += [plan, swap_background(plan, 2 * song_seed + 1)]
        decisions = decide(model, plans)
        counts[name] = Count(int((decisions[::2] != decisions[1::2]).any(1).sum()), pairs)
    return counts


def find_top_components(model: Tagger, plan: SongPlan, n_samples: int, seed: int) -> dict[str, tuple[int, ...]]:
    """Columns (4 stems × 10 half-bars, then words) by falling slope for each tag, from a plain LIME on the logits.

    Independent coin-flip masks over all columns, ordinary least squares, all in this function: an oracle for the pipeline.
    """
    track = make_track(plan)
    edges = tuple(track.seconds * index / HALF_BARS for index in range(HALF_BARS + 1))
    n_audio, words = len(STEMS) * HALF_BARS, plan.words
    masks = torch.rand(n_samples, n_audio + len(words), generator=torch.Generator().manual_seed(seed)) < 0.5
    window = gate_stems(track.stems, None, edges, SAMPLE_RATE, None)[0]
    outputs = []
    with evaluating(model):
        tokens = model.tokenize(" ".join(words))
        stand_in = model.embed_text(torch.tensor([tokens.mask_id]))
        embedded = model.embed_text(tokens.ids)
        for rows in torch.split(masks, 64):
            kept = rows[:, n_audio:, None]
            text = TokenBatch(torch.where(kept, embedded, stand_in), torch.ones_like(kept[..., 0]))
            outputs.append(model(mix(window, rows[:, :n_audio].unflatten(1, (len(STEMS), -1))), text))
    # Ordinary least squares with an intercept: written out here rather than shared with the package, so that an error there
    # can't hide in both.
    features = torch.cat([torch.ones(n_samples, 1), masks.float()], 1).double()
    slopes = torch.linalg.lstsq(features, torch.cat(outputs).double()).solution[1:]
    order = slopes.argsort(0, descending=True).T.tolist()
    return {name: tuple(columns) for name, columns in zip(TAGS, order, strict=True)}


def count_found_causes(model: Tagger, songs: int, n_samples: int, seed: int = HELD_OUT + 7_000_000) -> dict[str, Count]:
    """Songs by tag in which the one or two planted causes rank first among all components."""
    counts = {}
    for number, name in enumerate(TAGS):
        hits = 0
        for index in range(songs):
            song_seed = seed + number * songs + index
            plan = plan_song(song_seed, {name, _draw_other(name, song_seed)})
            planted = {find_column(cause) for cause in find_causes(plan, name)}
            hits += set(find_top_components(model, plan, n_samples, song_seed)[name][: len(planted)]) == planted
        counts[name] = Count(hits, songs)
    return counts


def _list_causes() -> list[tuple[str, str]]:
    return [(name, kind) for name, tag in TAGS.items() for kind in tag.kinds]


def _draw_other(name: str, seed: int) -> str:
    others = [other for other in TAGS if other != name]
    return others[spawn(seed, "other tag").integers(len(others))]


def _swap(plan: SongPlan, name: str, kind: str, seed: int, to_other: bool) -> SongPlan:
    free = [
        other
        for other, tag in TAGS.items()
        if kind in tag.kinds and not any(cause.kind == kind for cause in find_causes(plan, other))
    ]
    if not to_other or not free:
        return without_cause(plan, name, kind)
    return swap_cause(plan, name, kind, free[spawn(seed, "swap").integers(len(free))])
