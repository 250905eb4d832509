"""VibeNet: what a song is like in seven numbers between 0 and 1, by an EfficientNet-B0 on log-mel bands, in PyTorch.

Its weights come with `pip install --no-deps vibenet==0.1.0` as an ONNX file, and are read from it; the package itself, under
the GPL, is never imported or run. A small network was taught by a large one with Echo Nest's values for the Free Music
Archive (Defferrard et al. 2017), whose excerpts last 30 seconds. The package runs a whole song at once. Here a song over 30
seconds is run in windows, whose values are averaged.

The network is torchvision's EfficientNet-B0 (Tan & Le 2019, table 1) under a hidden layer and a linear unit a value. Names
of weights are those of the file. Batch norms are folded into the convolutions before them when the file is read.
"""

from pathlib import Path

import torch
import torchaudio
from jaxtyping import Float
from torch import Tensor, nn

from musiclime_torch.basics.errors import InputError, first_line, needing
from musiclime_torch.models.care import in_float32
from musiclime_torch.models.checkpoints import find_weights

#: Of the front end: Hz, samples of a window and between two of them, of the transform, bands up to half the rate.
RATE, WINDOW, HOP, FFT, MELS = 16000, 640, 320, 1024, 128

#: Power that counts as silence, and how far below the loudest band of a window anything may lie, in dB.
SILENCE, REACH = 1e-10, 80.0

#: In the order of the network's outputs. Likelihoods go through a sigmoid; the others are cut to between 0 and 1.
CLASSES = ("acousticness", "danceability", "energy", "instrumentalness", "liveness", "speechiness", "valence")
LIKELIHOODS = ("acousticness", "instrumentalness", "liveness")

#: Stages of the network: expansion, reach of the filters, stride, outputs, blocks (Tan & Le 2019, table 1).
STAGES = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)
FIRST, LAST, HIDDEN = 32, 1280, 256

#: Where the weights are in the package.
FILE = Path("artifacts", "efficientnet_model.onnx")

#: Variants at a time on a CPU: intermediate results stay in its cache.
CPU_ROWS = 1


class Squeeze(nn.Module):
    """Scales channels by what their means say (squeeze and excitation)."""

    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Conv2d(channels, inner, 1), nn.Conv2d(inner, channels, 1)

    def forward(self, x: Float[Tensor, "batch channel mel time"]) -> Float[Tensor, "batch channel mel time"]:
        """The same channels, each times a number between 0 and 1."""
        means = x.mean((2, 3), keepdim=True)
        return x * self.fc2(nn.functional.silu(self.fc1(means))).sigmoid()


