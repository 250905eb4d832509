"""`transformers` classifiers of text as models that can be explained: on token embeddings where they take them, else on ids.

Each is tried on a few tokens when it is made, so that one that can't be explained says so at once.
"""

import inspect
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from musiclime_torch.basics.errors import InputError
from musiclime_torch.models.contract import TokenBatch, Tokens
from musiclime_torch.models.tokens import Preparation, cut_tokens

#: Tokenizers without a limit of their own declare 10^30.
NO_LIMIT = 10**6

#: What every model is tried on.
TRIAL = "la la la"


class LyricsClassifier(nn.Module):
    """Any `AutoModelForSequenceClassification` with its fast tokenizer."""

    modalities = ("lyrics",)

    def __init__(self, module: Any, tokenizer: Any) -> None:
        super().__init__()
        self.module, self.tokenizer = module, tokenizer
        self.classes, self.output_kind = read_labels(module.config)
        # What our training wrote into the configuration; without it lyrics are read as they are.
        prepared = getattr(module.config, "text_preparation", None) or {"lower_case": False, "strip_punctuation": False}
        self.preparation = Preparation(**{**prepared, "limit": count_positions(module.config, tokenizer, prepared)})
        self.name = str(getattr(module.config, "name_or_path", "") or type(module).__name__)

    def tokenize(self, text: str) -> Tokens:
        """As the model's own tokenizer cuts it; without a word and special tokens, one token for the empty text."""
        tokens = cut_tokens(self.tokenizer, text, self.preparation)
        if len(tokens.ids):
            return tokens
        ends = (self.tokenizer.bos_token_id, self.tokenizer.eos_token_id, tokens.pad_id, 0)
        return replace(tokens, ids=torch.tensor([next(end for end in ends if end is not None)]), spans=((0, 0),))


class TokenClassifier(LyricsClassifier):
    """One that is masked by token ids: BART, T5, I-BERT, ...

    A removed word becomes the mask token, or the padding token, which isn't attended to.
    """

    def forward(self, text: Int[Tensor, "batch token"]) -> Float[Tensor, "batch class"]:
        """Logits."""
        pad = self.tokenizer.pad_token_id
        attended = torch.ones_like(text) if pad is None else (text != pad).long()
        logits: Tensor = self.module(input_ids=text, **_keep_taken(self.module, {"attention_mask": attended})).logits
        return logits.float()


class TextClassifier(LyricsClassifier):
    """One that is masked by embeddings: the BERT family, and decoders that answer at the last token."""

    def embed_text(self, ids: Int[Tensor, "*batch token"]) -> Float[Tensor, "*batch token dim"]:
        """Word embeddings."""
        embeddings: Tensor = self.module.get_input_embeddings()(ids)
        return embeddings

    def forward(self, text: TokenBatch) -> Float[Tensor, "batch class"]:
        """Logits."""
        if isinstance(getattr(self.module, "score", None), nn.Module):
            return self._read_last(text)
        attended = text.attended.to(torch.long)
        # Longformer's own global token, which it would look up in ids.
        first = torch.zeros_like(attended).index_fill(1, attended.new_zeros(1), 1)
        more = _keep_taken(self.module, {"attention_mask": attended, "global_attention_mask": first})
        logits: Tensor = self.module(inputs_embeds=text.embeddings, **more).logits
        return logits.float()

    def embed_lyrics(self, text: TokenBatch) -> Float[Tensor, "batch feature"]:
        """The mean of the last states of the tokens that are there."""
        more = _keep_taken(self.module.base_model, {"attention_mask": text.attended.long(), "use_cache": False})
        states: Tensor = self.module.base_model(inputs_embeds=text.embeddings, **more)[0].float()
        shares = text.attended[:, :, None].to(states.dtype)
        return (states * shares).sum(1) / shares.sum(1).clamp(min=1)

    def _read_last(self, text: TokenBatch) -> Float[Tensor, "batch class"]:
        """A decoder's answer at the last token that is there.

        The library reads it at the last one, there or not, and wants a padding token for that. Tokens that are gone move to
        the end, where a causal model doesn't see them; the others keep their positions.
        """
        order = (~text.attended).long().argsort(dim=1, stable=True)
        embeddings = text.embeddings.gather(1, order[:, :, None].expand_as(text.embeddings))
        attended = text.attended.gather(1, order)
        attended[:, 0] = True  # of a song without a word the first place answers
        last = attended.sum(1) - 1
        decoder = self.module.base_model
        more = {"attention_mask": attended.long(), "position_ids": order, "use_cache": False}
        states = decoder(inputs_embeds=embeddings, **_keep_taken(decoder, more))[0]
        logits: Tensor = self.module.score(states[torch.arange(len(last), device=last.device), last])
        return logits.float()


