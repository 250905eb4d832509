"""A language model that only reads: its answers depend on the lyrics, and on nothing that is played."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float
from torch import Tensor

from musiclime_torch.models.answering.asked import Asked, list_questions
from musiclime_torch.models.answering.scoring import LYRICS, Prompt
from musiclime_torch.models.checkpoints import load_part, load_weights
from musiclime_torch.models.contract import TokenBatch


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
