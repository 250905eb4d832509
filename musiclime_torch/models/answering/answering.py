"""A music language model as a model of answers: a song and its lyrics in, a log-probability for each answer out.

It is loaded from a folder or the hub, by what the checkpoint says it is.
"""

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from musiclime_torch.basics.errors import InputError
from musiclime_torch.models.answering.families import FAMILIES, PARTS, Qwen25Omni, SoundProcessor
from musiclime_torch.models.answering.scoring import (
    LONGEST,
    Order,
    Prompt,
    generate_answer,
    run_body,
    score_answers,
)
from musiclime_torch.models.checkpoints import load_part, load_weights
from musiclime_torch.models.contract import TokenBatch, Tokens


class Answering(nn.Module):
    """The contract of `musiclime_torch.models.contract` for a language model that hears.

    `classes` are the answers, outputs the log-probabilities of their tokens added up. Probabilities are therefore those
    among the answers that were asked. With `by_token` every token of an answer is an output too, "Yes, please[1]"; the
    tokens' log-probabilities, and with them their attributions, add up to the answer's.
    """

    modalities = ("audio", "lyrics")

    def __init__(
        self,
        model: Any,
        processor: Any,
        question: str,
        answers: Sequence[str],
        order: Order = "sound first",
        by_token: bool = False,
        ask_words: bool = False,
    ) -> None:
        """InputError for a family that isn't known, an empty question, and answers that can't be told apart."""
        super().__init__()
        kind = type(model).__name__
        if kind not in FAMILIES:
            raise InputError(
                f"a {kind} can't be asked yet: known are {', '.join(FAMILIES)}; another one needs a class like those in "
                "musiclime_torch.models.answering.families."
            )
        if not question.strip():
            raise InputError("the question is empty: ask something, such as 'Is this song sad?'.", argument="ask")
        self.model, self.processor, self.by_token = model, processor, by_token
        self.family = FAMILIES[kind](model, processor)
        self.mel = self.family.mel
        self.prompt = Prompt(processor, question, order)
        self.name = str(getattr(model.config, "name_or_path", "") or kind)
        self.sample_rate, self.channels = int(processor.feature_extractor.sampling_rate), 1
        self.max_seconds = self.family.max_seconds
        self.asked, self.asked_text = question, question if ask_words else ""
        self.answers = self._cut_answers(answers)

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
        """The answers; with `by_token` the tokens of each after it."""
        if not self.by_token:
            return tuple(self.answers)
        tokens = [f"{answer}[{place}]" for answer, ids in self.answers.items() for place in range(len(ids))]
        return (*self.answers, *tokens)

    @property
    def output_kind(self) -> str:
        """Logits of the answers; without another answer, or with tokens beside them, they decide nothing."""
        return "logits" if len(self.answers) > 1 and not self.by_token else "regression"

    def with_answers(self, answers: Sequence[str]) -> "Answering":
        """The same model and question with other answers."""
        return Answering(
            self.model, self.processor, self.asked, answers, self.prompt.order, self.by_token, bool(self.asked_text)
        ).eval()

    @property
    def body(self) -> Any:
        """The language model without its head."""
        return self.model.model.language_model

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
        rows = sum(map(len, self.answers.values()))
        text = language * (tokens + rows) + head * rows
        return text / (sound + text)

    def _score(
        self, prompts: Float[Tensor, "batch token dim"], attended: Bool[Tensor, "batch seen"], heard: Any = None
    ) -> Float[Tensor, "batch answer"]:
        scores = score_answers(
            self.body,
            self.model.get_output_embeddings(),
            prompts,
            attended,
            self.embed_text,
            list(self.answers.values()),
            heard,
        )
        sums = torch.stack([score.sum(1) for score in scores], 1)
        return torch.cat([sums, *scores], 1) if self.by_token else sums

    def answer_by_itself(self, audio: Float[Tensor, "1 channel frame"], lyrics: str) -> str:
        """What the model answers to the whole song: the most probable token at each step."""
        prompts, _ = self._merge(audio, [lyrics])
        ends = self.model.generation_config.eos_token_id if hasattr(self.model, "generation_config") else None
        tokenizer = self.processor.tokenizer
        stops = [tokenizer.eos_token_id, *(ends if isinstance(ends, list) else [ends])]
        end = [int(stop) for stop in stops if stop is not None]
        ids = generate_answer(self.body, self.model.get_output_embeddings(), prompts, self.embed_text, end)
        return str(tokenizer.decode(ids, skip_special_tokens=True)).strip()

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

    def _embed_strings(self, texts: list[str], device: torch.device) -> TokenBatch:
        if len(set(texts)) != 1:
            raise InputError("a batch of different lyrics can't be asked at once: ask one after the other.")
        embedded = self.embed_text(self.tokenize(texts[0]).ids.to(device)).expand(len(texts), -1, -1)
        return TokenBatch(embedded, torch.ones(embedded.shape[:2], dtype=torch.bool, device=device))


def load_answering(
    name: str,
    question: str,
    answers: Sequence[str],
    order: Order = "sound first",
    by_token: bool = False,
    ask_words: bool = False,
) -> Answering:
    """The model asked `question`, in eval mode. Weights come from safetensors, never code from the checkpoint.

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
