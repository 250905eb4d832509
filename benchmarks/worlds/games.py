"""Models that the statistical benchmarks are measured on, each as two encoders and a fusion over masks.

`embedded` is the demo's model on its song, `analytic` a polynomial of third order whose main effects are known,
`transformer` a small AST + RoBERTa with random weights under a LayerNorm + Linear head. All go through the package's own
rendering, encoding and fusing but the polynomial, whose encoders are products of masks.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from benchmarks.tools.tuning import Tuning, tune
from musiclime_torch import Track, list_components
from musiclime_torch.demo import load_demo_model, load_demo_track
from musiclime_torch.models import TokenBatch, Tokens, describe_model, fuse_layer_norm_pairs
from musiclime_torch.song import parse_lyrics
from musiclime_torch.variants import Probe, Scale, Units, encode_audio, encode_lyrics, fuse, prepare_sources, to_values

CPU = torch.device("cpu")
AS_IS = Tuning(CPU)

#: Pairs fused at a time.
PAIRS = 2**18


@dataclass(frozen=True)
class Game:
    """`hear` and `read` encode masks of d_audio and d_lyrics columns; `fuse` gives outputs of all pairs of encodings.

    `probe` is the model behind them and `track` its song, None where there is none.
    """

    name: str
    d_audio: int
    d_lyrics: int
    classes: int
    kind: str
    hear: Callable[[Tensor], tuple[Tensor, ...]]
    read: Callable[[Tensor], Tensor]
    fuse: Callable[[tuple[Tensor, ...], Tensor], Tensor]
    probe: Probe | None = None
    track: Track | None = None

    def scale(self, space: str) -> Scale:
        """All classes in a space."""
        return Scale(self.kind, space, torch.zeros(self.classes), tuple(map(str, range(self.classes))), 0, None)

    def cross(self, audio: Tensor, lyrics: Tensor, space: str) -> Tensor:
        """Values (class, N_a, N_t) of every pair of masks."""
        return self.spread(self.hear(audio), self.read(lyrics), space)

    def spread(self, heard: tuple[Tensor, ...], texts: Tensor, space: str) -> Tensor:
        """Values of every pair of encodings, a tile at a time; on the CPU, wherever the model is."""
        step = max(PAIRS // len(texts), 1)
        tiles = [
            to_values(self.scale(space), self.fuse(tuple(sounds[start : start + step] for sounds in heard), texts))
            for start in range(0, len(heard[0]), step)
        ]
        return torch.cat(tiles).movedim(2, 0).cpu()

    def join(self, masks: Tensor, space: str) -> Tensor:
        """Values (n, class) of joint masks, on the CPU too: encoded row by row, fused row with row."""
        heard, texts = self.hear(masks[:, : self.d_audio]), self.read(masks[:, self.d_audio :])
        # Fusing is by pairs: of small squares the diagonal.
        squares = [
            self.fuse(tuple(sounds[start : start + 16] for sounds in heard), texts[start : start + 16])
            for start in range(0, len(masks), 16)
        ]
        return to_values(self.scale(space), torch.cat([square.diagonal().T for square in squares])).cpu()


def make_games(device: torch.device = CPU) -> list[Game]:
    """All three."""
    tuning = Tuning(device)
    return [make_embedded(tuning), make_analytic(draw_polynomial(0, 40, 100, 600)), make_transformer(0, tuning)]


def make_interacting() -> Game:
    """The analytic game, but that three quarters of its variance are what both sides do together."""
    return make_analytic(turn_interactions_up(draw_polynomial(0, 40, 100, 600), 0.75), "interacting")


def make_embedded(tuning: Tuning = AS_IS) -> Game:
    """The demo's model and song: 40 cells and the song's words."""
    return make_probed("embedded", load_demo_model(), load_demo_track(), tuning)


@dataclass(frozen=True)
class Polynomial:
    """Products of one to three columns' signs, columns of the sound first, and their weights (term, class)."""

    d_audio: int
    d_lyrics: int
    terms: tuple[tuple[int, ...], ...]
    weights: Tensor


def draw_polynomial(seed: int, d_audio: int, d_lyrics: int, products: int) -> Polynomial:
    """Main effects and as many products of two as of three columns, each column of either side with equal chances.

    Products carry a third of the variance.
    """
    generator = torch.Generator().manual_seed(seed)
    width = d_audio + d_lyrics
    terms = [(column,) for column in range(width)]
    for number in range(products):
        chosen: set[int] = set()
        while len(chosen) < 2 + number % 2:
            side = int(torch.randint(2, (1,), generator=generator))
            low, high = (0, d_audio) if side == 0 else (d_audio, width)
            chosen.add(int(torch.randint(low, high, (1,), generator=generator)))
        terms.append(tuple(sorted(chosen)))
    weights = torch.randn(len(terms), 4, generator=generator, dtype=torch.float64)
    weights[width:] *= math.sqrt(width / products / 2)
    return Polynomial(d_audio, d_lyrics, tuple(terms), weights * 2 / weights.square().sum(0).sqrt())


