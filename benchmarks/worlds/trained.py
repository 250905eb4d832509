"""A small AST + RoBERTa that was trained: on the demo's songs with broad causes, several cues and several words a tag.

One cue or one word is hard to learn from scratch. Here a tag has two to four cues on its stem and as many words of its
topic, and is on while one of each kind that it needs is left. Songs are altered in training as explanations alter them:
stems silenced for half-bars, words masked; labels follow.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.worlds.transformer import find_words
from musiclime_torch.demo import (
    HALF_BARS,
    SAMPLE_RATE,
    STEMS,
    TAGS,
    Cause,
    SongPlan,
    list_words,
    plan_song,
    render_stems,
    spawn,
)
from musiclime_torch.models import TokenBatch, Tokens, fuse_layer_norm_pairs
from musiclime_torch.training import draw_rates

#: Seeds of songs to learn from begin at 0, of those to judge the model by and to explain here.
HELD_OUT = 1_000_000

#: Frames of 40 ms that the AST hears, more than the longest song has; mel bands.
FRAMES, BANDS = 320, 32

#: Width of either encoder: an AST's pass takes several times the operations of RoBERTa's, as in the paper's model.
WIDTHS = (192, 96)

#: Chance of a tag; of one half of a tag that needs two kinds of causes, where the song doesn't have it.
CHANCE, HALF = 0.42, 0.5

#: Songs of a step, and the largest rate.
BATCH, RATE = 16, 1e-3


class TrainedTransformer(nn.Module):
    """AST on log-mels and RoBERTa on words, three layers each; LayerNorm + Linear on both."""

    sample_rate, channels, output_kind, classes = SAMPLE_RATE, 1, "multilabel", tuple(TAGS)
    modalities = ("audio", "lyrics")

    def __init__(self) -> None:
        super().__init__()
        from torchaudio.transforms import MelSpectrogram
        from transformers import ASTConfig, ASTModel, RobertaConfig, RobertaModel

        ear, eye = (
            {"hidden_size": width, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 4 * width,
             "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "attn_implementation": "eager"}
            for width in WIDTHS
        )  # fmt: skip
        self.words = {word: number for number, word in enumerate(("<s>", "</s>", *list_words()))}
        self.spectrum = MelSpectrogram(SAMPLE_RATE, 512, hop_length=640, n_mels=BANDS)
        self.ear = ASTModel(ASTConfig(**ear, frequency_stride=16, time_stride=16, max_length=FRAMES, num_mel_bins=BANDS))
        self.eye = RobertaModel(
            RobertaConfig(**eye, vocab_size=len(self.words), max_position_embeddings=80, pad_token_id=self.words["<pad>"]),
            add_pooling_layer=False,
        )
        self.norm, self.linear = nn.LayerNorm(sum(WIDTHS)), nn.Linear(sum(WIDTHS), len(TAGS))

    def tokenize(self, text: str) -> Tokens:
        """One token a word."""
        spans = find_words(text)
        ids = self.number([text[start:end] for start, end in spans])
        return Tokens(ids, ((0, 0), *spans, (0, 0)), mask_id=self.words["<mask>"], pad_id=self.words["<pad>"])

    def number(self, words: Sequence[str]) -> Tensor:
        """Token ids of words, between those of the start and the end."""
        unknown = self.words["<unk>"]
        return torch.tensor([self.words["<s>"], *(self.words.get(word, unknown) for word in words), self.words["</s>"]])

    def embed_text(self, ids: Tensor) -> Tensor:
        """Word embeddings."""
        return self.eye.embeddings.word_embeddings(ids)

    def encode_audio(self, audio: Tensor) -> Tensor:
        """The AST's pooled output; what is shorter than its frames is followed by silence."""
        levels = (self.spectrum(audio.mean(1)) + 1e-4).log().mT[:, :FRAMES]
        levels = nn.functional.pad((levels + 4) / 4, (0, 0, 0, FRAMES - levels.shape[1]), value=-1.3)
        return self.ear(levels).pooler_output

    def encode_text(self, text: TokenBatch) -> Tensor:
        """RoBERTa's first state."""
        positions = torch.arange(2, 2 + text.embeddings.shape[1], device=text.embeddings.device)[None]
        states = self.eye(
            inputs_embeds=text.embeddings, position_ids=positions, attention_mask=text.attended.long()
        ).last_hidden_state
        return states[:, 0]

    def fuse(self, sounds: Tensor, texts: Tensor) -> Tensor:
        """LayerNorm + Linear on both."""
        return self.linear(self.norm(torch.cat([sounds, texts], 1)))

    def fuse_pairs(self, sounds: Tensor, texts: Tensor) -> Tensor:
        """The same of all pairs."""
        return fuse_layer_norm_pairs(self.norm, self.linear, sounds, texts)

    def forward(self, audio: Tensor, text: TokenBatch) -> Tensor:
        """Logits."""
        return self.fuse(self.encode_audio(audio), self.encode_text(text))


