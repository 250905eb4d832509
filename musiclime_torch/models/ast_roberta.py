"""The model of MusicLIME (Sotirou et al. 2025): AST for audio, RoBERTa for lyrics, LayerNorm and a linear layer on both.

Late fusion, so it gets crossed masks, and its head runs over all pairs at once. State-dict names are those of the
published checkpoints: ``audio_model.*``, ``text_model.*`` (its pooler too, which decides nothing),
``classifier.layer_norm.*`` and ``classifier.fc.*``.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from musiclime_torch.basics.errors import InputError
from musiclime_torch.models.checkpoints import (
    WEIGHTS,
    load_part,
    load_state,
    load_weights,
    read_description,
    read_state,
    write_model,
)
from musiclime_torch.models.contract import TokenBatch, Tokens
from musiclime_torch.models.front_ends import HOP, RATE, WINDOW, KaldiFbank
from musiclime_torch.models.tokens import Preparation, cut_tokens


def fuse_layer_norm_pairs(
    norm: nn.LayerNorm, linear: nn.Linear, audio: Float[Tensor, "na fa"], text: Float[Tensor, "nt ft"]
) -> Float[Tensor, "na nt class"]:
    """``linear(norm(cat([audio, text])))`` of every pair, exactly, without ever joining two encodings.

    LayerNorm needs a pair's mean and mean square only, and both are sums over the sides: with the classes' own products
    that is class + 2 numbers a mask. Encodings are centred first, or the variance would drown in the mean's square.

    >>> _ = torch.manual_seed(0)
    >>> norm, linear, a, t = nn.LayerNorm(5), nn.Linear(5, 2), torch.randn(3, 2), torch.randn(4, 3)
    >>> pair = linear(norm(torch.cat([a[1], t[2]])))
    >>> bool(torch.allclose(fuse_layer_norm_pairs(norm, linear, a, t)[1, 2], pair, atol=1e-6))
    True
    """
    # LayerNorm and the linear layer of a joined encoding x = [a, t] of width m give, for class k,
    #     Σ_j w_kj (γ_j (x_j − μ) / √(σ² + ε) + β_j) + c_k
    #     = (Σ_j w_kj γ_j x_j − μ Σ_j w_kj γ_j) / √(σ² + ε) + Σ_j w_kj β_j + c_k,
    # with μ = (Σ a + Σ t) / m and σ² = (Σ a² + Σ t²) / m − μ². Every sum over x is a sum over a plus a sum over t, so each
    # side is reduced on its own, and a pair only adds two numbers per class, one for μ and one for σ².
    split, width = audio.shape[1], audio.shape[1] + text.shape[1]
    # A shift of all features changes neither side of the formula, and keeps Σ x² from cancelling against m μ².
    middle = (audio.mean() * split + text.mean() * (width - split)) / width
    audio, text = audio - middle, text - middle
    weight = linear.weight * (1 if norm.weight is None else norm.weight)
    offset = 0 if norm.bias is None else linear.weight @ norm.bias
    offset = offset + (0 if linear.bias is None else linear.bias)
    mean = (audio.sum(1)[:, None] + text.sum(1)) / width
    square = (audio.square().sum(1)[:, None] + text.square().sum(1)) / width
    scale = torch.rsqrt(square - mean.square() + norm.eps)[..., None]
    products = (audio @ weight[:, :split].T)[:, None] + text @ weight[:, split:].T
    return (products - mean[..., None] * weight.sum(1)) * scale + offset


#: What the paper starts from, and how it prepares lyrics.
AUDIO_MODEL, TEXT_MODEL = "MIT/ast-finetuned-audioset-10-10-0.4593", "roberta-large"
PAPER_PREPARATION = Preparation(lower_case=True, strip_punctuation=True, limit=256)

#: AudioSet's, which the AST checkpoints were trained with.
FEATURE_MEAN, FEATURE_STD = -4.2677393, 4.5689974


class Head(nn.Module):
    """LayerNorm and a linear layer."""

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.layer_norm = nn.LayerNorm(features)
        self.fc = nn.Linear(features, classes)

    def forward(self, features: Float[Tensor, "batch feature"]) -> Float[Tensor, "batch class"]:
        """Logits."""
        logits: Tensor = self.fc(self.layer_norm(features))
        return logits


class AstRoberta(nn.Module):
    """Logits from 16 kHz mono audio and lyrics; see `musiclime_torch.models.contract` for what it declares."""

    #: Tells its folders from others: the value of "model_type" in config.json.
    model_type = "musiclime_torch.ast_roberta"
    name = "ast-roberta"
    sample_rate, channels, modalities, spectrogram = RATE, 1, ("audio", "lyrics"), (WINDOW, HOP)
    takes_positions = True

    def __init__(
        self,
        audio_config: Any,
        text_config: Any,
        tokenizer: Any,
        classes: tuple[str, ...],
        preparation: Preparation,
        output_kind: str = "logits",
    ) -> None:
        """Random weights for an `ASTConfig`, a `RobertaConfig` and a fast tokenizer."""
        super().__init__()
        from transformers import ASTModel, RobertaModel

        self.audio_model = ASTModel(audio_config)
        self.text_model = RobertaModel(text_config)
        self.classifier = Head(audio_config.hidden_size + text_config.hidden_size, len(classes))
        self.fbank = KaldiFbank(audio_config.num_mel_bins, audio_config.max_length, FEATURE_MEAN, FEATURE_STD)
        self.classes, self.tokenizer, self.preparation, self.output_kind = classes, tokenizer, preparation, output_kind
        self.max_seconds = self.fbank.seconds

    def tokenize(self, text: str) -> Tokens:
        """Prepared and cut, at the token limit at the latest."""
        return cut_tokens(self.tokenizer, text, self.preparation)

    def embed_text(self, ids: Int[Tensor, "*batch token"]) -> Float[Tensor, "*batch token dim"]:
        """RoBERTa's word embeddings."""
        embeddings: Tensor = self.text_model.embeddings.word_embeddings(ids)
        return embeddings

    def encode_audio(self, audio: Float[Tensor, "batch channel frame"]) -> Float[Tensor, "batch feature"]:
        """AST's pooled output."""
        features = self.fbank(audio).to(self.classifier.fc.weight.dtype)
        pooled: Tensor = self.audio_model(features).pooler_output
        return pooled

    def encode_text(self, text: TokenBatch) -> Float[Tensor, "batch feature"]:
        """RoBERTa's last state of the first token."""
        embeddings = text.embeddings
        # From behind the padding token's, as RoBERTa counts tokens that it embeds itself.
        positions = None if text.positions is None else text.positions + self.text_model.embeddings.padding_idx + 1
        # Ready-made, in four dimensions: for two the library asks the device whether anything is masked at all.
        lowest = torch.finfo(embeddings.dtype).min
        mask = torch.zeros_like(text.attended, dtype=embeddings.dtype).masked_fill(~text.attended, lowest)
        mask = mask[:, None, None, :].expand(-1, 1, mask.shape[1], -1)
        given = {"inputs_embeds": embeddings, "attention_mask": mask, "position_ids": positions}
        states: Tensor = self.text_model(**given).last_hidden_state
        return states[:, 0]

    def fuse(self, audio: Float[Tensor, "batch heard"], text: Float[Tensor, "batch read"]) -> Float[Tensor, "batch class"]:
        """Logits of each sound with its lyrics."""
        logits: Tensor = self.classifier(torch.cat([audio, text], 1))
        return logits

    def fuse_pairs(self, audio: Float[Tensor, "na heard"], text: Float[Tensor, "nt read"]) -> Float[Tensor, "na nt class"]:
        """Logits of every sound with all lyrics."""
        return fuse_layer_norm_pairs(self.classifier.layer_norm, self.classifier.fc, audio, text)

    def forward(
        self, audio: Float[Tensor, "batch channel frame"], text: TokenBatch | list[str]
    ) -> Float[Tensor, "batch class"]:
        """Logits of songs, their lyrics as token embeddings or as they are."""
        read = text if isinstance(text, TokenBatch) else self.embed_strings(text)
        return self.fuse(self.encode_audio(audio), self.encode_text(read))

    def embed_strings(self, texts: list[str]) -> TokenBatch:
        """Lyrics of several songs, padded on the right."""
        cut = [self.tokenize(text) for text in texts]
        longest = max(len(tokens.ids) for tokens in cut)
        # On the right: RoBERTa counts positions from the first token that isn't padding, and embeddings given in place of
        # ids are counted from the left.
        ids = torch.full((len(cut), longest), self.tokenizer.pad_token_id)
        for row, tokens in zip(ids, cut, strict=True):
            row[: len(tokens.ids)] = tokens.ids
        attended = torch.arange(longest) < torch.tensor([[len(tokens.ids)] for tokens in cut])
        device = self.classifier.fc.weight.device
        return TokenBatch(self.embed_text(ids.to(device)), attended.to(device))

    def load_checkpoint(self, path: str | Path) -> "AstRoberta":
        """Weights from a file of plain tensors, every name in its place; InputError lists those that aren't."""
        load_state(self, read_state(Path(path)), str(path))
        return self

    def save_pretrained(self, folder: str | Path) -> None:
        """Write model.safetensors, config.json and a folder `tokenizer`."""
        described = {
            "classes": list(self.classes),
            "output_kind": self.output_kind,
            "sample_rate": self.sample_rate,
            "text_preparation": asdict(self.preparation),
            "audio": self.audio_model.config.to_diff_dict(),
            "text": self.text_model.config.to_diff_dict(),
        }
        self.tokenizer.save_pretrained(Path(folder) / "tokenizer")
        write_model(self, self.model_type, described, Path(folder))

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> "AstRoberta":
        """What `save_pretrained` wrote, in eval mode; InputError where something is missing or doesn't fit."""
        from transformers import ASTConfig, AutoTokenizer, RobertaConfig

        folder = Path(folder)
        described = read_description(folder, cls.model_type)
        try:
            tokenizer = AutoTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True, trust_remote_code=False)
            configs = ASTConfig(**described["audio"]), RobertaConfig(**described["text"])
            preparation, classes = Preparation(**described["text_preparation"]), tuple(described["classes"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{str(folder)!r} is not a saved AST + RoBERTa ({error}).") from error
        # Weights are drawn at random only to be overwritten: the caller's random state must not move.
        with torch.random.fork_rng(devices=[]):
            model = cls(*configs, tokenizer, classes, preparation, described.get("output_kind", "logits"))
        return model.load_checkpoint(folder / WEIGHTS).eval()


def build_ast_roberta(
    classes: tuple[str, ...],
    audio_model: str | Path = AUDIO_MODEL,
    text_model: str | Path = TEXT_MODEL,
    preparation: Preparation = PAPER_PREPARATION,
) -> AstRoberta:
    """Both encoders with their trained weights, by hub id or folder, under a new head for the classes: where training
    starts. InputError says what to download if a hub id can't be fetched.
    """
    from transformers import ASTModel, AutoTokenizer, RobertaModel

    # RoBERTa's pooler isn't used: the paper takes the first token's last state as it is.
    audio, text = load_weights(ASTModel, audio_model), load_weights(RobertaModel, text_model, unused=("pooler.",))
    model = AstRoberta(audio.config, text.config, load_part(AutoTokenizer, text_model), classes, preparation)
    model.audio_model, model.text_model = audio, text
    return model.eval()
