"""The question as the model reads it: its own chat template around sound, lyrics and question, with a place for each."""

from dataclasses import dataclass
from typing import Any, Literal

import torch

from musiclime_torch.basics.errors import InputError
from musiclime_torch.models.contract import Tokens

#: Which comes first in the prompt. Models are trained on one order, and may mind the other.
Order = Literal["sound first", "text first"]

#: Stands for the lyrics while the template is filled in: no template and no song has it.
_LYRICS = "\ue000lyrics\ue000"


@dataclass(frozen=True)
class Prompt:
    """A processor's template with a question in it. `before` and `after` are the numbers of tokens on either side of the
    sound that no lyrics change; the one on the lyrics' side is None.
    """

    processor: Any
    question: str
    order: Order

    def cut(self, lyrics: str) -> Tokens:
        """Tokens of the prompt with these lyrics, one token in place of the sound; only lyrics have characters."""
        text, start = self.render(lyrics)
        cut = self.processor.tokenizer(text, return_offsets_mapping=True, add_special_tokens=False, verbose=False)
        end = start + len(lyrics)
        spans = []
        for first, last in cut["offset_mapping"]:
            inside = max(first, start), min(last, end)
            spans.append((inside[0] - start, inside[1] - start) if inside[0] < inside[1] else (0, 0))
        tokenizer = self.processor.tokenizer
        return Tokens(
            torch.tensor(cut["input_ids"], dtype=torch.long), tuple(spans), tokenizer.mask_token_id, tokenizer.pad_token_id
        )

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
        words = f"Lyrics:\n{_LYRICS}\n\n{self.question}" if lyrics else self.question
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
        before, _, after = text.partition(_LYRICS)
        return (before + lyrics + after, len(before)) if lyrics else (text, 0)