def plan_broad(seed: int) -> SongPlan:
    """A song whose tags have two to four cues and words each."""
    rng = spawn(seed, "broad")
    plan = replace(plan_song(seed, ()), causes=())
    free = {stem: list(rng.permutation(range(1, HALF_BARS - 1))) for stem in STEMS}
    words = list(rng.permutation(sum(plan.line_lengths)))
    causes = []
    for name, tag in TAGS.items():
        has, lone = rng.random() < CHANCE, rng.integers(2)
        kinds = tag.kinds if has else tag.kinds[lone : lone + 1] if len(tag.kinds) == 2 and rng.random() < HALF else ()
        for kind in kinds:
            places = words if kind == "word" else free[tag.stem or ""]
            causes += [Cause(name, kind, int(places.pop()), int(rng.integers(2**31))) for _ in range(rng.integers(2, 5))]
    return replace(plan, causes=tuple(causes))


@dataclass(frozen=True)
class Example:
    """A planned song with its stems (stem, frame) at half precision, to save memory."""

    plan: SongPlan
    stems: Tensor

    def alter(self, rng: np.random.Generator) -> tuple[Tensor, np.ndarray, Tensor]:
        """A version of the song: sound (frame), which words are kept, and which tags are left (class)."""
        rate = draw_rates(1, rng)[0]
        cells, kept = rng.random((len(STEMS), HALF_BARS)) >= rate, rng.random(len(self.plan.words)) >= rate
        gates = torch.from_numpy(cells).float().repeat_interleave(self.plan.half_bar, 1)
        return (self.stems.float() * gates).sum(0), kept, torch.from_numpy(find_left(self.plan, cells, kept)).float()


def make_examples(start: int, count: int) -> list[Example]:
    """Songs of successive seeds."""
    plans = map(plan_broad, range(start, start + count))
    return [Example(plan, torch.from_numpy(render_stems(plan)).half()) for plan in plans]


def find_left(plan: SongPlan, cells: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Which tags have a cause of every kind left, among cells (stem, half-bar) and words."""
    left = {
        (cause.tag, cause.kind)
        for cause in plan.causes
        if (kept[cause.place] if cause.stem is None else cells[STEMS.index(cause.stem), cause.place])
    }
    return np.array([all((name, kind) in left for kind in tag.kinds) for name, tag in TAGS.items()])


def make_batch(
    model: TrainedTransformer, examples: Sequence[Example], rng: np.random.Generator
) -> tuple[Tensor, TokenBatch, Tensor]:
    """A version of each song: sound, lyrics and labels, as the model takes them."""
    sounds, kept, labels = zip(*(example.alter(rng) for example in examples), strict=True)
    numbered = [model.number(example.plan.words) for example in examples]
    for ids, words in zip(numbered, kept, strict=True):
        ids[1:-1][~torch.from_numpy(words)] = model.words["<mask>"]
    pad = nn.utils.rnn.pad_sequence
    ids, audio = pad(numbered, True, model.words["<pad>"]), pad(list(sounds), True)
    return audio[:, None], TokenBatch(model.embed_text(ids), ids != model.words["<pad>"]), torch.stack(labels)


def train(songs: int, epochs: int, seed: int = 0) -> TrainedTransformer:
    """The model from scratch, in eval mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = TrainedTransformer()
    examples, rng, steps = make_examples(0, songs), np.random.default_rng(seed), epochs * songs // BATCH
    optimiser = torch.optim.AdamW(model.parameters(), RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps, pct_start=0.15)
    order = (number for _ in range(epochs) for number in rng.permutation(songs))
    for _ in range(steps):
        audio, text, labels = make_batch(model, [examples[number] for number in islice(order, BATCH)], rng)
        loss = nn.functional.binary_cross_entropy_with_logits(model(audio, text), 0.98 * labels + 0.01)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
    return model.requires_grad_(False).eval()


@torch.no_grad()
def measure_accuracy(model: TrainedTransformer, songs: int) -> dict[str, dict[str, float]]:
    """By tag, on songs that weren't learned from, each whole and altered: how often it is right, and how often the more
    frequent answer would be.
    """
    rng, right, on = np.random.default_rng(1), [], []
    examples = make_examples(HELD_OUT, songs)
    for start in range(0, songs, BATCH):
        audio, text, labels = make_batch(model, examples[start : start + BATCH], rng)
        right.append((model(audio, text) > 0) == (labels > 0.5))
        on.append(labels)
    shares = torch.cat(on).mean(0)
    return {
        name: {"right": round(float(hit), 3), "chance": round(float(max(share, 1 - share)), 3)}
        for name, hit, share in zip(TAGS, torch.cat(right).float().mean(0), shares, strict=True)
    }
