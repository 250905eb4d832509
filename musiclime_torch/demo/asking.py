"""Trains the embedded music language model: ``python -m musiclime_torch.demo.asking --seed 0 --out DIR``.

The real MusicFlamingo class, small, learns to answer `questions.QUESTIONS` about generated songs. Songs are altered as
explanations alter them, and the right answer follows: it is No once a cause is gone. What is trained is what is explained,
`Answering`, which reads a song once for all four questions. ``asking.json`` next to the weights holds the figures on fresh
songs.
"""

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from musiclime_torch.demo.plan import STEMS, SongPlan
from musiclime_torch.demo.questions import (
    ANSWERS,
    MOMENTS,
    QUESTIONS,
    WORDS,
    answer_rightly,
    find_reasons,
    find_short_column,
    make_processor,
    make_untrained,
    plan_fresh,
    plan_short_song,
    render_short,
)
from musiclime_torch.demo.song import write_lyrics
from musiclime_torch.models.answering.answering import Answering
from musiclime_torch.models.answering.scoring import run_body
from musiclime_torch.models.contract import TokenBatch

#: Songs that are held out from training begin at this seed.
HELD_OUT = 1_000_000

#: Songs behind every figure of a question.
SONGS_MEASURED = 100


@dataclass(frozen=True)
class Variants:
    """Altered songs: which cells and words are left of each, and whether each question's answer is Yes."""

    cells: Bool[np.ndarray, "variant stem moment"]
    words: Bool[np.ndarray, "variant word"]
    yes: Bool[np.ndarray, "variant question"]


def draw_variants(plan: SongPlan, rng: np.random.Generator) -> Variants:
    """The song; with one cause gone; with little but the causes of one question; with half of everything gone."""
    shape = (len(STEMS), MOMENTS), (MOMENTS * WORDS,)
    cells, words = np.ones((4, *shape[0]), dtype=bool), np.ones((4, *shape[1]), dtype=bool)
    reasons = [cause for question in QUESTIONS for cause in find_reasons(plan, question)]
    if reasons:
        _set(reasons[rng.integers(len(reasons))], cells[1], words[1], False)
    cells[2], words[2] = rng.random(shape[0]) < 0.4, rng.random(shape[1]) < 0.4
    for cause in find_reasons(plan, list(QUESTIONS)[rng.integers(len(QUESTIONS))]):
        _set(cause, cells[2], words[2], True)
    cells[3], words[3] = rng.random(shape[0]) < 0.5, rng.random(shape[1]) < 0.5
    return Variants(cells, words, follow_causes(plan, cells, words))


def follow_causes(
    plan: SongPlan, cells: Bool[np.ndarray, "variant stem moment"], words: Bool[np.ndarray, "variant word"]
) -> Bool[np.ndarray, "variant question"]:
    """Whether a question's answer is Yes where so much of a song is left: all of its causes must be there."""
    yes = np.zeros((len(cells), len(QUESTIONS)), dtype=bool)
    for column, question in enumerate(QUESTIONS):
        if answer_rightly(plan, question):
            yes[:, column] = np.all([_get(cause, cells, words) for cause in find_reasons(plan, question)], axis=0)
    return yes


def _get(cause: Any, cells: np.ndarray, words: np.ndarray) -> np.ndarray:
    return words[:, cause.place] if cause.stem is None else cells[:, STEMS.index(cause.stem), cause.place]


def _set(cause: Any, cells: np.ndarray, words: np.ndarray, value: bool) -> None:
    if cause.stem is None:
        words[cause.place] = value
    else:
        cells[STEMS.index(cause.stem), cause.place] = value


@dataclass(frozen=True)
class Lesson:
    """A song to learn from, and its prompt, which is the same in every batch."""

    plan: SongPlan
    stems: Tensor
    ids: Int[Tensor, " token"]
    #: Where the prompt has each word of the lyrics.
    places: tuple[int, ...]


def prepare(asked: Answering, plan: SongPlan) -> Lesson:
    """Render a song and cut its prompt."""
    lyrics = write_lyrics(plan)
    tokens = asked.tokenize(lyrics.text)
    return Lesson(
        plan, render_short(plan), tokens.ids, tuple(tokens.spans.index((word.start, word.end)) for word in lyrics.words)
    )


