"""Models whose causes are known by construction: rules written here, and a count of the tags that the tagger finds."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from musiclime_torch.demo import TAGS
from musiclime_torch.models import Tagger, TokenBatch, Tokens, cut_words

#: The class that counts tags, and those of the two rules.
FULL, BRIGHT, QUOTES = "full of tags", "bright all along", "quotes the line"

#: Hertz between which only drums play in generated songs without tags, and seconds of a piece whose level is looked at.
BAND, PIECE = (5000.0, 7800.0), 0.25
#: Decibels of a piece's mean square in the band at which it counts for half, and from there to 0.73: nine of ten pieces of a
#: generated song are above with its drums, none without, if no tag's cue is in it.
LEVEL, SLOPE = -47.0, 1.0


class Counter(nn.Module):
    """One class whose logit rises by 1 with each tag that the embedded model hears or reads, from −3.5 to 3.5.

    Its causes are those of all tags at once: five that act alone, and two pairs that act together.
    """

    modalities, channels, output_kind, classes = ("audio", "lyrics"), 1, "multilabel", (FULL,)

    def __init__(self, tagger: Tagger) -> None:
        super().__init__()
        self.tagger = tagger
        self.sample_rate, self.max_seconds = tagger.sample_rate, tagger.max_seconds

    def tokenize(self, text: str) -> Tokens:
        """As the tagger does."""
        return self.tagger.tokenize(text)

    def embed_text(self, ids: Tensor) -> Tensor:
        """As the tagger does."""
        return self.tagger.embed_text(ids)

    def encode_audio(self, audio: Tensor) -> Tensor:
        """As the tagger does."""
        return self.tagger.encode_audio(audio)

    def encode_text(self, text: TokenBatch) -> Tensor:
        """As the tagger does."""
        return self.tagger.encode_text(text)

    def fuse(self, audio: Tensor, text: Tensor) -> Tensor:
        """The number of tags, about its middle: (batch, 1)."""
        return self._count(self.tagger.fuse(audio, text))

    def fuse_pairs(self, audio: Tensor, text: Tensor) -> Tensor:
        """The same of all pairs: (na, nt, 1)."""
        return self._count(self.tagger.fuse_pairs(audio, text))

    def forward(self, audio: Tensor, text: TokenBatch | list[str]) -> Tensor:
        """Logits (batch, 1)."""
        return self._count(self.tagger(audio, text))

    def _count(self, logits: Tensor) -> Tensor:
        return logits.sigmoid().sum(-1, keepdim=True) - len(TAGS) / 2


class Rules(nn.Module):
    """Two classes, each decided by one side, logits from −4 to 4.

    "Bright all along": the share of the song's pieces that have power where only drums play; its cause is that stem, each of
    its moments about alike. "Quotes the line": how many of the line's words stand at their distances from each other
    anywhere in the lyrics, n − 2 of its n words still counting as none, so that most of them are needed; its cause is the
    line.
    """

    modalities, channels, sample_rate, output_kind = ("audio", "lyrics"), 1, 16000, "multilabel"
    classes = (BRIGHT, QUOTES)

    def __init__(self, vocabulary: dict[str, int], line: Sequence[str]) -> None:
        super().__init__()
        self.vocabulary = vocabulary
        # A parameter, not a buffer: `explain` looks for a model's device among its parameters.
        line_ids = torch.tensor([vocabulary[word] for word in line])
        self.line = nn.Parameter(self.embed_text(line_ids), requires_grad=False)

    def tokenize(self, text: str) -> Tokens:
        """One token a word, all of them."""
        return cut_words(text, self.vocabulary, len(text))

    def embed_text(self, ids: Tensor) -> Tensor:
        """A word is one of so many."""
        return nn.functional.one_hot(ids, len(self.vocabulary)).float()

    def encode_audio(self, audio: Tensor) -> Tensor:
        """The share of pieces that are bright: (batch, 1)."""
        pieces = audio.mean(1).unfold(1, round(PIECE * self.sample_rate), round(PIECE * self.sample_rate))
        spectra = 2 * torch.fft.rfft(pieces).abs().square() / pieces.shape[-1] ** 2  # sums up to the mean square
        hertz = torch.fft.rfftfreq(pieces.shape[-1], 1 / self.sample_rate, device=audio.device)
        power = spectra[..., (hertz >= BAND[0]) & (hertz < BAND[1])].sum(-1)
        decibels = 10 * torch.log10(power + 1e-12)
        return ((decibels - LEVEL) / SLOPE).sigmoid().mean(1, keepdim=True)

    def encode_text(self, text: TokenBatch) -> Tensor:
        """How much of the line is quoted, from 0 to 1: (batch, 1)."""
        words = text.embeddings * text.attended[:, :, None]
        length = len(self.line)
        padded = nn.functional.pad(words, (0, 0, length - 1, length - 1))  # a line may be cut off at either end
        matches = nn.functional.conv1d(padded.transpose(1, 2), self.line.T[None])
        return ((matches.amax(2) - (length - 2)) / 2).clamp(0, 1)

    def fuse(self, audio: Tensor, text: Tensor) -> Tensor:
        """Logits (batch, 2)."""
        return 8 * torch.cat([audio, text], 1) - 4

    def forward(self, audio: Tensor, text: TokenBatch) -> Tensor:
        """Logits (batch, 2)."""
        return self.fuse(self.encode_audio(audio), self.encode_text(text))
