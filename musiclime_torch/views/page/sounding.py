"""Sound as a browser plays it: an mp3 where libsndfile writes one, else ogg or wav; in the page itself or beside it."""

import base64
import io
from pathlib import Path

import soundfile
from jaxtyping import Float
from torch import Tensor

from musiclime_torch.basics.files import write_atomically
from musiclime_torch.song.audio.recording import resample

#: Seconds up to which a song lies in the page itself: three players of longer songs would make it many megabytes.
EMBED_SECONDS = 45.0
#: Rates that mp3 knows; others are brought to the last.
_RATES = (16_000, 22_050, 24_000, 32_000, 44_100, 48_000)


def encode_sound(sound: Float[Tensor, "channel frame"], sample_rate: int, gain: float) -> tuple[str, bytes]:
    """File ending and bytes of a sound with `gain` dB on it. Constant bit rate: a seek lands where it was asked to."""
    rate = sample_rate if sample_rate in _RATES else _RATES[-1]
    samples = (resample(sound, sample_rate, rate) * 10 ** (gain / 20)).T.contiguous().numpy()
    for ending, form, more in (
        ("mp3", "MP3", {"bitrate_mode": "CONSTANT", "compression_level": 0.5}),
        ("ogg", "OGG", {}),
        ("wav", "WAV", {}),
    ):
        if form not in soundfile.available_formats():
            continue
        buffer = io.BytesIO()
        soundfile.write(buffer, samples, rate, format=form, **more)
        return ending, buffer.getvalue()
    raise AssertionError("libsndfile always writes wav")


def embed_sound(ending: str, data: bytes) -> str:
    """As a data URI."""
    kinds = {"mp3": "audio/mpeg", "ogg": "audio/ogg", "wav": "audio/wav"}
    return f"data:{kinds[ending]};base64,{base64.b64encode(data).decode()}"


def lay_beside(name: str, ending: str, data: bytes, folder: Path) -> str:
    """As a file in `folder`/audio; the address from a page in `folder`."""
    path = folder / "audio" / f"{name}.{ending}"
    write_atomically(data, path, "out")
    return f"audio/{path.name}"