def make_batch(
    asked: Answering, lessons: Sequence[Lesson], variants: Sequence[Variants]
) -> tuple[Float[Tensor, "row 1 frame"], TokenBatch]:
    """Sounds of all variants, and their prompts."""
    sounds, prompts = [], []
    for lesson, drawn in zip(lessons, variants, strict=True):
        gates = torch.from_numpy(drawn.cells).float()
        moments = lesson.stems.view(len(STEMS), MOMENTS, -1)
        sounds.append(torch.einsum("vsm,smf->vmf", gates, moments).reshape(len(gates), 1, -1))
        kept = torch.ones(len(drawn.words), len(lesson.ids))
        kept[:, list(lesson.places)] = torch.from_numpy(drawn.words).float()
        # A removed word keeps its place, with an embedding of zero: as explanations remove it.
        prompts.append(asked.embed_text(lesson.ids) * kept[:, :, None])
    embedded = torch.cat(prompts)
    return torch.cat(sounds), TokenBatch(embedded, torch.ones(embedded.shape[:2], dtype=torch.bool))


def run_batch(asked: Answering, sounds: Tensor, text: TokenBatch) -> Float[Tensor, "question row answer"]:
    """Log-probabilities of the answers; a song is heard and read once for all questions."""
    return asked(sounds, text).unflatten(1, (len(asked.questions), -1)).transpose(0, 1)


def ask_all(model: Any, processor: Any) -> Answering:
    """The model under all questions at once."""
    return Answering(model, processor, list(QUESTIONS), ANSWERS)


def ask_each(model: Any, processor: Any) -> list[Answering]:
    """The same model under each question."""
    return [Answering(model, processor, question, ANSWERS) for question in QUESTIONS]


def train(plans: Sequence[SongPlan], seed: int, steps: int, batch: int = 4) -> tuple[Any, Any]:
    """Model and processor after so many steps of some songs each, in variants whose answers are known."""
    began, processor = time.process_time(), make_processor()
    model = make_untrained(processor, seed).train()
    asked, rng = ask_all(model, processor), np.random.default_rng([seed, 1])
    lessons = [prepare(asked, plan) for plan in plans]
    optimiser, schedule = _plan_steps(model, steps)
    right: list[np.ndarray] = []
    for step in range(steps):
        chosen = [lessons[number] for number in rng.integers(len(lessons), size=batch)]
        variants = [draw_variants(lesson.plan, rng) for lesson in chosen]
        outputs = run_batch(asked, *make_batch(asked, chosen, variants))
        yes = torch.from_numpy(np.concatenate([drawn.yes for drawn in variants])).T
        wanted = torch.where(yes, 0, 1)
        losses = torch.nn.functional.nll_loss(outputs.flatten(0, 1), wanted.flatten(), reduction="none")
        optimiser.zero_grad()
        (losses * _weigh(yes)).mean().backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        right.append((outputs.argmax(2) == wanted).float().mean(1).numpy())
        if step % 20 == 19:
            shown = ", ".join(f"{100 * share:.1f}%" for share in np.mean(right[-20:], 0))
            print(f"step {step + 1}: {shown} right, {time.process_time() - began:.0f} s", flush=True)
    return model.eval(), processor


def _plan_steps(model: Any, steps: int) -> tuple[Any, Any]:
    """Optimiser and schedule. A word occurs in few songs: its embedding needs larger steps than what every song trains."""
    words = list(model.get_input_embeddings().parameters())
    others = [part for part in model.parameters() if all(part is not word for word in words)]
    optimiser = torch.optim.AdamW([{"params": words}, {"params": others}], 2e-3, weight_decay=0.01)
    return optimiser, torch.optim.lr_scheduler.OneCycleLR(optimiser, [6e-3, 1.5e-3], total_steps=steps, pct_start=0.1)


def _weigh(yes: Bool[Tensor, "question row"]) -> Float[Tensor, " question_row"]:
    """Under masks most answers are No: to each question both answers weigh alike."""
    share = yes.float().mean(1, keepdim=True).clamp(0.05, 0.95)
    return torch.where(yes, 0.5 / share, 0.5 / (1 - share)).flatten()


def teach_to_end(model: Any, processor: Any, plan: SongPlan, steps: int = 60) -> None:
    """Let the answers be followed by the end, so that the model can answer by itself.

    Only the embeddings of Yes and No are trained, which no prompt contains: what was learned about the answers stays.
    """
    asked, end = ask_each(model, processor), processor.tokenizer.eos_token_id
    ids = torch.tensor([answer[0] for answer in asked[0].answers.values()])
    drawn = draw_variants(plan, np.random.default_rng(0))
    with torch.no_grad():
        batches = [make_batch(each, [prepare(each, plan)], [drawn]) for each in asked]
        heard = asked[0].family.hear(batches[0][0].mean(1)).repeat(len(asked), 1, 1)
        texts = torch.cat([text.embeddings for _, text in batches])
        place = asked[0].prompt.find_sound(texts.shape[1])
        prompts = torch.cat([texts[:, :place], heard, texts[:, place + 1 :]], 1)
    rows = model.get_input_embeddings()(ids).detach().requires_grad_()
    optimiser = torch.optim.Adam([rows], 0.1)
    attended = torch.ones(len(prompts), prompts.shape[1] + 1, dtype=torch.bool)
    for step in range(steps):
        answer = rows[step % 2].expand(len(prompts), 1, -1)
        states, _ = run_body(model.model.language_model, torch.cat([prompts, answer], 1), attended, None)
        loss = -model.get_output_embeddings()(states[:, -1]).log_softmax(-1)[:, end].mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        model.get_input_embeddings().weight[ids] = rows


