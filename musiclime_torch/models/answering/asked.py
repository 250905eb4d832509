"""What every language model that is asked a question shares, whether it hears or only reads: answers and their scores.

A model that only reads is here too: its answers depend on the lyrics, and on nothing that is played.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from musiclime_torch.basics.errors import InputError
from musiclime_torch.models.answering.scoring import LONGEST, LYRICS, Prompt, generate_answer, score_answers, score_questions
from musiclime_torch.models.checkpoints import load_part, load_weights
from musiclime_torch.models.contract import TokenBatch, Tokens


class Asked(nn.Module):
    """A language model with a prompt and answers.

    `classes` are the answers, outputs the log-probabilities of their tokens added up. Probabilities are therefore those
    among the answers that were asked. With `ask_words` the question's words are components too. With `by_token` every token
    of an answer is an output too, "Yes, please[1]"; the tokens' log-probabilities, and with them their attributions, add up
    to the answer's.

    Several questions share song and lyrics, which are read once for all of them. Outputs are then the answers to each,
    "Is this song sad? Yes".
    """

    def __init__(
        self, model: Any, prompts: Sequence[Prompt], answers: Sequence[str], by_token: bool, ask_words: bool
    ) -> None:
        """InputError for empty questions or equal ones, and answers that can't be told apart. `prompts` have a question each
        and are alike otherwise.
        """
        super().__init__()
        self.questions = tuple(prompt.question for prompt in prompts)
        _check_questions(self.questions, ask_words)
        self.model, self.prompt, self.by_token = model, prompts[0], by_token
        self.processor = self.prompt.processor
        self.name = str(getattr(model.config, "name_or_path", "") or type(model).__name__)
        self.asked, self.asked_text = " / ".join(self.questions), self.questions[0] if ask_words else ""
        self.answers = self._cut_answers(answers)
        # What comes after the lyrics, by question; None for a single one, whose prompt needn't be taken apart.
        self.tails = [prompt.cut_question() for prompt in prompts] if len(prompts) > 1 else None

    def _cut_answers(self, answers: Sequence[str]) -> dict[str, list[int]]:
        if not answers:
            raise InputError("there is no answer to score: give one, such as Yes.", argument="answer")
        tokenizer = self.processor.tokenizer
        cut = {answer: tokenizer(answer, add_special_tokens=False, verbose=False)["input_ids"] for answer in answers}
        for answer, ids in cut.items():
            if not ids:
                raise InputError("an answer is empty: give words, such as Yes.", argument="answer")
            if len(ids) > LONGEST:
                raise InputError(
                    f"the answer {answer[:40]!r}... has {len(ids)} tokens: give {LONGEST} at most.", argument="answer"
                )
        if len(set(map(tuple, cut.values()))) < len(answers):
            raise InputError(f"two of the answers {', '.join(answers)} are the same: leave one out.", argument="answer")
        return cut

    @property
    def classes(self) -> tuple[str, ...]:
        """The answers, to each question; with `by_token` the tokens of each after all of them."""
        begins = [""] if self.tails is None else [f"{question} " for question in self.questions]
        answers = [f"{begin}{answer}" for begin in begins for answer in self.answers]
        if not self.by_token:
            return tuple(answers)
        counts = [len(ids) for _ in begins for ids in self.answers.values()]
        tokens = [f"{answer}[{place}]" for answer, count in zip(answers, counts, strict=True) for place in range(count)]
        return (*answers, *tokens)

    @property
    def output_kind(self) -> str:
        """Logits of the answers; without another answer, with tokens beside them or to several questions, they decide
        nothing.
        """
        return "logits" if len(self.answers) > 1 and not self.by_token and self.tails is None else "regression"

    @property
    def body(self) -> Any:
        """The language model without its head."""
        return self.model.base_model

    def describe_question(self) -> dict[str, Any]:
        """What it was asked, as an explanation's provenance keeps it."""
        asked = {"asked": self.asked, "order": self.prompt.order, "answers": self.describe_answers()}
        return asked | {"answer_tokens": self.by_token} | ({"asked_words": True} if self.asked_text else {})

    def describe_answers(self) -> str:
        """The tokens that each answer was cut into, as they are scored."""
        words = self.processor.tokenizer.convert_ids_to_tokens
        return "; ".join(f"{answer}: {' + '.join(words(ids))}" for answer, ids in self.answers.items())

    def tokenize(self, text: str) -> Tokens:
        """The prompt with these lyrics in it."""
        return self.prompt.cut(text, bool(self.asked_text))

    def embed_text(self, ids: Int[Tensor, "*batch token"]) -> Float[Tensor, "*batch token dim"]:
        """The language model's token embeddings."""
        embedded: Tensor = self.model.get_input_embeddings()(ids)
        return embedded

    def _score(
        self, prompts: Float[Tensor, "batch token dim"], attended: Bool[Tensor, "batch seen"], heard: Any = None
    ) -> Float[Tensor, "batch answer"]:
        parts = self.body, self.model.get_output_embeddings()
        answers = list(self.answers.values())
        if self.tails is None:
            scores = score_answers(*parts, prompts, attended, self.embed_text, answers, heard)
        else:
            # The prompt is the first question's: without its tail it is everyone's.
            end = len(self.tails[0])
            shared = prompts[:, :-end], attended[:, :-end]
            scores = score_questions(*parts, *shared, self.embed_text, self.tails, answers, heard)
        sums = torch.stack([score.sum(1) for score in scores], 1)
        return torch.cat([sums, *scores], 1) if self.by_token else sums

    def _generate(self, prompts: Float[Tensor, "1 token dim"]) -> str:
        """The model's own answer: the most probable token at each step."""
        ends = self.model.generation_config.eos_token_id if hasattr(self.model, "generation_config") else None
        tokenizer = self.processor.tokenizer
        stops = [tokenizer.eos_token_id, *(ends if isinstance(ends, list) else [ends])]
        end = [int(stop) for stop in stops if stop is not None]
        ids = generate_answer(self.body, self.model.get_output_embeddings(), prompts, self.embed_text, end)
        return str(tokenizer.decode(ids, skip_special_tokens=True)).strip()

    def _embed_strings(self, texts: list[str], device: torch.device) -> TokenBatch:
        if len(set(texts)) != 1:
            raise InputError("a batch of different lyrics can't be asked at once: ask one after the other.")
        embedded = self.embed_text(self.tokenize(texts[0]).ids.to(device)).expand(len(texts), -1, -1)
        return TokenBatch(embedded, torch.ones(embedded.shape[:2], dtype=torch.bool, device=device))


