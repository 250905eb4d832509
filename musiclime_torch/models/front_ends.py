"""What lies between sound and a `transformers` audio model: its feature extractor, in the batch and on the device.

Those of AST (Kaldi's log-mel filter bank, padded and normalised as AST was trained), CLAP and the wav2vec 2.0 family
are rebuilt here: `transformers` computes the same on the CPU, one clip at a time. Any other extractor runs as the
library has it. Each has its sample `rate`, the `seconds` it takes at a time, and the `key` under which the model takes
its output.
"""

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from musiclime_torch.models.care import in_float32

#: Kaldi's defaults at 16 kHz: 25 ms windows every 10 ms, the lowest band at 20 Hz.
RATE, WINDOW, HOP, FFT, LOWEST = 16000, 400, 160, 512, 20.0

PRE_EMPHASIS = 0.97

#: Clips at a time on a CPU: intermediate results stay in its cache.
CPU_ROWS = 4

#: The cost of attention grows with the square of the length: models without a limit get longer songs in windows.
LONGEST = 30.0


class KaldiFbank(nn.Module):
    """Mono audio at 16 kHz to normalised features; nothing in it is learned or saved.

    Audio shorter than `frames` frames is filled with zeros before they are normalised, longer audio is cut there.
    """

    window: Float[Tensor, " window"]
    bank: Float[Tensor, "frequency mel"]

    def __init__(self, mels: int, frames: int, mean: float, std: float) -> None:
        """`mels` bands, `frames` frames; `mean` and `std` of the training data's features."""
        super().__init__()
        from torchaudio.compliance.kaldi import get_mel_banks

        self.frames, self.mean, self.std = frames, mean, std
        bank, _ = get_mel_banks(mels, FFT, float(RATE), LOWEST, 0.0, 100.0, -500.0, 1.0)
        self.register_buffer("bank", nn.functional.pad(bank, (0, 1)).T.contiguous(), persistent=False)
        self.register_buffer("window", torch.hann_window(WINDOW, periodic=False), persistent=False)

    @property
    def seconds(self) -> float:
        """Length of audio that fills all frames."""
        return ((self.frames - 1) * HOP + WINDOW) / RATE

    def forward(self, audio: Float[Tensor, "batch channel frame"]) -> Float[Tensor, "batch time mel"]:
        """Channels are averaged. In float32 whatever the model's precision: a spectrum spans 200 dB."""
        rows = CPU_ROWS if audio.device.type == "cpu" else max(len(audio), 1)
        with in_float32(audio.device):
            return torch.cat([self._analyse(piece) for piece in audio.float().mean(1).split(rows)])

    def _analyse(self, audio: Float[Tensor, "batch frame"]) -> Float[Tensor, "batch time mel"]:
        if audio.shape[1] < WINDOW:
            audio = nn.functional.pad(audio, (0, WINDOW - audio.shape[1]))
        frames = audio.unfold(1, WINDOW, HOP)[:, : self.frames]
        # Kaldi's order, per frame: mean removed, pre-emphasis with the first sample as its own predecessor, window, FFT.
        frames = frames - frames.mean(2, keepdim=True)
        before = torch.cat([frames[:, :, :1], frames[:, :, :-1]], 2)
        spectrum = torch.fft.rfft((frames - PRE_EMPHASIS * before) * self.window.float(), FFT)
        power = spectrum.real.square() + spectrum.imag.square()
        features = (power @ self.bank.float()).clamp_min(torch.finfo(torch.float32).eps).log()
        # AST divides by twice the standard deviation, and normalises the padding too.
        filled = nn.functional.pad(features, (0, 0, 0, self.frames - features.shape[1]))
        return (filled - self.mean) / (2 * self.std)


@runtime_checkable
class FrontEnd(Protocol):
    """A module from audio (batch, channel, frame) to what a model takes as its keyword arguments."""

    rate: int
    seconds: float

    def __call__(self, audio: Float[Tensor, "batch channel frame"]) -> dict[str, Tensor]:
        """The model's keyword arguments."""
        ...


class AstFrontEnd(nn.Module):
    """AST's log-mel features."""

    rate = RATE

    def __init__(self, extractor: Any) -> None:
        super().__init__()
        normalised = (extractor.mean, extractor.std) if extractor.do_normalize else (0.0, 0.5)
        self.fbank = KaldiFbank(extractor.num_mel_bins, extractor.max_length, *normalised)
        self.seconds = self.fbank.seconds

    def forward(self, audio: Float[Tensor, "batch channel frame"]) -> dict[str, Tensor]:
        """(batch, time, mel)."""
        return {"input_values": self.fbank(audio)}