class Block(nn.Module):
    """An inverted bottleneck: channels expanded, filtered one by one, squeezed, projected; added to the input if it fits."""

    def __init__(self, inputs: int, expansion: int, reach: int, stride: int, outputs: int) -> None:
        super().__init__()
        inner = inputs * expansion
        self.adds = stride == 1 and inputs == outputs
        self.block = nn.Sequential(
            *([] if expansion == 1 else [_convolve(inputs, inner, 1)]),
            _convolve(inner, inner, reach, stride, groups=inner),
            Squeeze(inner, max(inputs // 4, 1)),
            _convolve(inner, outputs, 1, active=False),
        )

    def forward(self, x: Float[Tensor, "batch channel mel time"]) -> Float[Tensor, "batch output some less"]:
        """Features, at half the resolution where the stride is 2."""
        result: Tensor = self.block(x)
        return x + result if self.adds else result


class VibeNet(nn.Module):
    """Seven values between 0 and 1 of up to 30 seconds of 16 kHz mono audio, as the package gives them."""

    name = "vibenet"
    sample_rate, channels, max_seconds, output_kind, modalities = RATE, 1, 30.0, "regression", ("audio",)
    classes = CLASSES
    window: Float[Tensor, " window"]
    bank: Float[Tensor, "frequency mel"]
    likely: Float[Tensor, " class"]

    def __init__(self) -> None:
        """Random weights; `load_vibenet` brings the trained ones."""
        super().__init__()
        bank = torchaudio.functional.melscale_fbanks(FFT // 2 + 1, 0.0, RATE / 2, MELS, RATE, "slaney", "slaney")
        self.register_buffer("bank", bank, persistent=False)
        self.register_buffer("window", torch.hann_window(WINDOW), persistent=False)
        likely = torch.tensor([name in LIKELIHOODS for name in CLASSES])
        self.register_buffer("likely", likely, persistent=False)
        self.backbone = nn.ModuleDict({"features": _build_features()})
        self.trunk = nn.Sequential(nn.LayerNorm(LAST), nn.Linear(LAST, HIDDEN), nn.GELU())
        self.heads = nn.ModuleDict({name: nn.Linear(HIDDEN, 1) for name in CLASSES})

    def forward(self, audio: Float[Tensor, "batch channel frame"]) -> Float[Tensor, "batch class"]:
        """The seven values."""
        rows = CPU_ROWS if audio.device.type == "cpu" else max(len(audio), 1)
        outputs = torch.cat([self.judge(self.hear(piece)) for piece in audio.mean(1).split(rows)])
        return torch.where(self.likely, outputs.sigmoid(), outputs.clamp(0, 1))

    def hear(self, wave: Float[Tensor, "batch frame"]) -> Float[Tensor, "batch mel time"]:
        """Mel bands in dB, at most 80 below the loudest; silence is added to less than a window."""
        wave = nn.functional.pad(wave.float(), (0, max(WINDOW - wave.shape[1], 0)))
        spectrum = torch.fft.rfft(wave.unfold(1, WINDOW, HOP) * self.window.float(), FFT)
        power = spectrum.real.square() + spectrum.imag.square()
        with in_float32(wave.device):
            level = 10 * (power @ self.bank.float()).clamp_min(SILENCE).log10()
        return torch.maximum(level, level.amax((1, 2), keepdim=True) - REACH).mT

    def judge(self, features: Float[Tensor, "batch mel time"]) -> Float[Tensor, "batch class"]:
        """The network's outputs before they are brought between 0 and 1."""
        maps: Tensor = self.backbone["features"](features[:, None].to(next(self.parameters()).dtype))
        hidden = self.trunk(maps.mean((2, 3)))
        return torch.cat([self.heads[name](hidden) for name in CLASSES], 1)


def load_vibenet() -> VibeNet:
    """The trained network, in eval mode. InputError where its package, or onnx, which reads the weights, isn't installed."""
    path = find_weights("vibenet", "vibenet==0.1.0") / FILE
    tensors = read_tensors(path)
    # The random weights are overwritten below; the caller's random state must not move for them.
    with torch.random.fork_rng(devices=[]):
        model = VibeNet()
    try:
        model.load_state_dict({name: _fold(name, tensors) for name in model.state_dict()})
    except (KeyError, RuntimeError) as error:
        raise InputError(
            f"{str(path)!r} doesn't hold VibeNet's weights ({first_line(error)}): run "
            'pip install --force-reinstall --no-deps "vibenet==0.1.0".'
        ) from error
    return model.eval()


def read_tensors(path: Path) -> dict[str, Tensor]:
    """What an ONNX file holds, by name; nothing of its graph is run."""
    with needing("musiclime_torch[onnx]"):
        import onnx
    try:
        graph = onnx.load(path).graph
    # protobuf's own error has no class that could be imported without it.
    except Exception as error:
        raise InputError(f"{str(path)!r} can't be read as ONNX ({first_line(error)}).") from error
    return {tensor.name: torch.from_numpy(onnx.numpy_helper.to_array(tensor).copy()) for tensor in graph.initializer}


# In eval mode a batch norm is y = g (x - m) / √(v + ε) + b for each channel, and x = w ∗ z comes from a convolution that has
# no bias: together they are the convolution with w g / √(v + ε) and the bias b - m g / √(v + ε).
def _fold(name: str, tensors: dict[str, Tensor]) -> Tensor:
    """A weight as the network here has it. In the file a convolution "N.0" has its batch norm in "N.1"."""
    owner, _, kind = name.rpartition(".")
    norm = f"{owner.removesuffix('.0')}.1"
    if not owner.startswith("backbone") or f"{norm}.running_var" not in tensors or not owner.endswith(".0"):
        return tensors[name]
    scale = tensors[f"{norm}.weight"] / (tensors[f"{norm}.running_var"] + 1e-5).sqrt()
    if kind == "bias":
        return tensors[f"{norm}.bias"] - tensors[f"{norm}.running_mean"] * scale
    weight = tensors[name] * scale[:, None, None, None]
    # The file's first convolution gets the same bands three times, as the red, green and blue of a picture.
    return weight.sum(1, keepdim=True) if owner == "backbone.features.0.0" else weight


def _build_features() -> nn.Sequential:
    layers: list[nn.Module] = [_convolve(1, FIRST, 3, 2)]
    inputs = FIRST
    for expansion, reach, stride, outputs, blocks in STAGES:
        stage = [Block(inputs, expansion, reach, stride, outputs)]
        stage += [Block(outputs, expansion, reach, 1, outputs) for _ in range(blocks - 1)]
        layers.append(nn.Sequential(*stage))
        inputs = outputs
    return nn.Sequential(*layers, _convolve(inputs, LAST, 1))


def _convolve(inputs: int, outputs: int, reach: int, stride: int = 1, groups: int = 1, active: bool = True) -> nn.Sequential:
    layer = nn.Conv2d(inputs, outputs, reach, stride, padding=reach // 2, groups=groups)
    return nn.Sequential(layer, nn.SiLU(inplace=True)) if active else nn.Sequential(layer)
