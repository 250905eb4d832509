"""Whisper's log-mel features on the device of the audio, as its feature extractor makes them on the host."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn


class WhisperMel(nn.Module):
    """Windows of sound to log-mel features; settings are those of a `WhisperFeatureExtractor`."""

    filters: Float[Tensor, "frequency mel"]
    window: Float[Tensor, " frame"]

    def __init__(self, extractor: Any) -> None:
        super().__init__()
        self.rate, self.hop, self.fft = extractor.sampling_rate, extractor.hop_length, extractor.n_fft
        #: Samples of the window that every input is padded to.
        self.samples = int(extractor.chunk_length * extractor.sampling_rate)
        self.register_buffer("filters", torch.tensor(extractor.mel_filters).float(), persistent=False)
        self.register_buffer("window", torch.hann_window(self.fft), persistent=False)

    def forward(self, wave: Float[Tensor, "batch sample"]) -> Float[Tensor, "batch mel time"]:
        """Features of a whole window, silence added where there is less."""
        padded = nn.functional.pad(wave, (0, self.samples - wave.shape[1]))
        spectrum = torch.stft(padded, self.fft, self.hop, window=self.window, return_complex=True)[..., :-1]
        power = spectrum.real.square() + spectrum.imag.square()
        logs = (self.filters.T @ power).clamp_min(1e-10).log10()
        # The extractor's floor is eight below the window's own maximum: what is removed at one moment moves the quietest
        # parts of others. It belongs to what the model is given, and is kept.
        floor = logs.amax((1, 2), keepdim=True) - 8.0
        features: Tensor = (torch.maximum(logs, floor) + 4.0) / 4.0
        return features