def tell_truth(polynomial: Polynomial) -> Tensor:
    """The table (class, 1 + d_audio, 1 + d_lyrics) of its logits: signs go from −1 to 1, so a column alone counts twice
    its weight, a product of two four times; products of three have no part in it.
    """
    table = torch.zeros(4, 1 + polynomial.d_audio, 1 + polynomial.d_lyrics, dtype=torch.float64)
    for term, weight in zip(polynomial.terms, polynomial.weights, strict=True):
        heard = [1 + column for column in term if column < polynomial.d_audio]
        read_ = [1 + column - polynomial.d_audio for column in term if column >= polynomial.d_audio]
        if len(heard) <= 1 and len(read_) <= 1:
            table[:, heard[0] if heard else 0, read_[0] if read_ else 0] += 2 ** len(term) * weight
    return table


def turn_interactions_up(polynomial: Polynomial, share: float) -> Polynomial:
    """The same, but that products of both sides' columns carry a `share` of every class's variance."""
    heard, read_ = (
        torch.tensor([any((column < polynomial.d_audio) == side for column in term) for term in polynomial.terms])
        for side in (True, False)
    )
    together = (heard & read_)[:, None]
    apart, both = (polynomial.weights.where(mask, 0).square().sum(0) for mask in (~together, together))
    weights = polynomial.weights * torch.where(together, (share / both).sqrt(), ((1 - share) / apart).sqrt())
    return Polynomial(polynomial.d_audio, polynomial.d_lyrics, polynomial.terms, 2 * weights)


def make_analytic(polynomial: Polynomial, name: str = "analytic") -> Game:
    """Four logits of a polynomial: an encoding is the products of a side's signs, one for each term."""
    ears = [[column for column in term if column < polynomial.d_audio] for term in polynomial.terms]
    eyes = [[column - polynomial.d_audio for column in term if column >= polynomial.d_audio] for term in polynomial.terms]

    def multiply(masks: Tensor, parts: list[list[int]]) -> Tensor:
        signs = torch.cat([2 * masks.double() - 1, torch.ones(len(masks), 1, dtype=torch.float64)], 1)
        padded = torch.tensor([part + [-1] * (3 - len(part)) for part in parts])
        return signs[:, padded].prod(2)

    def join(heard: tuple[Tensor, ...], texts: Tensor) -> Tensor:
        return torch.stack([(heard[0] * weight) @ texts.T for weight in polynomial.weights.T], 2)

    return Game(
        name, polynomial.d_audio, polynomial.d_lyrics, 4, "logits",
        lambda masks: (multiply(masks, ears),), lambda masks: multiply(masks, eyes), join,
    )  # fmt: skip


class TinyTransformer(nn.Module):
    """AST and RoBERTa from their configurations, three layers of 64 each, random weights, LayerNorm + Linear on both."""

    sample_rate, channels, output_kind, classes = 16000, 1, "logits", ("a", "b", "c", "d")
    modalities = ("audio", "lyrics")

    def __init__(self, seed: int) -> None:
        super().__init__()
        from transformers import ASTConfig, ASTFeatureExtractor, ASTModel, RobertaConfig, RobertaModel

        shape = {"hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 256}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.ear = ASTModel(
                ASTConfig(
                    **shape,
                    frequency_stride=16,
                    time_stride=16,
                    max_length=192,
                    num_mel_bins=32,
                    attn_implementation="eager",
                )
            ).eval()
            self.eye = RobertaModel(
                RobertaConfig(**shape, vocab_size=500, max_position_embeddings=256, attn_implementation="eager"),
                add_pooling_layer=False,
            ).eval()
            # As initialised a deep encoder hardly answers to its input; weights of gain 1.6 make it do so.
            for name, weight in [*self.ear.named_parameters(), *self.eye.named_parameters()]:
                if weight.dim() == 2 and "embed" not in name:
                    nn.init.normal_(weight, std=1.6 / math.sqrt(weight.shape[1]))
                elif weight.dim() >= 2:
                    nn.init.normal_(weight, std=1.0 if weight.dim() == 2 else 1 / 16)
                elif "bias" in name:
                    nn.init.normal_(weight, std=0.1)
            self.norm, self.linear = nn.LayerNorm(128), nn.Linear(128, 4)
            self.shift = nn.Parameter(torch.randn(128))
        self.extract = ASTFeatureExtractor(num_mel_bins=32, max_length=192)
        self.gains = (1.0, 1.0)
        self.centres: tuple[Tensor | float, Tensor | float] = (0.0, 0.0)

    def tokenize(self, text: str) -> Tokens:
        """One token a word, by its letters."""
        spans, here = [], 0
        for word in text.split():
            here = text.index(word, here)
            spans.append((here, here + len(word)))
            here += len(word)
        ids = [0, *(5 + sum(map(ord, text[a:b])) % 495 for a, b in spans), 2]
        return Tokens(torch.tensor(ids), ((0, 0), *spans, (0, 0)), mask_id=4, pad_id=1)

    def embed_text(self, ids: Tensor) -> Tensor:
        """Word embeddings."""
        return self.eye.embeddings.word_embeddings(ids)

    def encode_audio(self, audio: Tensor) -> Tensor:
        """The AST's pooled output, from log-mel features as its extractor makes them."""
        features = torch.stack([self._features(row) for row in audio.mean(1)])
        return (self.ear(features).pooler_output - self.centres[0]) * self.gains[0]

    def _features(self, wave: Tensor) -> Tensor:
        mel = self.extract._extract_fbank_features(wave.cpu().numpy(), max_length=192)
        return (torch.as_tensor(mel).to(wave.device) + 4.2677393) / (2 * 4.5689974)

    def encode_text(self, text: TokenBatch) -> Tensor:
        """RoBERTa's first state."""
        positions = torch.arange(2, 2 + text.embeddings.shape[1], device=text.embeddings.device)[None]
        states = self.eye(inputs_embeds=text.embeddings, position_ids=positions).last_hidden_state
        return (states[:, 0] - self.centres[1]) * self.gains[1]

    def fuse(self, heard: Tensor, texts: Tensor) -> Tensor:
        """LayerNorm + Linear on both."""
        return self.linear(self.norm(torch.cat([heard, texts], 1) + self.shift))

    def fuse_pairs(self, heard: Tensor, texts: Tensor) -> Tensor:
        """The same of all pairs."""
        return fuse_layer_norm_pairs(self.norm, self.linear, heard + self.shift[:64], texts + self.shift[64:])

    def forward(self, audio: Tensor, text: TokenBatch) -> Tensor:
        """Logits."""
        return self.fuse(self.encode_audio(audio), self.encode_text(text))