def measure(model: Any, processor: Any, songs: int, seed: int = HELD_OUT) -> dict[str, Any]:
    """Figures of each question on as many fresh songs, half of which have what it asks for; each as [hits, trials].

    `right` answers; `without_a_cause` counts answers that turn to No as one cause goes, `causes_alone` those that stay Yes
    as all else goes, `without_another` those that stay as one other component goes.
    """
    asked, figures = ask_all(model, processor), {}
    for column, question in enumerate(QUESTIONS):
        counts = {name: np.zeros(2, dtype=int) for name in ("right", "without_a_cause", "causes_alone", "without_another")}
        for number in range(songs):
            plan = plan_fresh(seed + column * songs + number, question, number % 2 == 0)
            left, causes = _take_each_away(plan, question)
            with torch.no_grad():
                outputs = run_batch(asked, *make_batch(asked, [prepare(asked, plan)], [left]))
            yes = (outputs[column].argmax(1) == 0).numpy()
            counts["right"] += yes[0] == answer_rightly(plan, question), 1
            if causes.any():
                others = yes[2:][~causes]
                counts["without_a_cause"] += (~yes[2:][causes]).sum(), causes.sum()
                counts["causes_alone"] += yes[1], 1
                counts["without_another"] += others.sum(), len(others)
        figures[question] = {name: count.tolist() for name, count in counts.items()}
    return figures


def _take_each_away(plan: SongPlan, question: str) -> tuple[Variants, Bool[np.ndarray, " column"]]:
    """The song; its causes alone; the song without each of its components. And which of these are the causes of a Yes."""
    cells, words = len(STEMS) * MOMENTS, MOMENTS * WORDS
    causes = np.zeros(cells + words, dtype=bool)
    if answer_rightly(plan, question):
        causes[[find_short_column(cause) for cause in find_reasons(plan, question)]] = True
    left = np.concatenate([np.ones((1, cells + words), dtype=bool), causes[None], ~np.eye(cells + words, dtype=bool)])
    parts = left[:, :cells].reshape(-1, len(STEMS), MOMENTS), left[:, cells:]
    return Variants(*parts, follow_causes(plan, *parts)), causes


def round_weights(model: Any) -> None:
    """Let weights be those that half precision keeps; what isn't kept, the rotation's frequencies, stays as it is."""
    with torch.no_grad():
        for weights in model.parameters():
            weights.copy_(weights.half().float())


def _save(model: Any, processor: Any, folder: Path) -> None:
    """Weights in half precision, which are computed with in single."""
    model.half().save_pretrained(folder)
    processor.save_pretrained(folder)
    # The library reads weights in the precision that the configuration names.
    config = folder / "config.json"
    config.write_text(config.read_text(encoding="utf-8").replace('"float16"', '"float32"'), encoding="utf-8")


def main(arguments: list[str] | None = None) -> None:
    """Generate songs, train, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--songs", type=int, default=600)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args(arguments)
    if not 0 < given.songs < HELD_OUT:
        parser.error(f"--songs {given.songs} would reach into the held-out seeds: use less than {HELD_OUT}.")
    # One thread fixes the order of every sum, so that the weights can be reproduced to the last bit.
    torch.set_num_threads(1)
    began = time.process_time()
    plans = [plan_short_song(seed) for seed in range(given.songs)]
    model, processor = train(plans, given.seed, given.steps)
    round_weights(model)
    teach_to_end(model, processor, plans[0])
    seconds = time.process_time() - began
    # The figures are those of the weights as they are kept.
    round_weights(model)
    command = f"python -m musiclime_torch.demo.asking --seed {given.seed} --songs {given.songs} --steps {given.steps}"
    record = {
        "command": f"{command} --out {given.out}",
        "seed": given.seed,
        "songs": given.songs,
        "steps": given.steps,
        "parameters": sum(part.numel() for part in model.parameters()),
        "versions": {name: version(name) for name in ("torch", "transformers", "numpy")},
        "threads": 1,
        "processor_seconds": round(seconds),
        "held_out_seeds_from": HELD_OUT,
        "measured": measure(model, processor, SONGS_MEASURED),
    }
    _save(model, processor, given.out)
    (given.out / "asking.json").write_text(json.dumps(record, indent=1) + "\n")
    print(json.dumps(record["measured"], indent=1), f"{seconds:.0f} s of processor time")


if __name__ == "__main__":
    main()
