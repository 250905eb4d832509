"""Lyrics that Whisper hears in a song, with the times of lines and words, for songs whose lyrics nobody wrote down.

Long songs are heard in windows of half a minute, each of which begins where the last line before it ended (the library's own
procedure). Words are timed by the decoder's attention to the sound. What is written down may be wrong, and says so.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from musiclime_torch.basics.errors import InputError
from musiclime_torch.models.answering.transcribing import TINY, Transcribing, load_transcribing
from musiclime_torch.song.audio.recording import resample
from musiclime_torch.song.lyrics.lrc import parse_lrc
from musiclime_torch.song.lyrics.lyrics import Lyrics

#: Lines over sound that is so many dB below the loudest second are made up: Whisper writes something down for silence too.
FAINT = 40.0


def transcribe(
    asked: str, sound: Float[Tensor, "channel frame"], sample_rate: int, offset: float, device: torch.device | str = "cpu"
) -> Lyrics:
    """What Whisper hears in a sound, as lyrics with times. `asked` is "auto" or "auto:NAME"; the sound begins at `offset`
    seconds.

    Raises:
        InputError: for weights that aren't there, and where nothing is heard.
    """
    model = load_transcribing(asked.partition(":")[2] or TINY, ()).to(device)
    wave = resample(sound.mean(0, keepdim=True), sample_rate, model.sample_rate)[0]
    lines = [_write_line(model, segment, offset) for segment in _hear(model, wave) if not _is_faint(wave, segment, model)]
    if not any(lines):
        raise InputError(f"{model.name} hears no words in this song: leave the lyrics out.", argument="lyrics")
    # Through the reader of .lrc files: sections, lines and words are then cut as they are in any lyrics.
    lyrics = parse_lrc("\n".join(filter(None, lines)))
    said = f"the lyrics are what {model.name} hears: they may be wrong, and so may their times."
    return replace(lyrics, warnings=(*lyrics.warnings, said))


@torch.inference_mode()
def _hear(model: Transcribing, wave: Float[Tensor, " frame"]) -> list[dict[str, Any]]:
    """The library's segments: start, end, tokens and their times."""
    # A window is the least that it takes; longer sound is not cut.
    features = model.extractor(
        wave.numpy(), sampling_rate=model.sample_rate, return_tensors="pt", truncation=False, return_attention_mask=True,
        padding="longest" if len(wave) > model.extractor.n_samples else "max_length",
    )  # fmt: skip
    device = next(model.parameters()).device
    heard = model.model.generate(
        features.input_features.to(device, model.model.dtype),
        attention_mask=features.attention_mask.to(device),
        return_timestamps=True,
        return_token_timestamps=True,
        return_segments=True,
        do_sample=False,
        num_beams=1,
    )
    segments: list[dict[str, Any]] = heard["segments"][0]
    return segments


def _is_faint(wave: Float[Tensor, " frame"], segment: dict[str, Any], model: Transcribing) -> bool:
    """Whether there is next to nothing where a line was written down."""
    rate = model.sample_rate
    seconds = wave[: len(wave) // rate * rate].view(-1, rate) if len(wave) >= rate else wave[None]
    loudest = float(seconds.square().mean(1).max())
    part = wave[round(float(segment["start"]) * rate) : round(float(segment["end"]) * rate)]
    return not len(part) or float(part.square().mean()) <= loudest * 10 ** (-FAINT / 10)


def _write_line(model: Transcribing, segment: dict[str, Any], offset: float) -> str:
    """A line of an .lrc file with the times of its words; "" for one without a word."""
    words = [f"<{_clock(time + offset)}>{text}" for text, time in _join_words(model, segment)]
    return f"[{_clock(float(segment['start']) + offset)}]{' '.join(words)}" if words else ""


def _join_words(model: Transcribing, segment: dict[str, Any]) -> Iterator[tuple[str, float]]:
    """Tokens as words, each with the time at which it begins."""
    end, text, began = int(model.tokenizer.eos_token_id), "", 0.0
    # A token's time is when it ends; it begins where the one before it ended.
    before = float(segment["start"])
    for token, time in zip(segment["tokens"].tolist(), segment["token_timestamps"].tolist(), strict=False):
        # Marks of times and the end come after all text.
        if token < end:
            piece = str(model.tokenizer.decode([token]))
            if text and piece.startswith(" "):
                yield text, began
                text = ""
            began = began if text else before
            text += piece if text else piece.strip()
        before = max(time, float(segment["start"]))
    if text:
        yield text, began


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(100 * seconds), 6000)
    return f"{minutes:02d}:{rest // 100:02d}.{rest % 100:02d}"