def make_transformer(seed: int, tuning: Tuning = AS_IS) -> Game:
    """Two seconds of four synthetic stems in ten segments, a hundred words."""
    model = TinyTransformer(seed).requires_grad_(False).eval()
    generator = torch.Generator().manual_seed(seed)
    time = torch.arange(32000) / 16000
    stems = []
    for number in range(4):
        pitch = 80 * 2 ** (number + float(torch.rand(1, generator=generator)))
        tone = sum(torch.sin(2 * math.pi * pitch * overtone * time) / overtone for overtone in range(1, 12))
        level = 0.5 + 0.5 * torch.sin(2 * math.pi * (0.7 + 0.5 * number) * time + number)
        stems.append(0.1 * level * tone + 0.01 * (number + 1) * torch.randn(32000, generator=generator))
    letters = torch.randint(97, 123, (100, 5), generator=generator).tolist()
    words = ["".join(map(chr, row)) for row in letters]
    lyrics = parse_lyrics("\n".join(" ".join(words[start : start + 10]) for start in range(0, 100, 10)))
    track = Track(torch.stack(stems)[:, None], ("a", "b", "c", "d"), 16000, lyrics, title="synthetic")
    _calibrate(model, track, tuning.device)
    return make_probed("transformer", model, track, tuning)


@torch.no_grad()
def _calibrate(model: TinyTransformer, track: Track, device: torch.device) -> None:
    """Centre both encodings and bring them to unit spread, logits to a spread of two: a random network has no scale."""
    game = make_probed("transformer", model, track, Tuning(device))
    generator = torch.Generator().manual_seed(1)
    heard = game.hear(torch.rand(256, game.d_audio, generator=generator) < 0.5)[0]
    texts = game.read(torch.rand(256, game.d_lyrics, generator=generator) < 0.5)
    model.centres = (heard.mean(0), texts.mean(0))
    model.gains = (1 / float(heard.std(0).mean()), 1 / float(texts.std(0).mean()))
    fused = model.fuse((heard - model.centres[0]) * model.gains[0], (texts - model.centres[1]) * model.gains[1])
    model.linear.weight.mul_(2 / fused.std(0).mean())


def make_probe(model: nn.Module, track: Track, units: Units = "word", tuning: Tuning = AS_IS) -> Probe:
    """A model and a song, ten segments and units of its lyrics: what `explain` asks at its defaults."""
    subject = describe_model(model, sample_rate=None, classes=None, output_kind=None, modalities=None)
    components = list_components(track, 10, units, subject.modalities)
    with torch.no_grad():
        sources = prepare_sources(subject, track, components, "silence", None, 0, tuning.device)
    seen = components.seen(sources.unseen)
    return Probe(subject, sources, seen, len(components), tuning.device, tuning.rows, lambda count: None, tuning.precision)


def make_probed(name: str, model: nn.Module, track: Track, tuning: Tuning = AS_IS) -> Game:
    """A late-fusion model and its song, with ten segments and words."""
    probe = make_probe(tune(model, tuning), track, tuning=tuning)
    subject = probe.subject
    assert subject.classes is not None

    def listen(masks: Tensor) -> tuple[Tensor, ...]:
        with torch.no_grad():
            return encode_audio(probe, masks)

    def look(masks: Tensor) -> Tensor:
        with torch.no_grad():
            return encode_lyrics(probe, masks)

    def meet(heard: tuple[Tensor, ...], texts: Tensor) -> Tensor:
        with torch.no_grad():
            return fuse(probe, heard, texts)

    count = len(subject.classes)
    sides = (len(probe.seen_audio), len(probe.seen_lyrics))
    return Game(name, *sides, count, subject.output_kind, listen, look, meet, probe, track)
