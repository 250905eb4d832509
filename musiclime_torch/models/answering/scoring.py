"""What a music language model reads, and how likely it finds an answer.

The prompt is the processor's own chat template around sound, lyrics and question, with a place for each. Given answers are
scored by teacher forcing; the model's own answer is its greedy one.
"""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from musiclime_torch.basics.errors import InputError
from musiclime_torch.models.contract import Tokens

#: Which comes first in the prompt. Models are trained on one order, and may mind the other.
Order = Literal["sound first", "text first"]

#: Stands for the lyrics while the template is filled in: no template and no song has it.
LYRICS = "\ue000lyrics\ue000"


@dataclass(frozen=True)
class Prompt:
    """A processor's template with a question in it. `before` and `after` are the numbers of tokens on either side of the
    sound that no lyrics change; the one on the lyrics' side is None.
    """

    processor: Any
    question: str
    order: Order

    def cut(self, lyrics: str, asked: bool = False) -> Tokens:
        """Tokens of the prompt with these lyrics, one token in place of the sound. Lyrics have characters; so has the
        question if it is `asked` about, which follow those of the lyrics and a line break.
        """
        text, start = self.render(lyrics)
        cut = self.processor.tokenizer(text, return_offsets_mapping=True, add_special_tokens=False, verbose=False)
        # Where each part begins in the prompt, how long it is, and where its characters begin among those of both.
        parts = [(start, len(lyrics), 0)]
        if asked:
            parts.append((self._find_question(text), len(self.question), len(lyrics) + 1))
        spans = []
        for first, last in cut["offset_mapping"]:
            inside = [
                (max(first, begin) - begin + offset, min(last, begin + length) - begin + offset)
                for begin, length, offset in parts
                if max(first, begin) < min(last, begin + length)
            ]
            spans.append(inside[0] if inside else (0, 0))
        tokenizer = self.processor.tokenizer
        return Tokens(
            torch.tensor(cut["input_ids"], dtype=torch.long), tuple(spans), tokenizer.mask_token_id, tokenizer.pad_token_id
        )

    def _find_question(self, text: str) -> int:
        """Where the question begins in a prompt: after the lyrics, which might hold the same words."""
        if self.question not in text:
            raise InputError("the model's chat template changes the question: its words can't be explained.", argument="ask")
        return text.rindex(self.question)

    def cut_question(self) -> list[int]:
        """The prompt's tokens from the question on, which no lyrics change; InputError where they do.

        Sound and lyrics must come before the question.
        """
        ends = [self._cut_end(lyrics) for lyrics in ("la la", "")]
        if ends[0] != ends[1]:
            raise InputError(
                f"the model's tokens of the question {self.question!r} depend on the lyrics: ask one question at a time.",
                argument="ask",
            )
        return ends[0]

    def _cut_end(self, lyrics: str) -> list[int]:
        text, _ = self.render(lyrics)
        begin = self._find_question(text)
        cut = self.processor.tokenizer(text, return_offsets_mapping=True, add_special_tokens=False, verbose=False)
        pairs = zip(cut["input_ids"], cut["offset_mapping"], strict=True)
        return [int(number) for number, (_, last) in pairs if last > begin]

    def find_sound(self, count: int) -> int:
        """The place of the sound among `count` tokens of a prompt."""
        ids = self.cut("").ids.tolist()
        place = ids.index(self._sound_id)
        # Lyrics lie on one side of the sound: from the other end its place is always the same.
        return place if self.order == "sound first" else count - (len(ids) - place)

    @property
    def _sound_id(self) -> int:
        number: int = self.processor.tokenizer.convert_tokens_to_ids(self.processor.audio_token)
        return number

    def render(self, lyrics: str) -> tuple[str, int]:
        """The prompt as text, and where the lyrics begin in it; InputError for a template without a place for sound."""
        words = f"Lyrics:\n{LYRICS}\n\n{self.question}" if lyrics else self.question
        parts = [{"type": "audio", "audio": "song", "audio_url": "song"}, {"type": "text", "text": words}]
        content = parts if self.order == "sound first" else parts[::-1]
        try:
            text = self.processor.apply_chat_template(
                [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
            )
        # All errors: the checkpoint's template is a program that jinja runs. It raises jinja's errors, Python's on what it
        # is given, and the library's where there is none. Each is the model's, and stays attached.
        except Exception as error:
            raise InputError(f"the model's chat template can't be filled in ({error}): give a chat model.") from error
        if text.count(self.processor.audio_token) != 1:
            raise InputError("the model's chat template has no place for sound: give a model that hears.")
        before, _, after = text.partition(LYRICS)
        return (before + lyrics + after, len(before)) if lyrics else (text, 0)


#: Tokens of an answer at most: more is a text, and its log-probability says little about a song.
LONGEST = 64


def score_answers(
    body: Any, head: Any, prompts: Float[Tensor, "batch token hidden"], attended: Bool[Tensor, "batch seen"],
    embed: Any, answers: Sequence[Sequence[int]], heard: Any = None,
) -> list[Float[Tensor, "batch answer_token"]]:  # fmt: skip
    """Log p of every token of every answer, given the prompt and the answer's tokens before it.

    The prompt is run once; answers of several tokens share its keys and values. `heard` are keys and values of what comes
    before `prompts`, which `attended` then begins with.
    """
    first, cache = run_body(body, prompts, attended, heard)
    # Only the rows that an answer's token is read from go through the head: a vocabulary is large, a prompt long.
    opening = head(first[:, -1]).float().log_softmax(-1)
    longest = max(map(len, answers))
    scores = [opening[:, [answer[0]]] for answer in answers]
    if longest == 1:
        return scores
    batch, count = len(prompts), len(answers)
    given = torch.zeros(count, longest - 1, dtype=torch.long)
    for row, answer in zip(given, answers, strict=True):
        row[: len(answer) - 1] = torch.tensor(answer[:-1], dtype=torch.long)
    # Padding comes after the answer's own tokens, and a token never sees those after it.
    given = given.to(prompts.device, non_blocking=True).repeat(batch, 1)
    cache.batch_repeat_interleave(count)
    seen = torch.cat([attended.repeat_interleave(count, 0), attended.new_ones(len(given), longest - 1)], 1)
    states, _ = run_body(body, embed(given), seen, cache)
    rest = head(states).float().log_softmax(-1).unflatten(0, (batch, count))
    return [
        torch.cat([scores[number], _gather(rest[:, number], answer[1:])], 1) if len(answer) > 1 else scores[number]
        for number, answer in enumerate(answers)
    ]


def score_questions(
    body: Any, head: Any, prompts: Float[Tensor, "batch token hidden"], attended: Bool[Tensor, "batch seen"],
    embed: Any, questions: Sequence[Sequence[int]], answers: Sequence[Sequence[int]], heard: Any = None,
) -> list[Float[Tensor, "batch answer_token"]]:  # fmt: skip
    """Log p of every token of every answer to every question: all answers to the first one come first.

    `prompts` end where questions begin, and are run once. Each of `questions` is the prompt's rest.
    """
    _, cache = run_body(body, prompts, attended, heard)
    longest = max(map(len, answers))
    # Where answers are single tokens, the state after the question says how probable each is.
    pairs = [(question, answer) for question in questions for answer in (answers if longest > 1 else answers[:1])]
    rows = [[*question, *answer[:-1]] for question, answer in pairs]
    given = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.long)
    for row, ids in zip(given, rows, strict=True):
        # Padding comes after a row's own tokens, and a token never sees those after it.
        row[: len(ids)] = torch.tensor(ids, dtype=torch.long)
    batch = len(prompts)
    given = given.to(prompts.device, non_blocking=True).repeat(batch, 1)
    cache.batch_repeat_interleave(len(rows))
    seen = torch.cat([attended.repeat_interleave(len(rows), 0), attended.new_ones(given.shape)], 1)
    states = run_body(body, embed(given), seen, cache)[0].unflatten(0, (batch, len(rows)))
    scores = []
    for number, (question, answer) in enumerate(pairs):
        end = len(question) - 1
        # Only the rows that an answer's token is read from go through the head.
        found = head(states[:, number, end : end + len(answer)]).float().log_softmax(-1)
        scores += [_gather(found, tokens) for tokens in ([answer] if longest > 1 else answers)]
    return scores


