"""`transformers` classifiers of sound as models that can be explained, and the sum of one of sound and one of text."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from musiclime_torch.basics.errors import InputError
from musiclime_torch.models.contract import TokenBatch, Tokens
from musiclime_torch.models.front_ends import make_front_end
from musiclime_torch.models.text_classifiers import read_labels


class AudioClassifier(nn.Module):
    """Any `AutoModelForAudioClassification` with its feature extractor: AST, the wav2vec 2.0 family, Whisper, ..."""

    channels, modalities = 1, ("audio",)

    def __init__(self, module: nn.Module, extractor: Any) -> None:
        super().__init__()
        self.module, self.front_end = module, make_front_end(extractor)
        self.sample_rate, self.max_seconds = self.front_end.rate, self.front_end.seconds
        self.classes, self.output_kind = read_labels(module.config)
        self.name = str(getattr(module.config, "name_or_path", "") or type(module).__name__)

    def forward(self, audio: Float[Tensor, "batch channel frame"]) -> Float[Tensor, "batch class"]:
        """Logits."""
        logits: Tensor = self.module(**_cast(self.front_end(audio), self.module)).logits
        return logits.float()

    def embed_sound(self, audio: Float[Tensor, "batch channel frame"]) -> Float[Tensor, "batch feature"]:
        """The mean over time of the last states before the classifier's own layers."""
        inputs = _cast(self.front_end(audio), self.module)
        states: Tensor = self.module(**inputs, output_hidden_states=True).hidden_states[-1]
        return states.float().mean(1)


class ClapTowers(nn.Module):
    """CLAP's two encoders, which map sounds and texts to directions that can be compared."""

    channels, modalities, output_kind, query_side = 1, ("audio",), "embedding", "audio"

    def __init__(self, module: Any, extractor: Any, tokenizer: Any) -> None:
        super().__init__()
        self.module, self.front_end, self.tokenizer = module, make_front_end(extractor), tokenizer
        self.sample_rate, self.max_seconds = self.front_end.rate, self.front_end.seconds
        self.name = str(getattr(module.config, "name_or_path", "") or type(module).__name__)

    def embed_sound(self, audio: Float[Tensor, "batch channel frame"]) -> Float[Tensor, "batch feature"]:
        """Directions of sounds, in float32 whatever the weights' precision."""
        features = self.module.get_audio_features(**_cast(self.front_end(audio), self.module)).pooler_output
        return nn.functional.normalize(features.float(), dim=1)

    @torch.no_grad()
    def embed_query(self, queries: list[str]) -> Float[Tensor, "batch feature"]:
        """Directions of texts that describe sound."""
        read = self.tokenizer(queries, padding=True, return_tensors="pt")
        read = {name: value.to(self.module.device) for name, value in read.items()}
        return nn.functional.normalize(self.module.get_text_features(**read).pooler_output.float(), dim=1)

    def forward(self, audio: Float[Tensor, "batch channel frame"]) -> Float[Tensor, "batch feature"]:
        """Directions of sounds."""
        return self.embed_sound(audio)


class ClapZeroShot(ClapTowers):
    """CLAP by labels: how alike the sound and each label's prompt are, as logits that compete."""

    output_kind = "logits"
    prompts: Float[Tensor, "class feature"]

    def __init__(self, module: Any, extractor: Any, tokenizer: Any, labels: Sequence[str], prompt: str) -> None:
        """`prompt` has a `{}` where the label goes. Prompts are encoded once, here."""
        if len(labels) < 2:
            raise InputError("a zero-shot model needs labels to choose from: give two or more classes.", argument="classes")
        super().__init__(module, extractor, tokenizer)
        self.classes = tuple(labels)
        # Prompts don't depend on the song: encoding them here leaves one encoder pass per variant.
        self.register_buffer("prompts", self.embed_query([prompt.format(label) for label in labels]), persistent=False)

    def forward(self, audio: Float[Tensor, "batch channel frame"]) -> Float[Tensor, "batch class"]:
        """Cosines at CLAP's own temperature."""
        # CLAP compares directions: the learnt temperature turns their cosines, which are near each other, into logits.
        cosines = self.embed_sound(audio) @ self.prompts.float().T
        logits: Tensor = self.module.logit_scale_a.float().exp() * cosines
        return logits


