"""MusiCNN (Pons & Serra 2019): a trained tagger of three seconds of sound, its published weights in PyTorch.

The weights come with `pip install --no-deps musicnn==0.1.0` as TensorFlow checkpoints, and are read without TensorFlow:
50 tags of MagnaTagATune, or 50 of the Million Song Dataset. Longer songs are run in windows, whose logits are averaged;
the original averages what the sigmoid makes of them.

In eval mode on a CPU the front end makes the same features in under half the time. A filter's response is rectified,
normalised, and only its maximum over bands is kept. Nine tenths of the network's time go into responses that lose. Here they
never leave the cache: maxima are taken as they come, what is monotonic is done after them, and tall filters are products in
the frequency domain of the band axis.
"""

from typing import Literal

import torch
import torchaudio
from jaxtyping import Complex, Float
from torch import Tensor, nn

from musiclime_torch.models.care import in_float32
from musiclime_torch.models.checkpoints import find_weights, read_bundle

#: Frames of responses at a time: 98 × 32 × 204 numbers stay in a core's cache.
FRAMES_AT_ONCE = 32


# The layers compute max_f (g · relu(w ∗ x + c) + h), g and h being batch norm's scale and shift. Where g is positive, relu
# and scale keep the order of the responses w ∗ x: the maximum is g · relu(max + c) + h. Where it is negative, the smallest
# response wins, and min(w ∗ x) = −max(−w ∗ x). So filters are multiplied by the sign s of g, and one maximum m of these
# responses serves both:  g · relu(s (m + s c)) + h.
def pool_bands(
    shown: Float[Tensor, "batch 1 time mel"], convolution: nn.Conv2d, norm: nn.BatchNorm2d
) -> Float[Tensor, "batch filter time"]:
    """What the layers pad, convolve, rectify, normalise and take the largest over bands give, for one size of filters."""
    assert norm.running_var is not None
    assert norm.running_mean is not None
    assert convolution.bias is not None
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    shift = norm.bias - norm.running_mean * scale
    sign = torch.where(scale < 0, -1.0, 1.0)
    filters = convolution.weight[:, 0] * sign[:, None, None]
    reach, bands = filters.shape[1:]
    padded = nn.functional.pad(shown[:, 0], (0, 0, (reach - 1) // 2, reach // 2))
    largest = _respond_over_time(padded, filters[:, :, 0]) if bands == 1 else _respond_over_bands(padded, filters)
    rectified = ((largest + (sign * convolution.bias)[:, None]) * sign[:, None]).relu()
    return rectified * scale[:, None] + shift[:, None]


def _respond_over_time(
    padded: Float[Tensor, "batch frame mel"], filters: Float[Tensor, "filter reach"]
) -> Float[Tensor, "batch filter time"]:
    """The largest responses of filters one band high: every band is a signal of its own."""
    rows = []
    for row in padded:
        signals = row.T[:, None].contiguous()
        rows.append(nn.functional.conv1d(signals, filters[:, None]).amax(0))
    return torch.stack(rows)


# A correlation along the bands is a product of Fourier coefficients: with X_k(t) the coefficients of frame t over its 96
# bands and W_k(l) those of a filter's row of lag l, the response at frame t and band f is
#     (1 / 96) Σ_k e^{2πi k f / 96} Σ_l X_k(t + l) conj(W_k(l)).
# Bands wrap around, but a filter of b bands is wanted at f ≤ 96 − b alone, where it never reaches the edge. The inner sum is
# one small product of matrices for each k; the outer is one with a matrix of cosines and sines, for the signal is real and k
# and −k are conjugates. Both together take a fifth of the operations of the convolution.
def _respond_over_bands(
    padded: Float[Tensor, "batch frame mel"], filters: Float[Tensor, "filter reach band"]
) -> Float[Tensor, "batch filter time"]:
    """The largest responses of filters several bands high."""
    count, reach, bands = filters.shape
    mels = padded.shape[2]
    spectrum = torch.fft.rfft(filters, n=mels).conj()
    # Real arithmetic: the real part of X W is (Re X, Im X) · (Re W, −Im W), the imaginary one (Re X, Im X) · (Im W, Re W).
    real = torch.cat([spectrum.real, -spectrum.imag], 1)
    imaginary = torch.cat([spectrum.imag, spectrum.real], 1)
    products = torch.stack([real, imaginary], -1).permute(2, 3, 1, 0).reshape(-1, 2 * reach, count).contiguous()
    inverse = _invert(mels, mels - bands + 1).to(padded)
    rows = []
    for row in padded:
        lagged = torch.fft.rfft(row).unfold(0, reach, 1).permute(1, 0, 2)
        parts = torch.cat([lagged.real, lagged.imag], 2).repeat_interleave(2, 0)
        largest = [
            (inverse @ torch.bmm(piece, products).flatten(1)).amax(0).view(-1, count)
            for piece in parts.split(FRAMES_AT_ONCE, 1)
        ]
        rows.append(torch.cat(largest).T)
    return torch.stack(rows)


def _invert(n: int, kept: int) -> Float[Tensor, "kept part"]:
    """The first values of a real signal of even length n from its coefficients, real and imaginary parts in turn."""
    place, frequency = torch.arange(kept, dtype=torch.float64), torch.arange(n // 2 + 1, dtype=torch.float64)
    angle = 2 * torch.pi * frequency * place[:, None] / n
    # Every frequency but the first and the last stands for its conjugate too.
    twice = torch.full((n // 2 + 1,), 2.0, dtype=torch.float64)
    twice[0] = twice[-1] = 1.0
    return torch.stack([twice * angle.cos(), -twice * angle.sin()], -1).flatten(1) / n


RATE, FFT, HOP, MELS = 16000, 512, 256, 96
#: Spectrogram frames of three seconds, as it was trained.
FRAMES = 187
#: TensorFlow's.
BATCH_NORM_EPSILON = 1e-3

#: The reach of the filters in frames and bands, and how many there are: timbre first, then rhythm.
_TIMBRAL, _TEMPORAL = ((7, 38, 204), (7, 67, 204)), ((128, 1, 51), (64, 1, 51), (32, 1, 51))
_FRONT = sum(count for *_, count in (*_TIMBRAL, *_TEMPORAL))
_MIDDLE, _DENSE = 64, 200

#: Variants at a time on a CPU: what is made of the weights once a call is shared by so many.
CPU_ROWS = 16

Dataset = Literal["MTT", "MSD"]

TAGS: dict[Dataset, tuple[str, ...]] = {
    "MTT": (
        "guitar", "classical", "slow", "techno", "strings", "drums", "electronic", "rock", "fast", "piano", "ambient",
        "beat", "violin", "vocal", "synth", "female", "indian", "opera", "male", "singing", "vocals", "no vocals",
        "harpsichord", "loud", "quiet", "flute", "woman", "male vocal", "no vocal", "pop", "soft", "sitar", "solo", "man",
        "classic", "choir", "voice", "new age", "dance", "male voice", "female vocal", "beats", "harp", "cello", "no voice",
        "weird", "country", "metal", "female voice", "choral",
    ),
    "MSD": (
        "rock", "pop", "alternative", "indie", "electronic", "female vocalists", "dance", "00s", "alternative rock", "jazz",
        "beautiful", "metal", "chillout", "male vocalists", "classic rock", "soul", "indie rock", "Mellow", "electronica",
        "80s", "folk", "90s", "chill", "instrumental", "punk", "oldies", "blues", "hard rock", "ambient", "acoustic",
        "experimental", "female vocalist", "guitar", "Hip-Hop", "70s", "party", "country", "easy listening", "sexy",
        "catchy", "funk", "electro", "heavy metal", "Progressive rock", "60s", "rnb", "indie pop", "sad", "House", "happy",
    ),
}  # fmt: skip


class Musicnn(nn.Module):
    """Logits of 50 independent tags from three seconds of 16 kHz mono audio."""

    name = "musicnn"
    sample_rate, channels, max_seconds, output_kind, modalities = RATE, 1, 3.0, "multilabel", ("audio",)
    #: It was trained on excerpts of three seconds: sound that comes and goes within one is a rhythm to it.
    shortest_seconds = 3.0
    spectrogram = (FFT, HOP)
    #: Of `encode_local`: three spectra to either side, each half a window wide.
    receptive_field = (2 * 3 * HOP + FFT, HOP)
    window: Float[Tensor, " window"]
    bank: Float[Tensor, "frequency mel"]

    def __init__(self, classes: tuple[str, ...]) -> None:
        """Random weights; `load_musicnn` brings the trained ones."""
        super().__init__()
        self.classes = classes
        bank = torchaudio.functional.melscale_fbanks(FFT // 2 + 1, 0.0, RATE / 2, MELS, RATE, "slaney", "slaney")
        self.register_buffer("bank", bank, persistent=False)
        self.register_buffer("window", torch.hann_window(FFT), persistent=False)
        self.normalise = _normalise(2, 1)
        self.front = nn.ModuleList(
            nn.Sequential(
                nn.ZeroPad2d((0, 0, (reach - 1) // 2, reach // 2)),  # TensorFlow's "same": the odd frame at the end
                nn.Conv2d(1, count, (reach, bands)),
                nn.ReLU(),
                _normalise(2, count),
            )
            for reach, bands, count in (*_TIMBRAL, *_TEMPORAL)
        )
        self.middle = nn.ModuleList(
            nn.Sequential(nn.Conv1d(inputs, _MIDDLE, 7, padding=3), nn.ReLU(), _normalise(1, _MIDDLE))
            for inputs in (_FRONT, _MIDDLE, _MIDDLE)
        )
        pooled = 2 * (_FRONT + 3 * _MIDDLE)
        self.back = nn.Sequential(
            _normalise(1, pooled),
            nn.Dropout(0.5),
            nn.Linear(pooled, _DENSE),
            nn.ReLU(),
            _normalise(1, _DENSE),
            nn.Dropout(0.5),
            nn.Linear(_DENSE, len(classes)),
        )

    def forward(self, audio: Float[Tensor, "batch channel frame"]) -> Float[Tensor, "batch class"]:
        """Logits."""
        rows = CPU_ROWS if audio.device.type == "cpu" else max(len(audio), 1)
        return torch.cat([self.tag(self.hear(piece)) for piece in audio.mean(1).split(rows)])

    def embed_sound(self, audio: Float[Tensor, "batch channel frame"]) -> Float[Tensor, "batch feature"]:
        """The last layer before the tags."""
        # Dropout and the tags' own layer come after it.
        until = len(self.back) - 2
        return self.back[:until](self.pool(self.hear(audio.mean(1))))

    def to_spectra(self, audio: Float[Tensor, "batch channel frame"]) -> Complex[Tensor, "batch 1 bin place"]:
        """Spectra of the first three seconds, silence added where there is less."""
        length = (FRAMES - 1) * HOP
        wave = audio.mean(1)
        wave = nn.functional.pad(wave[:, : length + FFT // 2], (0, max(length - wave.shape[1], 0)))
        spectrum = torch.stft(wave.float(), FFT, HOP, window=self.window, pad_mode="reflect", return_complex=True)
        return spectrum[:, None]

    def hear_spectra(self, spectra: Complex[Tensor, "batch 1 bin place"]) -> Float[Tensor, "batch class"]:
        """Logits of spectra."""
        rows = CPU_ROWS if spectra.device.type == "cpu" else max(len(spectra), 1)
        return torch.cat([self.tag(self.compress(piece[:, 0])) for piece in spectra.split(rows)])

    def hear(self, wave: Float[Tensor, "batch frame"]) -> Float[Tensor, "batch time mel"]:
        """Log-mel features of the first three seconds."""
        return self.compress(self.to_spectra(wave[:, None])[:, 0])

    def compress(self, spectrum: Complex[Tensor, "batch bin place"]) -> Float[Tensor, "batch time mel"]:
        """Log-mel features of spectra."""
        power = spectrum.real.square() + spectrum.imag.square()
        with in_float32(power.device):
            # The training code's compression, log10(1 + 10⁴ x): linear near silence, logarithmic where there is sound.
            return torch.log10(10_000 * (power.mT @ self.bank) + 1)[:, :FRAMES]

    def tag(self, features: Float[Tensor, "batch time mel"]) -> Float[Tensor, "batch class"]:
        """Logits of features."""
        logits: Tensor = self.back(self.pool(features))
        return logits

    def pool(self, features: Float[Tensor, "batch time mel"]) -> Float[Tensor, "batch pooled"]:
        """Maxima and means over time of all layers."""
        shown = self.normalise(features[:, None])
        return self._gather(torch.cat([self._respond(part, shown) for part in self.front], 1))

    def encode_local(self, audio: Float[Tensor, "batch channel frame"]) -> Float[Tensor, "batch map time"]:
        """Features, and what the front end's filters of timbre, seven frames long, make of them (see `receptive_field`)."""
        rows = CPU_ROWS if audio.device.type == "cpu" else max(len(audio), 1)
        return torch.cat([self._listen(self.hear(piece)) for piece in audio.mean(1).split(rows)])

    def pool_local(self, maps: Float[Tensor, "batch map time"]) -> Float[Tensor, "batch class"]:
        """Logits. Filters of rhythm are up to 128 frames long, two of three seconds: these and all later layers run here."""
        rows = CPU_ROWS if maps.device.type == "cpu" else max(len(maps), 1)
        return torch.cat([self.back(self._go_on(piece)) for piece in maps.split(rows)])

    def _listen(self, features: Float[Tensor, "batch time mel"]) -> Float[Tensor, "batch map time"]:
        shown = self.normalise(features[:, None])
        timbre = [self._respond(part, shown) for part in self.front[: len(_TIMBRAL)]]
        return torch.cat([features.mT, *timbre], 1)

    def _go_on(self, maps: Float[Tensor, "batch map time"]) -> Float[Tensor, "batch pooled"]:
        shown = self.normalise(maps[:, :MELS].mT[:, None])
        rhythm = [self._respond(part, shown) for part in self.front[len(_TIMBRAL) :]]
        return self._gather(torch.cat([maps[:, MELS:], *rhythm], 1))

    def _gather(self, front: Float[Tensor, "batch filter time"]) -> Float[Tensor, "batch pooled"]:
        first = self.middle[0](front)
        second = self.middle[1](first) + first
        third = self.middle[2](second) + second
        # Densely connected: the pooling gets the front end's features beside those of each layer above (Pons & Serra 2019).
        over_time = torch.cat([front, first, second, third], 1)
        # Each feature's maximum comes right before its mean.
        return torch.stack([over_time.amax(2), over_time.mean(2)], 2).flatten(1)

    def _respond(self, part: nn.Module, shown: Float[Tensor, "batch 1 time mel"]) -> Float[Tensor, "batch filter time"]:
        """The largest response of each filter over all bands."""
        # Batch norms of single batches can't be folded, and on a GPU the convolutions are what is fastest.
        if self.training or shown.device.type != "cpu" or shown.dtype != torch.float32:
            largest: Tensor = part(shown).amax(3)
            return largest
        _, convolution, _, norm = part.children()
        assert isinstance(convolution, nn.Conv2d)
        assert isinstance(norm, nn.BatchNorm2d)
        return pool_bands(shown, convolution, norm)


def load_musicnn(dataset: Dataset) -> Musicnn:
    """The trained network, in eval mode. InputError where the package that has its weights isn't installed."""
    folder = find_weights("musicnn", "musicnn==0.1.0") / f"{dataset}_musicnn"
    tensors = {name: torch.from_numpy(array.copy()) for name, array in read_bundle(f"{folder}/").items()}
    # The random weights are overwritten below; the caller's random state must not move for them.
    with torch.random.fork_rng(devices=[]):
        model = Musicnn(TAGS[dataset])
    model.name = name_trained("musicnn", dataset)
    norms = [part for part in model.modules() if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d)]
    convolutions = [part for part in model.modules() if isinstance(part, nn.Conv1d | nn.Conv2d)]
    layers = [part for part in model.modules() if isinstance(part, nn.Linear)]
    with torch.no_grad():
        # TensorFlow numbers its layers in the order they were made, which is that of `modules()` here.
        for number, norm in enumerate(norms):
            name = "batch_normalization" + (f"_{number}" if number else "")
            norm.weight.copy_(tensors[f"{name}/gamma"])
            norm.bias.copy_(tensors[f"{name}/beta"])
            assert norm.running_mean is not None
            assert norm.running_var is not None
            norm.running_mean.copy_(tensors[f"{name}/moving_mean"])
            norm.running_var.copy_(tensors[f"{name}/moving_variance"])
        for number, convolution in enumerate(convolutions):
            name = "conv2d" + (f"_{number}" if number else "")
            # (time, band, 1, filter); to the middle's convolutions bands are channels.
            kernel = tensors[f"{name}/kernel"].permute(3, 2, 0, 1)
            convolution.weight.copy_(kernel if kernel.dim() == convolution.weight.dim() else kernel[:, 0].mT)
            assert convolution.bias is not None
            convolution.bias.copy_(tensors[f"{name}/bias"])
        for name, layer in zip(("dense", "dense_1"), layers, strict=True):
            layer.weight.copy_(tensors[f"{name}/kernel"].T)
            layer.bias.copy_(tensors[f"{name}/bias"])
    return model.eval()


def name_trained(model: str, dataset: Dataset) -> str:
    """What the command line calls a model that was trained on this data.

    >>> name_trained("musicnn", "MTT"), name_trained("musicnn", "MSD")
    ('musicnn', 'musicnn-msd')
    """
    return model if dataset == "MTT" else f"{model}-{dataset.lower()}"


def _normalise(dimensions: int, features: int) -> nn.BatchNorm1d | nn.BatchNorm2d:
    kind = nn.BatchNorm1d if dimensions == 1 else nn.BatchNorm2d
    return kind(features, eps=BATCH_NORM_EPSILON)
