"""A music language model as a model of answers: a song and its lyrics in, a log-probability for each answer out.

It is loaded from a folder or the hub, by what the checkpoint says it is.
"""

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from musiclime_torch.basics.errors import InputError
from musiclime_torch.models.answering.asked import Asked, list_questions
from musiclime_torch.models.answering.families import FAMILIES, PARTS, Qwen25Omni, SoundProcessor
from musiclime_torch.models.answering.scoring import (
    Order,
    Prompt,
    run_body,
)
from musiclime_torch.models.checkpoints import load_part, load_weights
from musiclime_torch.models.contract import TokenBatch


class Answering(Asked):
    """The contract of `musiclime_torch.models.contract` for a language model that hears; see `Asked`."""

    modalities = ("audio", "lyrics")

    def __init__(
        self,
        model: Any,
        processor: Any,
        question: str | Sequence[str],
        answers: Sequence[str],
        order: Order = "sound first",
        by_token: bool = False,
        ask_words: bool = False,
    ) -> None:
        """InputError for a family that isn't known, an empty question, and answers that can't be told apart."""
        kind = type(model).__name__
        if kind not in FAMILIES:
            raise InputError(
                f"a {kind} can't be asked yet: known are {', '.join(FAMILIES)}; another one needs a class like those in "
                "musiclime_torch.models.answering.families."
            )
        prompts = [Prompt(processor, each, order) for each in list_questions(question)]
        if len(prompts) > 1 and order != "sound first":
            raise InputError(
                "several questions share a song that comes before them: ask one, or put the sound first.", argument="order"
            )
        super().__init__(model, prompts, answers, by_token, ask_words)
        self.family = FAMILIES[kind](model, processor)
        self.mel = self.family.mel
        self.sample_rate, self.channels = int(processor.feature_extractor.sampling_rate), 1
        self.max_seconds = self.family.max_seconds

    def with_answers(self, answers: Sequence[str]) -> "Answering":
        """The same model and question with other answers."""
        return Answering(
            self.model,
            self.prompt.processor,
            self.questions,
            answers,
            self.prompt.order,
            self.by_token,
            bool(self.asked_text),
        ).eval()

    @property
    def body(self) -> Any:
        """The language model without its head."""
        return self.model.model.language_model

    def forward(
        self, audio: Float[Tensor, "batch channel frame"], text: TokenBatch | list[str]
    ) -> Float[Tensor, "batch answer"]:
        """Log-probabilities."""
        return self._score(*self._merge(audio, text))

    def forward_shared(
        self, audio: Float[Tensor, "sound channel frame"], text: TokenBatch | list[str], places: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch answer"]:
        """Log-probabilities; row r has sound `places[r]`. Where the sound comes first, it is heard once."""
        if self.prompt.order != "sound first" or len(audio) == len(places):
            return self.forward(audio.index_select(0, places), text)
        read = text if isinstance(text, TokenBatch) else self._embed_strings(text, audio.device)
        place, sounds = self.prompt.find_sound(read.embeddings.shape[1]), self.family.hear(audio.mean(1))
        # What comes before the sound is the template's own, and the same in all rows.
        prefix = torch.cat([read.embeddings[:1, :place].expand(len(sounds), -1, -1), sounds], 1)
        seen = torch.ones(prefix.shape[:2], dtype=torch.bool, device=prefix.device)
        _, cache = run_body(self.body, prefix, seen, None)
        cache.batch_select_indices(places)
        attended = torch.cat([seen.index_select(0, places), read.attended[:, place + 1 :]], 1)
        return self._score(read.embeddings[:, place + 1 :], attended, cache)

    def pair_cost(self, frames: int, tokens: int) -> float:
        """What reading so many tokens costs after a sound of so many frames, as a share of both; 1 where text comes first.

        Operations per token are twice the weights that it meets. Of sound, a tower has 50 positions a second, the language
        model 25 tokens.
        """
        if self.prompt.order != "sound first":
            return 1.0
        body, embedding = self.body, self.model.get_input_embeddings()
        count = {part: sum(weight.numel() for weight in part.parameters()) for part in (self.model, body, embedding)}
        head = self.model.get_output_embeddings().weight.numel()
        # Looking a token up costs nothing; a head that shares the table multiplies by it all the same.
        language = count[body] - count[embedding]
        tied = self.model.get_output_embeddings().weight is embedding.weight
        tower = count[self.model] - count[body] - (0 if tied else head)
        positions = frames / (2 * self.mel.hop)
        sound = tower * positions + language * positions / 2
        rows = sum(map(len, self.answers.values())) * len(self.questions)
        # Further questions are read too, once for each answer where these are longer than a token.
        tails = sum(map(len, self.tails[1:])) if self.tails is not None else 0
        text = language * (tokens + tails + rows) + head * rows
        return text / (sound + text)

    def answer_by_itself(self, audio: Float[Tensor, "1 channel frame"], lyrics: str) -> str:
        """What the model answers to the whole song: the most probable token at each step."""
        return self._generate(self._merge(audio, [lyrics])[0])

    def _merge(self, audio: Tensor, text: TokenBatch | list[str]) -> tuple[Tensor, Tensor]:
        """Embeddings of the prompt with the sound in its place, and which of them may be attended to."""
        read = text if isinstance(text, TokenBatch) else self._embed_strings(text, audio.device)
        heard = self.family.hear(audio.mean(1))
        place = self.prompt.find_sound(read.embeddings.shape[1])
        there = read.attended.new_ones(heard.shape[:2])
        return (
            torch.cat([read.embeddings[:, :place], heard, read.embeddings[:, place + 1 :]], 1),
            torch.cat([read.attended[:, :place], there, read.attended[:, place + 1 :]], 1),
        )


def load_answering(
    name: str,
    question: str | Sequence[str],
    answers: Sequence[str],
    order: Order = "sound first",
    by_token: bool = False,
    ask_words: bool = False,
) -> Answering:
    """The model asked `question`, or several, in eval mode. Weights come from safetensors, never code from the checkpoint.

    InputError for a model of a family that isn't known, one that doesn't hear among them.
    """
    kind = find_kind(name)
    if kind not in FAMILIES:
        raise InputError(
            f"{name!r} is a {kind}, which can't be asked about a song: known are {', '.join(FAMILIES)}; another family "
            "needs a class like those in musiclime_torch.models.answering.families."
        )
    model = load_weights(getattr(import_module("transformers"), kind), name).eval()
    model.config.name_or_path = name
    return Answering(model, _load_processor(kind, name), question, answers, order, by_token, ask_words).eval()


def find_kind(name: str) -> str:
    """The class that a checkpoint says it is, or that of the part that is asked; by hub id or folder."""
    from transformers import AutoConfig

    config = load_part(AutoConfig, name)
    own = str((config.architectures or [type(config).__name__])[0])
    return PARTS.get(own, own)


def _load_processor(kind: str, name: str) -> Any:
    from transformers import AutoFeatureExtractor, AutoProcessor, AutoTokenizer

    if FAMILIES[kind] is not Qwen25Omni:
        return load_part(AutoProcessor, name)
    return SoundProcessor(load_part(AutoTokenizer, name), load_part(AutoFeatureExtractor, name))