def generate_answer(
    body: Any, head: Any, prompt: Float[Tensor, "1 token hidden"], embed: Any, end: Sequence[int], most: int = 32
) -> list[int]:
    """The most probable next token, again and again, until the model ends its answer."""
    answer: list[int] = []
    attended = torch.ones(prompt.shape[:2], dtype=torch.bool, device=prompt.device)
    states, cache = run_body(body, prompt, attended, None)
    while len(answer) < most:
        token = int(head(states[:, -1]).argmax(-1))
        if token in end:
            break
        answer.append(token)
        attended = torch.cat([attended, attended.new_ones(1, 1)], 1)
        states, cache = run_body(body, embed(torch.tensor([[token]], device=prompt.device)), attended, cache)
    return answer


def _gather(scores: Float[Tensor, "batch token word"], tokens: Sequence[int]) -> Float[Tensor, "batch some"]:
    places = torch.tensor(list(tokens)).to(scores.device, non_blocking=True).expand(len(scores), -1)
    return scores[:, : len(tokens)].gather(2, places[:, :, None])[:, :, 0]


def run_body(body: Any, embedded: Tensor, attended: Bool[Tensor, "batch token"], cache: Any) -> tuple[Tensor, Any]:
    """Last states, and the keys and values of all tokens so far."""
    # transformers 5.24 renamed the argument; the old name warns there, and the new one is unknown before.
    known = inspect.signature(body.forward).parameters
    name = "cache" if "cache" in known else "past_key_values"
    begun = attended.shape[1] - embedded.shape[1]
    places = torch.arange(begun, attended.shape[1], device=embedded.device)[None].expand(len(embedded), -1)
    # Positions are given: a token that isn't attended to keeps its own, so that those after it don't move.
    outputs = body(
        inputs_embeds=embedded, attention_mask=attended.long(), position_ids=places, use_cache=True, **{name: cache}
    )
    return outputs.last_hidden_state, outputs[name]