class WaveFrontEnd(nn.Module):
    """Samples themselves, of each clip with mean 0 and variance 1 where the model was trained so."""

    seconds = LONGEST

    def __init__(self, extractor: Any) -> None:
        super().__init__()
        self.rate, self.normalise = extractor.sampling_rate, extractor.do_normalize

    def forward(self, audio: Float[Tensor, "batch channel frame"]) -> dict[str, Tensor]:
        """(batch, frame)."""
        wave = audio.float().mean(1)
        if self.normalise:
            middle = wave.mean(1, keepdim=True)
            wave = (wave - middle) / (wave.var(1, keepdim=True, correction=0) + 1e-7).sqrt()
        return {"input_values": wave}


class ClapFrontEnd(nn.Module):
    """CLAP's log-mel features of ten seconds, shorter clips repeated. The library's own draws random crops of longer ones;
    here a longer song comes in windows.
    """

    window: Float[Tensor, " window"]
    bank: Float[Tensor, "frequency mel"]

    def __init__(self, extractor: Any) -> None:
        super().__init__()
        self.rate, self.frames = extractor.sampling_rate, int(extractor.nb_max_samples)
        self.seconds = self.frames / self.rate
        self.hop, self.repeat, self.fusion = extractor.hop_length, extractor.padding, extractor.truncation == "fusion"
        bank = extractor.mel_filters if self.fusion else extractor.mel_filters_slaney
        self.register_buffer("bank", torch.as_tensor(bank, dtype=torch.float32), persistent=False)
        self.register_buffer("window", torch.hann_window(extractor.fft_window_size), persistent=False)

    def forward(self, audio: Float[Tensor, "batch channel frame"]) -> dict[str, Tensor]:
        """(batch, crop, time, mel): one crop, or four that are alike for models that fuse crops."""
        wave = self._fill(audio.float().mean(1))
        window = self.window.float()
        spectrum = torch.stft(wave, len(window), self.hop, window=window, pad_mode="reflect", return_complex=True)
        power = spectrum.real.square() + spectrum.imag.square()
        with in_float32(audio.device):
            features = 10 * (power.mT @ self.bank.float()).clamp_min(1e-10).log10()
        # Fusion models take a global view and three crops of a long clip; for a clip of full length all four are the same.
        shaped = features[:, None].expand(-1, 4 if self.fusion else 1, -1, -1)
        # The library calls one clip of a batch longer where none is: a clip alone is always fused, and so is each one here.
        longer = torch.full((len(wave), 1), self.fusion, dtype=torch.bool, device=wave.device)
        return {"input_features": shaped, "is_longer": longer}

    def _fill(self, wave: Float[Tensor, "batch frame"]) -> Float[Tensor, "batch whole"]:
        length = wave.shape[1]
        if length >= self.frames:
            return wave[:, : self.frames]
        # "repeat" cuts the last repetition off; "repeatpad" repeats as often as fits and adds silence; others only add it.
        times = self.frames // length
        if self.repeat == "repeat":
            return wave.repeat(1, times + 1)[:, : self.frames]
        if self.repeat == "repeatpad":
            wave = wave.repeat(1, times)
        return nn.functional.pad(wave, (0, self.frames - wave.shape[1]))


class LibraryFrontEnd(nn.Module):
    """Any extractor, run by the library on the CPU."""

    seconds = LONGEST

    def __init__(self, extractor: Any) -> None:
        super().__init__()
        self.rate, self.extractor = extractor.sampling_rate, extractor

    def forward(self, audio: Float[Tensor, "batch channel frame"]) -> dict[str, Tensor]:
        """Whatever the extractor gives."""
        clips = list(audio.float().mean(1).cpu().numpy())
        features = self.extractor(clips, sampling_rate=self.rate, return_tensors="pt")
        return {name: value.to(audio.device) for name, value in features.items()}


_FRONT_ENDS: dict[str, Callable[[Any], FrontEnd]] = {
    "ASTFeatureExtractor": AstFrontEnd,
    "ClapFeatureExtractor": ClapFrontEnd,
    "Wav2Vec2FeatureExtractor": WaveFrontEnd,
}


def make_front_end(extractor: Any) -> FrontEnd:
    """The extractor's counterpart here, or the extractor itself behind the same call."""
    return _FRONT_ENDS.get(type(extractor).__name__, LibraryFrontEnd)(extractor)