class LateEnsemble(nn.Module):
    """A classifier of sound and one of lyrics with labels in common: the weighted sum of their outputs for these.

    Outputs that compete are log shares among the shared labels, so that sums are products of probabilities; independent
    ones stay logits. Late fusion: it gets crossed masks.
    """

    channels, modalities = 1, ("audio", "lyrics")
    audio_columns: Int[Tensor, " class"]
    lyrics_columns: Int[Tensor, " class"]

    def __init__(self, ear: Any, eye: Any, weights: tuple[float, float]) -> None:
        """InputError if the two share no label, or if one's outputs compete and the other's don't."""
        super().__init__()
        # Log shares of competing classes and logits of independent ones have no common unit.
        if ear.output_kind != eye.output_kind:
            raise InputError(f"{ear.name} gives {ear.output_kind} and {eye.name} {eye.output_kind}: they can't be added up.")
        places = {label.casefold(): place for place, label in enumerate(eye.classes)}
        shared = [place for place, label in enumerate(ear.classes) if label.casefold() in places]
        if not shared:
            raise InputError(
                f"{ear.name} ({', '.join(ear.classes[:5])}, ...) and {eye.name} ({', '.join(eye.classes[:5])}, ...) share "
                f"no label: use models of the same labels."
            )
        self.ear, self.eye, self.weights = ear, eye, weights
        if hasattr(eye, "embed_text"):
            # Only where the text classifier has it: masks act on token ids otherwise.
            self.embed_text = eye.embed_text
        if hasattr(ear, "embed_sound") and hasattr(eye, "embed_lyrics"):
            self.embed_sound, self.embed_lyrics = ear.embed_sound, eye.embed_lyrics
        self.classes = tuple(ear.classes[place] for place in shared)
        self.output_kind, self.sample_rate, self.max_seconds = ear.output_kind, ear.sample_rate, ear.max_seconds
        self.name = f"{ear.name} + {eye.name}"
        self.register_buffer("audio_columns", torch.tensor(shared), persistent=False)
        self.register_buffer(
            "lyrics_columns", torch.tensor([places[label.casefold()] for label in self.classes]), persistent=False
        )

    def tokenize(self, text: str) -> Tokens:
        """The text classifier's tokens."""
        tokens: Tokens = self.eye.tokenize(text)
        return tokens

    def encode_audio(self, audio: Float[Tensor, "batch channel frame"]) -> Float[Tensor, "batch class"]:
        """The audio classifier's outputs for the shared labels."""
        return self._share(self.ear(audio).index_select(1, self.audio_columns))

    def encode_text(self, text: TokenBatch | Tensor) -> Float[Tensor, "batch class"]:
        """The text classifier's outputs for the shared labels."""
        return self._share(self.eye(text).index_select(1, self.lyrics_columns))

    def fuse(self, audio: Float[Tensor, "batch class"], text: Float[Tensor, "batch class"]) -> Float[Tensor, "batch class"]:
        """The weighted sum."""
        return self.weights[0] * audio + self.weights[1] * text

    def fuse_pairs(self, audio: Float[Tensor, "na class"], text: Float[Tensor, "nt class"]) -> Float[Tensor, "na nt class"]:
        """The weighted sums of all pairs."""
        return self.weights[0] * audio[:, None] + self.weights[1] * text

    def forward(
        self, audio: Float[Tensor, "batch channel frame"], text: TokenBatch | Tensor
    ) -> Float[Tensor, "batch class"]:
        """Logits of songs."""
        return self.fuse(self.encode_audio(audio), self.encode_text(text))

    def _share(self, logits: Float[Tensor, "batch class"]) -> Float[Tensor, "batch class"]:
        # log p, up to a constant for all classes: a weighted sum of both sides is then the logits of a softmax again, of the
        # product of their probabilities.
        return logits.log_softmax(1) if self.output_kind == "logits" else logits


def _cast(inputs: dict[str, Tensor], module: Any) -> dict[str, Tensor]:
    """A front end's features in the precision of the weights."""
    return {name: value.to(module.dtype) if value.is_floating_point() else value for name, value in inputs.items()}
