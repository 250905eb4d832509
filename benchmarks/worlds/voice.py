"""A singing voice detector, trained here on generated songs, and adversarial songs that it is wrong about.

The setting of the veracity study (Praher, Prinz, Flexer & Widmer 2021), as far as it can be rebuilt offline: the detector of
Schlüter & Lehner (2018) with a quarter of its filters, which hears 115 frames of 80 mel bands and can be run over whole
songs; generated songs in place of Jamendo's, with their singer muted in every other passage.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torchaudio
from jaxtyping import Float, Float32
from torch import Tensor, nn
from torch.nn import functional

from musiclime_torch.demo import SAMPLE_RATE, STEMS, plan_song, render_stems
from musiclime_torch.models import evaluating

#: Samples between frames (70 a second, nearly), frames of a decision (1.6 s), and bands.
HOP, FRAMES, BANDS = 224, 115, 80
FFT, QUIETEST = 1024, 1e-7

#: First seeds of songs trained on, and of songs judged and attacked.
TRAINED, HELD_OUT = 50_000_000, 51_000_000

#: Root mean square below which a vocals stem counts as silent.
SILENT = 0.005

#: Least and greatest level of the singer in what is trained on and judged, logarithms drawn evenly: down to where the
#: detector is wrong about 16% of excerpts (the study's: 11.5%). Where all is clear (0.3 to 1.5), decisions are too firm for
#: the noise of three components.
SINGER = (0.08, 1.5)

#: Seconds of a passage with or without voice in the songs that are attacked: as in real songs, the same noise is to turn
#: decisions of both kinds.
PASSAGE = 2.5


class Detector(nn.Module):
    """The logit of "somebody sings" from 115 frames.

    With `places`, from more frames, one for every place that 115 fit in: weights are the same, but where time would be
    thinned out threefold, and then again, neighbours lie three frames apart, and then nine.
    """

    def __init__(self, places: bool = False) -> None:
        super().__init__()
        thin, once, twice = (1, 3, 9) if places else (3, 1, 1)
        self.mel = torchaudio.transforms.MelScale(BANDS, SAMPLE_RATE, 27.5, SAMPLE_RATE / 2, FFT // 2 + 1, norm="slaney")
        self.level = nn.BatchNorm1d(BANDS, affine=False)
        self.first = nn.Conv2d(1, 16, 3, bias=False)
        self.low = nn.Sequential(
            nn.BatchNorm2d(16), nn.LeakyReLU(), nn.Dropout(0.1), *_convolve(16, 8, 3, 1), nn.MaxPool2d(3, (thin, 3))
        )
        self.high = nn.Sequential(
            nn.Dropout(0.1),
            *_convolve(8, 32, 3, once),
            *_convolve(32, 16, 3, once),
            nn.MaxPool2d(3, (thin, 3), dilation=(once, 1)),
        )
        self.last = nn.Sequential(
            nn.Dropout(), *_convolve(16, 64, (11, 7), twice), nn.Dropout(), *_convolve(64, 16, 1, 1), nn.Conv2d(16, 1, 1)
        )

    def forward(self, spectrogram: Float[Tensor, "n bin frame"]) -> Float[Tensor, "n place"]:
        return self.judge(self.scale(spectrogram))

    def scale(self, spectrogram: Float[Tensor, "n bin frame"]) -> Float[Tensor, "n band frame"]:
        """Logarithms of mel bands: what is explained."""
        return self.mel(spectrogram).clamp_min(QUIETEST).log()

    def judge(self, bands: Float[Tensor, "n band frame"]) -> Float[Tensor, "n place"]:
        """Logits from bands. Filters of the first layer sum to zero, so that loudness says nothing."""
        weight = self.first.weight - self.first.weight.mean((2, 3), keepdim=True)
        local = functional.conv2d(self.level(bands).transpose(1, 2)[:, None], weight)
        return self.last(self.high(self.low(local)))[:, 0, :, 0]


def _convolve(inputs: int, outputs: int, reach: int | tuple[int, int], apart: int) -> tuple[nn.Module, ...]:
    convolution = nn.Conv2d(inputs, outputs, reach, dilation=(apart, 1), bias=False)
    return convolution, nn.BatchNorm2d(outputs), nn.LeakyReLU()


def measure_spectrogram(audio: Float32[Tensor, "n frame"]) -> Float32[Tensor, "n bin frame"]:
    """Magnitudes."""
    return torchaudio.functional.spectrogram(
        audio, 0, torch.hann_window(FFT, device=audio.device), FFT, HOP, FFT, 1.0, False
    )


def play(seed: int) -> Float32[Tensor, "stem frame"]:
    """The stems of a generated song."""
    return torch.from_numpy(render_stems(plan_song(seed)))


def play_passages(seed: int) -> Float32[Tensor, " frame"]:
    """A generated song, sung in every other passage."""
    stems = play(seed)
    sung = (0.5 + 20 * torch.sin(torch.pi * torch.arange(stems.shape[1]) / (PASSAGE * SAMPLE_RATE))).clamp(0, 1)
    stems[STEMS.index("vocals")] *= sung
    return stems.sum(0)


def train_detector(songs: int, steps: int, device: str, seed: int = 0) -> Detector:
    """Excerpts of `songs` songs at random levels for every stem, half of them without the singer."""
    pool = [play(TRAINED + number) for number in range(songs)]
    rng = np.random.default_rng(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        detector = Detector().to(device).train()
        optimiser = torch.optim.Adam(detector.parameters(), 2e-3)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, total_steps=steps)
        for _ in range(steps):
            audio, sung = _draw_excerpts(pool, 32, rng)
            logits = detector(measure_spectrogram(audio.to(device)))[:, 0]
            loss = functional.binary_cross_entropy_with_logits(logits, sung.to(device))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    return detector.eval().requires_grad_(False)


def _draw_excerpts(pool: Sequence[Tensor], count: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    length, vocals = HOP * (FRAMES - 1), STEMS.index("vocals")
    audio, sung = torch.zeros(count, length), torch.zeros(count)
    for row in range(count):
        song = pool[rng.integers(len(pool))]
        first = int(rng.integers(song.shape[1] - length))
        stems, levels = song[:, first : first + length], rng.uniform(0.3, 1.5, (len(STEMS), 1))
        levels[vocals] = np.exp(rng.uniform(*np.log(SINGER))) * (rng.random() < 0.5)
        sung[row] = bool(levels[vocals] > 0) and stems[vocals].square().mean().sqrt() > SILENT
        audio[row] = (stems * torch.from_numpy(levels).float()).sum(0)
    return audio, sung


def score_detector(detector: Detector, songs: int, device: str) -> float:
    """The detector's accuracy on excerpts of held-out songs."""
    audio, sung = _draw_excerpts(
        [play(HELD_OUT + 1000 + number) for number in range(songs)], 20 * songs, np.random.default_rng(1)
    )
    decided = torch.cat([detector(measure_spectrogram(part.to(device)))[:, 0].cpu() for part in audio.split(32)]) > 0
    return float((decided == sung.bool()).float().mean())


