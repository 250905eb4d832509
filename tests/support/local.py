"""Small models with local maps: sound alone, and with lyrics; every row of the encoder is counted."""

import torch
from models import RATE, Late

#: Frames of the maps and of what each of them hears, in samples.
HOP, FIELD = 100, 400


class Local(torch.nn.Module):
    """A convolution over the sound, pooled by maximum and mean; logits from sound alone."""

    sample_rate, channels, classes, output_kind, modalities = RATE, 1, ("calm", "wild", "sad"), "logits", ("audio",)
    receptive_field = (FIELD, HOP)

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.filters = torch.nn.Parameter(torch.randn(5, 1, FIELD, generator=generator) / 20)
        self.head = torch.nn.Parameter(torch.randn(10, 3, generator=generator))
        self.rows = {"whole": 0, "local": 0}

    def hear(self, audio: torch.Tensor) -> torch.Tensor:
        return torch.tanh(torch.nn.functional.conv1d(audio, self.filters, stride=HOP, padding=FIELD // 2))

    def encode_local(self, audio: torch.Tensor) -> torch.Tensor:
        self.rows["local"] += len(audio)
        return self.hear(audio)

    def pool_local(self, maps: torch.Tensor) -> torch.Tensor:
        return torch.cat([maps.amax(2), maps.square().mean(2)], 1) @ self.head

    def forward(self, audio: torch.Tensor) -> torch.Tensor:
        self.rows["whole"] += len(audio)
        return self.pool_local(self.hear(audio))


class LocalLate(Late):
    """`Late` with a sound tower that offers its maps."""

    receptive_field = (FIELD, HOP)

    def __init__(self) -> None:
        super().__init__()
        self.filters = torch.nn.Parameter(torch.randn(4, 1, FIELD, generator=torch.Generator().manual_seed(1)) / 20)

    def encode_local(self, audio: torch.Tensor) -> torch.Tensor:
        self.encoded["audio"] += len(audio)
        return torch.tanh(torch.nn.functional.conv1d(audio, self.filters, stride=HOP, padding=FIELD // 2))

    def pool_local(self, maps: torch.Tensor) -> torch.Tensor:
        return maps.amax(2)

    def encode_audio(self, audio: torch.Tensor) -> torch.Tensor:
        return self.pool_local(self.encode_local(audio))
