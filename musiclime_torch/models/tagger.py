"""A small tagger of audio and lyrics: convolutions over a log-mel spectrogram, a bag of words, one hidden layer for both.

Late fusion: ``forward`` is ``fuse(encode_audio(audio), encode_text(text))``. Pooling is over all of time and all words, so
that a cause may be anywhere; the hidden layer is where a sound *and* a word make one tag.
"""

from pathlib import Path
from typing import Any

import torch
import torchaudio
from jaxtyping import Float, Int
from torch import Tensor, nn

from musiclime_torch.basics.errors import InputError
from musiclime_torch.models.care import in_float32
from musiclime_torch.models.checkpoints import WEIGHTS, load_state, read_description, read_state, write_model
from musiclime_torch.models.contract import TokenBatch, Tokens
from musiclime_torch.models.tokens import cut_words

N_FFT = 512
#: Added to mel power before the logarithm: far below anything the songs play, above rounding noise.
FLOOR = 1e-2


class Tagger(nn.Module):
    """Logits from 16 kHz mono audio and lyrics; see ``models.contract`` for what it declares."""

    #: Tells its folders from others: the value of "model_type" in config.json.
    model_type = "musiclime_torch.tagger"
    sample_rate = 16000
    channels = 1
    max_seconds = 14.0
    modalities = ("audio", "lyrics")
    mel_bank: Float[Tensor, "frequency mel"]
    window: Float[Tensor, " frame"]

    def __init__(
        self,
        classes: tuple[str, ...],
        words: tuple[str, ...],
        output_kind: str,
        *,
        name: str = "tagger",
        width: int = 32,
        n_mels: int = 48,
        hop: int = 400,
        token_limit: int = 256,
    ) -> None:
        """Make an untrained one; ``words`` is the vocabulary in the order of its ids, the special ones first."""
        super().__init__()
        self.classes, self.output_kind, self.name = classes, output_kind, name
        self.size = {"width": width, "n_mels": n_mels, "hop": hop, "token_limit": token_limit}
        self.vocabulary = {word: index for index, word in enumerate(words)}
        self.token_limit = token_limit
        self.hop = hop
        bank = torchaudio.functional.melscale_fbanks(N_FFT // 2 + 1, 40.0, 7800.0, n_mels, self.sample_rate)
        self.register_buffer("mel_bank", bank, persistent=False)
        self.register_buffer("window", torch.hann_window(N_FFT), persistent=False)
        self.hearing = nn.Sequential(
            _convolve(1, width // 2, kernel=5, stride=2),
            _convolve(width // 2, width, kernel=3, stride=2),
            _convolve(width, width, kernel=3, stride=(2, 1)),
            nn.Conv2d(width, 2 * width, (n_mels // 8, 3), padding=(0, 1), bias=False),
            nn.BatchNorm2d(2 * width),
            nn.ReLU(inplace=True),
            nn.Flatten(2),
            nn.Conv1d(2 * width, 2 * width, 5, padding=2, bias=False),
            nn.BatchNorm1d(2 * width),
            nn.ReLU(inplace=True),
        )
        self.heard = nn.Sequential(nn.Linear(4 * width, width), nn.ReLU(inplace=True))
        self.embedding = nn.Embedding(len(words), width)
        nn.init.normal_(self.embedding.weight, std=0.3)
        self.read = nn.Sequential(nn.Linear(width, width), nn.ReLU(inplace=True))
        self.join_audio = nn.Linear(width, 2 * width)
        self.join_text = nn.Linear(width, 2 * width, bias=False)
        self.tag = nn.Linear(2 * width, len(classes))

    def tokenize(self, text: str) -> Tokens:
        """One token a word."""
        return cut_words(text, self.vocabulary, self.token_limit)

    def embed_text(self, ids: Int[Tensor, "*batch token"]) -> Float[Tensor, "*batch token dim"]:
        """Look words up."""
        embeddings: Tensor = self.embedding(ids)
        return embeddings

    def encode_audio(self, audio: Float[Tensor, "batch channel frame"]) -> Float[Tensor, "batch feature"]:
        """The maximum and mean over time, from mono audio of any length; audio under one window is filled with silence."""
        return self.pool_local(self.encode_local(audio))

    def encode_local(self, audio: Float[Tensor, "batch channel frame"]) -> Float[Tensor, "batch map time"]:
        """What is heard around each moment (see `receptive_field`)."""
        seen: Tensor = self.hearing(self._spectrogram(audio))
        return seen

    def pool_local(self, maps: Float[Tensor, "batch map time"]) -> Float[Tensor, "batch feature"]:
        """The maximum and mean over time."""
        # The maximum says whether something occurs anywhere, the mean for how long.
        pooled: Tensor = self.heard(torch.cat([maps.amax(2), maps.mean(2)], 1))
        return pooled

    @property
    def receptive_field(self) -> tuple[int, int]:
        """Samples that a frame of the maps hears, and from frame to frame."""
        # In spectrogram frames: convolutions of 5, 3, 3, 3 and 5 frames, the first two of stride 2, reach
        # 2 + 2·1 + 4·(1 + 1 + 2) = 20 frames to either side.
        return 2 * 20 * self.hop + N_FFT, 4 * self.hop

    def encode_text(self, text: TokenBatch) -> Float[Tensor, "batch feature"]:
        """The maximum over all words. Words that may not be attended to leave no trace; no words at all give zeros."""
        # One more row of zeros: lyrics with no attended words give zeros and not a maximum over nothing.
        noticed = self.read(text.embeddings) * text.attended[:, :, None]
        return torch.nn.functional.pad(noticed, (0, 0, 0, 1)).amax(1)

    def fuse(
        self, audio: Float[Tensor, "batch feature"], text: Float[Tensor, "batch feature"]
    ) -> Float[Tensor, "batch class"]:
        """Logits of each sound with its lyrics."""
        logits: Tensor = self.tag(torch.relu(self.join_audio(audio) + self.join_text(text)))
        return logits

    def fuse_pairs(
        self, audio: Float[Tensor, "na feature"], text: Float[Tensor, "nt feature"]
    ) -> Float[Tensor, "na nt class"]:
        """Logits of every sound with all lyrics; each side is joined in once."""
        # The joining layer is linear in [audio, text], so it is applied to each side once and added per pair.
        logits: Tensor = self.tag(torch.relu(self.join_audio(audio)[:, None] + self.join_text(text)))
        return logits

    def forward(
        self, audio: Float[Tensor, "batch channel frame"], text: TokenBatch | list[str]
    ) -> Float[Tensor, "batch class"]:
        """Logits (batch, class) of each song's sound and its lyrics, as token embeddings or as they are."""
        read = text if isinstance(text, TokenBatch) else self._embed_strings(text)
        return self.fuse(self.encode_audio(audio), self.encode_text(read))

    def save_pretrained(self, folder: str | Path) -> None:
        """Write model.safetensors and config.json."""
        described: dict[str, Any] = {
            "name": self.name,
            "output_kind": self.output_kind,
            "classes": list(self.classes),
            "size": self.size,
            "words": list(self.vocabulary),
        }
        write_model(self, self.model_type, described, Path(folder))

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> "Tagger":
        """What `save_pretrained` wrote, in eval mode; InputError where something is missing or doesn't fit."""
        folder = Path(folder)
        described = read_description(folder, cls.model_type)
        try:
            made_of = tuple(described["classes"]), tuple(described["words"]), described["output_kind"]
            with torch.random.fork_rng(devices=[]):
                model = cls(*made_of, name=described["name"], **described["size"])
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{str(folder)!r} is not a saved tagger ({error}).") from error
        load_state(model, read_state(folder / WEIGHTS), str(folder / WEIGHTS))
        return model.eval()

    def _spectrogram(self, audio: Float[Tensor, "batch channel frame"]) -> Float[Tensor, "batch 1 mel time"]:
        # A CPU is three times as fast when intermediate results stay in its cache.
        rows = 8 if audio.device.type == "cpu" else max(len(audio), 1)
        # Zeros, not torch.stft's mirrored ends: those can't be made from less than half a window.
        padded = torch.nn.functional.pad(audio.mean(1), (N_FFT // 2, N_FFT // 2))
        with in_float32(audio.device):
            return torch.cat([self._analyse(piece) for piece in torch.split(padded.float(), rows)])

    def _analyse(self, audio: Float[Tensor, "batch frame"]) -> Float[Tensor, "batch 1 mel time"]:
        # Frames by `unfold` are a view: nothing is copied before the product with the window.
        spectrum = torch.fft.rfft(audio.unfold(1, N_FFT, self.hop) * self.window)
        mel = (spectrum.real.square() + spectrum.imag.square()) @ self.mel_bank
        # Centred and scaled by constants, not by the batch: a variant's spectrogram must not depend on its neighbours.
        return (torch.log(mel.transpose(1, 2) + FLOOR)[:, None] - 1) / 4

    def _embed_strings(self, texts: list[str]) -> TokenBatch:
        cut = [self.tokenize(text).ids for text in texts]
        longest = max((len(ids) for ids in cut), default=0)
        ids = torch.zeros(len(cut), longest, dtype=torch.long)
        attended = torch.zeros(len(cut), longest, dtype=torch.bool)
        for row, tokens in enumerate(cut):
            ids[row, : len(tokens)] = tokens
            attended[row, : len(tokens)] = True
        device = self.embedding.weight.device
        return TokenBatch(self.embed_text(ids.to(device)), attended.to(device))


def _convolve(inputs: int, outputs: int, kernel: int, stride: int | tuple[int, int]) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )
