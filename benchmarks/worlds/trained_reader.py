"""A small AST + RoBERTa whose reader has learned which words make which tag, on generated songs."""

import torch
from torch import Tensor, nn

from benchmarks.worlds.transformer import TinyTransformer
from musiclime_torch.demo import TAGS, plan_song
from musiclime_torch.models import TokenBatch, Tokens

#: Tags that words have a part in.
READ = tuple(tag for tag in TAGS.values() if tag.words)

#: Ids of a word that isn't known, of the mask and of the first word.
UNKNOWN, MASK, FIRST = 3, 4, 5

BATCH, SONGS = 48, 4000


class TrainedTransformer(TinyTransformer):
    """The same with an ear of random weights, a fresh eye and one class for each tag of words."""

    classes = tuple(tag.name for tag in READ)

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        from transformers import RobertaConfig, RobertaModel

        shape = {"hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 256}
        silent = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "attn_implementation": "eager"}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            config = RobertaConfig(**shape, **silent, vocab_size=500, max_position_embeddings=256)
            self.eye = RobertaModel(config, add_pooling_layer=False)
            nn.init.normal_(self.eye.embeddings.word_embeddings.weight, std=0.3)
        self.ids: dict[str, int] = {}
        self.shift.data.zero_()
        self.gains = (0.3, 1.0)

    def tokenize(self, text: str) -> Tokens:
        """One token a word."""
        plain = super().tokenize(text)
        ids = [self.ids.get(text[start:end], UNKNOWN) for start, end in plain.spans[1:-1]]
        return Tokens(torch.tensor([0, *ids, 2]), plain.spans, mask_id=MASK, pad_id=1)


def make_trained(seed: int, steps: int) -> TrainedTransformer:
    """Its eye and head trained on songs' words, some of them masked; what is heard is noise meanwhile."""
    model = TrainedTransformer(seed)
    songs = [plan_song(number).words for number in range(SONGS)]
    words = {word for song in songs for word in song} | {word for tag in READ for word in tag.words}
    model.ids = {word: FIRST + number for number, word in enumerate(sorted(words))}
    meaning = torch.zeros(500, len(READ))
    for column, tag in enumerate(READ):
        meaning[[model.ids[word] for word in tag.words], column] = 1
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        _train(model, songs, meaning, steps)
    return model.requires_grad_(False).eval()


def _train(model: TrainedTransformer, songs: list[tuple[str, ...]], meaning: Tensor, steps: int) -> None:
    lengths = torch.tensor([len(words) for words in songs])
    learned = [*model.eye.parameters(), *model.norm.parameters(), *model.linear.parameters()]
    optimiser = torch.optim.AdamW(learned, 1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 1e-3, total_steps=steps, pct_start=0.1)
    for _ in range(steps):
        # Songs of one length: no padding.
        same = (lengths == lengths[torch.randint(len(songs), (1,))]).nonzero()[:, 0]
        some = same[torch.randint(len(same), (BATCH,))].tolist()
        ids = torch.tensor([[0, *(model.ids[word] for word in songs[number]), 2] for number in some])
        share = torch.rand(BATCH, 1) * (torch.rand(BATCH, 1) < 0.7) * 0.7
        ids[(torch.rand(ids.shape) < share) & (ids > MASK)] = MASK
        read = model.encode_text(TokenBatch(model.embed_text(ids), torch.ones(ids.shape, dtype=torch.bool)))
        logits = model.fuse(0.3 * torch.randn(BATCH, 64), read)
        loss = nn.functional.binary_cross_entropy_with_logits(logits, (meaning[ids].sum(1) > 0).float())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
