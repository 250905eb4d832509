"""AST's front end on the device and in the batch: Kaldi's log-mel filter bank, padded and normalised as it was trained.

`transformers.ASTFeatureExtractor` computes the same on the CPU, one clip at a time.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from musiclime_torch.models.precision import in_float32

#: Kaldi's defaults at 16 kHz: 25 ms windows every 10 ms, the lowest band at 20 Hz.
RATE, WINDOW, HOP, FFT, LOWEST = 16000, 400, 160, 512, 20.0
PRE_EMPHASIS = 0.97

#: Clips at a time on a CPU: intermediate results stay in its cache.
CPU_ROWS = 4


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
        spectrum = torch.fft.rfft((frames - PRE_EMPHASIS * before) * self.window, FFT)
        power = spectrum.real.square() + spectrum.imag.square()
        features = (power @ self.bank).clamp_min(torch.finfo(torch.float32).eps).log()
        # AST divides by twice the standard deviation, and normalises the padding too.
        filled = nn.functional.pad(features, (0, 0, 0, self.frames - features.shape[1]))
        return (filled - self.mean) / (2 * self.std)
