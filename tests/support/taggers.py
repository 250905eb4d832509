"""Small models and songs to train, and the labels they are trained on."""

from dataclasses import replace

import torch

from musiclime_torch.models.tagger import Tagger
from musiclime_torch.training.fitting import Recipe
from musiclime_torch.training.songs import ManifestSongs
from musiclime_torch.training.starting import Labels, seeded, split, start_tagger

TAGS = "drum fill,love song,lullaby"


def make_songs(entries, model, part="train", **more) -> ManifestSongs:
    chosen = split(entries)[part]
    labels = Labels(tuple(sorted(TAGS.split(","))), "logits").encode(chosen)
    given = {"seed": 0, "random": part == "train", "separator": None, "max_seconds": 60.0, "clean": True} | more
    return ManifestSongs(chosen, labels, model, **given)


def make_tagger(seed: int = 0) -> Tagger:
    with seeded(seed):
        labels = Labels(tuple(sorted(TAGS.split(","))), "logits")
        return start_tagger(["love me do", "love me now do"], labels)


class Heads(torch.nn.Module):
    """Two encoders and a head, each a layer; tells in which precision its head was run."""

    sample_rate, channels, max_seconds, modalities = 8000, 1, 2.0, ("audio", "lyrics")
    classes = tuple(sorted(TAGS.split(",")))

    def __init__(self, output_kind: str = "logits") -> None:
        super().__init__()
        self.output_kind = output_kind
        self.ear, self.eye = torch.nn.Linear(16, 4), torch.nn.Linear(4, 4)
        self.classifier = torch.nn.Linear(8, 3)
        self.words = torch.nn.Embedding(50, 4)
        self.seen: set[torch.dtype] = set()

    def tokenize(self, text):
        tokens = make_tagger().tokenize(text)
        return replace(tokens, ids=tokens.ids % 50)

    def embed_text(self, ids):
        return self.words(ids)

    def encode_audio(self, audio):
        return torch.tanh(self.ear(audio[:, 0, : 16 * 100].unflatten(1, (100, 16)).mean(1)))

    def encode_text(self, text):
        return torch.tanh(self.eye((text.embeddings * text.attended[:, :, None]).sum(1)))

    def fuse(self, audio, text):
        self.seen |= {audio.dtype, text.dtype}
        out = self.classifier(torch.cat([audio, text], 1))
        self.seen.add(out.dtype)
        return out

    def forward(self, audio, text):
        return self.fuse(self.encode_audio(audio), self.encode_text(text))


def draw_batch(seed: int, classes: int = 3, rows: int = 6):
    generator = torch.Generator().manual_seed(seed)
    audio = torch.randn(rows, 1, 1600, generator=generator)
    ids = torch.randint(50, (rows, 7), generator=generator)
    labels = torch.eye(classes)[torch.randint(classes, (rows,), generator=generator)]
    known = torch.rand(rows, classes, generator=generator) < 0.7
    return audio, ids, torch.ones_like(ids, dtype=torch.bool), labels, known


SHORT = Recipe(epochs=4, batch_size=6, rate=3e-3, patience=1, save_every=2, smoothing=0.01)
