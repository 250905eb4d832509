"""BeatNet's network: how likely each moment is a beat, or the first beat of a bar (Heydari, Cwitkowitz & Duan 2021).

The weights come with `pip install --no-deps BeatNet==1.1.3` (Creative Commons Attribution 4.0). The package itself is never
imported: it asks for libraries that today's numpy can't load. Its features are made here, as its paper and madmom's
documentation describe them.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from musiclime_torch.basics.errors import InputError
from musiclime_torch.models.checkpoints import find_weights

#: Sample rate in Hz, window and hop in frames: 64 ms every 20 ms.
RATE, WINDOW, HOP = 22050, 1411, 441

#: Bands in an octave, and Hz of the lowest and the highest.
_BANDS, _LOWEST, _HIGHEST = 24, 30.0, 17000.0

_PACKAGE, _REQUIREMENT = "BeatNet", "BeatNet==1.1.3"


class BeatNet(nn.Module):
    """A convolution over bands, and two recurrent layers that have heard what came before."""

    bank: Float[Tensor, "bin band"]

    def __init__(self) -> None:
        """Random weights; `load_beatnet` brings the trained ones."""
        super().__init__()
        self.register_buffer("bank", make_bank(), persistent=False)
        features = 2 * self.bank.shape[1]
        self.conv1 = nn.Conv1d(1, 2, 10)
        self.linear0 = nn.Linear(2 * ((features - 9) // 2), 150)
        self.lstm = nn.LSTM(150, 150, 2, batch_first=True)
        self.linear = nn.Linear(150, 3)

    def forward(self, sound: Float[Tensor, " frame"]) -> Float[Tensor, "step 2"]:
        """Probabilities of a beat within a bar and of a bar's first beat, every 20 ms; step 0 is centred on frame 0."""
        features = self.measure(sound)
        shapes = nn.functional.max_pool1d(self.conv1(features[:, None]).relu(), 2).flatten(1)
        # One direction in time, from a state of zeros: it was trained to follow music as it is played.
        states, _ = self.lstm(self.linear0(shapes)[None])
        chances: Tensor = self.linear(states)[0].softmax(1)
        return chances[:, :2]

    def measure(self, sound: Float[Tensor, " frame"]) -> Float[Tensor, "step feature"]:
        """Log magnitudes in bands, and by how much each has risen since the step before."""
        steps = -(-len(sound) // HOP)
        padded = nn.functional.pad(sound, (WINDOW // 2, WINDOW))
        frames = padded.unfold(0, WINDOW, HOP)[:steps]
        shape = torch.hann_window(WINDOW, periodic=False, device=sound.device)
        # The last bin, Nyquist's, was not among the features that it was trained on.
        magnitudes = torch.fft.rfft(frames * shape).abs()[:, : WINDOW // 2]
        levels = (magnitudes @ self.bank + 1).log10()
        rises = nn.functional.pad(levels.diff(dim=0).clamp_min(0), (0, 0, 1, 0))
        return torch.cat([levels, rises], 1)


def make_bank() -> Float[Tensor, "bin band"]:
    """Triangles on a musical scale around 440 Hz, each of sum one. Low bands that would fall on the same bin are one."""
    places = torch.arange(-24 * 5, 24 * 7)
    pitches = 440.0 * 2.0 ** (places.double() / _BANDS)
    pitches = pitches[(pitches >= _LOWEST) & (pitches <= _HIGHEST)]
    bins = WINDOW // 2
    spacing = RATE / (2 * bins)
    corners = (pitches / spacing).round().long().clamp(0, bins - 1).unique()
    filters = []
    for left, middle, right in zip(corners[:-2].tolist(), corners[1:-1].tolist(), corners[2:].tolist(), strict=True):
        row = torch.zeros(bins, dtype=torch.double)
        # Rising from the left corner to the middle and falling to the right one, which the next triangle begins.
        row[left:middle] = torch.arange(middle - left) / (middle - left)
        row[middle:right] = 1 - torch.arange(right - middle) / (right - middle)
        filters.append(row / row.sum())
    return torch.stack(filters, 1).float()


def load_beatnet() -> BeatNet:
    """The trained network, in eval mode. InputError where the package that has its weights isn't installed."""
    path = find_weights(_PACKAGE, _REQUIREMENT) / "models" / "model_1_weights.pt"
    with torch.random.fork_rng(devices=[]):
        network = BeatNet()
    try:
        network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    except (OSError, RuntimeError) as error:
        raise InputError(f"{str(path)!r} can't be read as BeatNet's weights ({error}).") from error
    return network.eval()