def list_questions(question: str | Sequence[str]) -> tuple[str, ...]:
    """One question or several, as several.

    >>> list_questions("Is this song sad?")
    ('Is this song sad?',)
    """
    return (question,) if isinstance(question, str) else tuple(question)


def _check_questions(questions: Sequence[str], ask_words: bool) -> None:
    if not questions or not all(question.strip() for question in questions):
        raise InputError("the question is empty: ask something, such as 'Is this song sad?'.", argument="ask")
    if len(set(questions)) < len(questions):
        raise InputError(
            f"a question is asked twice among {', '.join(map(repr, questions))}: leave one out.", argument="ask"
        )
    if ask_words and len(questions) > 1:
        raise InputError("the words of several questions can't be explained at once: ask one.", argument="ask_words")


@dataclass(frozen=True)
class _TextProcessor:
    """A processor without ears: a tokenizer alone."""

    tokenizer: Any


@dataclass(frozen=True)
class _ReadPrompt(Prompt):
    """Lyrics and question in the tokenizer's chat template; one after the other where it has none."""

    def render(self, lyrics: str) -> tuple[str, int]:
        """The prompt as text, and where the lyrics begin in it."""
        words = f"Lyrics:\n{LYRICS}\n\n{self.question}" if lyrics else self.question
        tokenizer = self.processor.tokenizer
        if getattr(tokenizer, "chat_template", None):
            messages = [{"role": "user", "content": words}]
            text = str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))
        else:
            text = f"{words}\nAnswer: "
        # As for models that hear: the lyrics' place is found in the filled template, whatever the template adds.
        before, _, after = text.partition(LYRICS)
        return (before + lyrics + after, len(before)) if lyrics else (text, 0)


class Reading(Asked):
    """A model that takes no sound: the lyrics, and on request the question's words, are all there is; see `Asked`."""

    modalities = ("lyrics",)

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        question: str | Sequence[str],
        answers: Sequence[str],
        by_token: bool = False,
        ask_words: bool = False,
    ) -> None:
        """InputError for an empty question, and answers that can't be told apart."""
        prompts = [_ReadPrompt(_TextProcessor(tokenizer), each, "text first") for each in list_questions(question)]
        super().__init__(model, prompts, answers, by_token, ask_words)

    def with_answers(self, answers: Sequence[str]) -> "Reading":
        """The same model and question with other answers."""
        tokenizer = self.processor.tokenizer
        return Reading(self.model, tokenizer, self.questions, answers, self.by_token, bool(self.asked_text)).eval()

    def forward(self, text: TokenBatch | list[str]) -> Float[Tensor, "batch answer"]:
        """Log-probabilities."""
        read = text if isinstance(text, TokenBatch) else self._embed_strings(text, self.model.device)
        return self._score(read.embeddings, read.attended)

    def answer_by_itself(self, audio: Tensor | None, lyrics: str) -> str:
        """What the model answers to the lyrics, whatever is played."""
        return self._generate(self._embed_strings([lyrics], self.model.device).embeddings)


def load_reading(
    name: str, question: str | Sequence[str], answers: Sequence[str], by_token: bool = False, ask_words: bool = False
) -> Reading:
    """A causal language model by hub id or folder, asked `question`, in eval mode."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = load_weights(AutoModelForCausalLM, name).eval()
    model.config.name_or_path = name
    return Reading(model, load_part(AutoTokenizer, name), question, answers, by_token, ask_words).eval()


def reads_alone(kind: str) -> bool:
    """Whether a class that a checkpoint names is a language model of text alone.

    >>> reads_alone("Qwen2ForCausalLM"), reads_alone("MusicFlamingoForConditionalGeneration")
    (True, False)
    """
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as KNOWN

    return kind in KNOWN.values()