def make_text_classifier(module: Any, tokenizer: Any) -> TextClassifier | TokenClassifier:
    """The classifier in the form that the module takes, in float32 where its own precision fails; InputError where none is.

    An operation may lack half precision on a CPU, as FNet's and XLNet's do.
    """
    refusals = []
    for precision in dict.fromkeys((module.dtype, torch.float32)):
        module.to(precision)
        for kind in (TextClassifier, TokenClassifier):
            model: TextClassifier | TokenClassifier = kind(module, tokenizer).eval()
            try:
                _try_out(model)
            except InputError:
                raise
            # All errors: which way of reading an architecture lacks shows as whatever its code happens to raise (TypeError,
            # ValueError, IndexError, AttributeError, torch's own). All are told if no way is left.
            except Exception as error:
                refusals.append(f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0][:150]}")
            else:
                return model
    raise InputError(
        f"{model.name} takes neither token embeddings ({refusals[-2]}) nor token ids ({refusals[-1]}): give a callable of "
        f"your own that takes strings (package.module:object)."
    )


@torch.no_grad()
def _try_out(model: TextClassifier | TokenClassifier) -> None:
    """Raises whatever the model does with two short texts."""
    # Two rows: decoders without a padding token refuse more than one, and a batch is what they will get.
    ids = model.tokenize(TRIAL).ids.to(next(model.parameters()).device).expand(2, -1)
    if isinstance(model, TextClassifier):
        model(TokenBatch(model.embed_text(ids), torch.ones_like(ids, dtype=torch.bool)))
    else:
        model(ids)


def _keep_taken(module: Any, arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments that a module's forward names."""
    named = inspect.signature(module.forward).parameters
    return {name: value for name, value in arguments.items() if name in named}


def read_labels(config: Any) -> tuple[tuple[str, ...], str]:
    """Class names and the kind of outputs, from a `transformers` configuration."""
    # By number, for JSON keeps the order of writing; a single output has nothing to compete with.
    names = tuple(str(config.id2label[number]) for number in sorted(config.id2label))
    kinds = {"multi_label_classification": "multilabel", "regression": "regression"}
    return names, kinds.get(str(config.problem_type), "multilabel" if len(names) == 1 else "logits")


def count_positions(config: Any, tokenizer: Any, prepared: Mapping[str, Any]) -> int:
    """Tokens a model reads at most, special ones included; no more than it was prepared for."""
    limit = int(min(tokenizer.model_max_length, prepared.get("limit", NO_LIMIT), NO_LIMIT))
    positions = getattr(config, "max_position_embeddings", None)
    if positions is None or positions <= 0:
        return limit
    # RoBERTa and its kin count positions from behind the padding token's.
    first = config.pad_token_id + 1 if config.model_type in _POSITIONS_AFTER_PADDING else 0
    return min(limit, int(positions) - first)


_POSITIONS_AFTER_PADDING = ("roberta", "xlm-roberta", "xlm-roberta-xl", "camembert", "mpnet", "data2vec-text", "longformer")