@dataclass(frozen=True)
class Attack:
    """Where noise is added, the waveform or the magnitudes; the rest as in the study: Adam on the signs of gradients, noise
    within a bound and penalised by its energy. It ends when every decision of the song has changed, or after `steps`, a
    fifth of theirs.
    """

    where: str
    rate: float = 3e-4
    bound: float = 0.01
    weight: float = 2.0
    steps: int = 200


@dataclass(frozen=True)
class Adversary:
    """Bands (band, frame) of an excerpt that is decided rightly, and of the noisy one that is decided wrongly; `sung` is the
    decision that the noise causes. `audio` is the noisy excerpt's sound, with half a window around its frames, where noise
    was added to the sound and the excerpt has that much around it.
    """

    clean: Float[Tensor, "band frame"]
    noisy: Float[Tensor, "band frame"]
    sung: bool
    audio: Float[Tensor, " sample"] | None = None


#: Samples of such an excerpt.
EXCERPT = (FRAMES - 1) * HOP + FFT


def hear_excerpt(detector: Detector, audio: Float[Tensor, "n sample"]) -> Float[Tensor, "n place"]:
    """Logits of excerpts with half a window around their frames."""
    shape = torch.hann_window(FFT, device=audio.device)
    return detector(torch.stft(audio, FFT, HOP, window=shape, center=False, return_complex=True).abs())


def _cut_excerpt(audio: Float[Tensor, " sample"] | None, place: int) -> Float[Tensor, " sample"] | None:
    first = place * HOP - FFT // 2
    return None if audio is None or first < 0 or first + EXCERPT > len(audio) else audio[first : first + EXCERPT].clone()


def hear_places(detector: Detector) -> Detector:
    """The same detector, over whole songs."""
    everywhere = Detector(places=True).to(detector.level.running_mean.device)
    everywhere.load_state_dict(detector.state_dict())
    return everywhere.eval().requires_grad_(False)


def attack_song(
    detector: Detector, audio: Float32[Tensor, " frame"], attack: Attack
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Spectrograms (bin, frame) of a song before and after, and its sound after, where noise was added to it."""
    clean = audio[None] if attack.where == "waveform" else measure_spectrogram(audio[None])
    listen = measure_spectrogram if attack.where == "waveform" else torch.clone
    with evaluating(detector):
        wanted = detector(listen(clean)) <= 0
        noise = torch.zeros_like(clean, requires_grad=True)
        optimiser = torch.optim.Adam([noise], attack.rate)
        for _ in range(attack.steps):
            with torch.enable_grad():
                logits = detector(listen(clean + noise))
                if bool(((logits > 0) == wanted).all()):
                    break
                loss = noise.square().sum() + attack.weight * functional.binary_cross_entropy_with_logits(
                    logits, wanted.float()
                )
                optimiser.zero_grad()
                loss.backward()
            noise.grad.sign_()
            optimiser.step()
            with torch.no_grad():
                noise.clamp_(-attack.bound, attack.bound)
        noisy = clean + noise.detach()
        return listen(clean)[0], listen(noisy)[0], noisy[0] if attack.where == "waveform" else None


def find_adversaries(detector: Detector, attack: Attack, each: int, device: str) -> list[Adversary]:
    """From every attacked song, one excerpt whose decision became "sung", and one the other way round.

    Until there are `each` of both; at most three times as many songs are tried.
    """
    adversaries: list[Adversary] = []
    for number in range(3 * each):
        before, after, audio = attack_song(detector, play_passages(HELD_OUT + number).to(device), attack)
        was, now = (detector(excerpt[None])[0] > 0 for excerpt in (before, after))
        rng = np.random.default_rng(number)
        for sung in (True, False):
            places = torch.nonzero((was != sung) & (now == sung))[:, 0].cpu().numpy()
            if len(places) and sum(adversary.sung == sung for adversary in adversaries) < each:
                place = rng.choice(places)
                excerpts = (detector.scale(excerpt[None, :, place : place + FRAMES])[0] for excerpt in (before, after))
                adversaries.append(Adversary(*excerpts, sung, _cut_excerpt(audio, int(place))))
        if len(adversaries) == 2 * each:
            break
    return adversaries
