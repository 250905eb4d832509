"""What the time benchmarks explain: AST + RoBERTa of several sizes with random weights, and songs of any length.

Weights are random because none are available offline; the cost of a pass doesn't depend on them.
"""

import torch
from torch import Tensor, nn
from transformers import ASTConfig, PreTrainedTokenizerFast, RobertaConfig

from benchmarks.tools.gauges import start
from benchmarks.tools.tuning import Tuning, tune
from benchmarks.worlds.world import make_probe
from musiclime_torch import Track
from musiclime_torch.models import PAPER_PREPARATION, AstRoberta, evaluating
from musiclime_torch.song import parse_lyrics
from musiclime_torch.variants import encode_audio, encode_lyrics

_TINY = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128}
_LARGE = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096}

#: Settings of the two encoders by size, base being the libraries' own: AST-base and RoBERTa-base; "paper" is MusicLIME's,
#: AST-base and RoBERTa-large. All hear 1,024 frames, ten seconds; "smallest" hears 128.
SIZES: dict[str, tuple[dict[str, int], dict[str, int]]] = {
    "smallest": ({**_TINY, "max_length": 128}, _TINY),
    "tiny": (_TINY, _TINY),
    "base": ({}, {}),
    "paper": ({}, _LARGE),
}

LINE = "hold me now for love is all that I have ever known"


def make_tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level tokens with RoBERTa's special ones: the real vocabulary isn't available; its size is the model's."""
    from tokenizers import ByteLevelBPETokenizer

    trained = ByteLevelBPETokenizer()
    specials = {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>", "mask_token": "<mask>"}
    trained.train_from_iterator([LINE], vocab_size=400, special_tokens=list(specials.values()))
    return PreTrainedTokenizerFast(tokenizer_object=trained._tokenizer, model_max_length=512, **specials)


def make_ast_roberta(size: str, classes: int = 9) -> AstRoberta:
    """Random weights, in eval mode."""
    ear, eye = SIZES[size]
    text = RobertaConfig(**eye, vocab_size=50265, max_position_embeddings=514, type_vocab_size=1)
    names = tuple(f"class {number}" for number in range(classes))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = AstRoberta(ASTConfig(**{"max_length": 1024, **ear}), text, make_tokenizer(), names, PAPER_PREPARATION)
    return model.requires_grad_(False).eval()


def make_track(seconds: float = 10.0, lines: int = 4, stems: int = 4) -> Track:
    """Noise on every stem, and a line sung as often as asked; 12 words a line."""
    noise = 0.1 * torch.randn(stems, 1, round(seconds * 16000), generator=torch.Generator().manual_seed(0))
    lyrics = parse_lyrics("\n".join([LINE] * lines)) if lines else None
    return Track(noise, tuple(f"stem {number}" for number in range(stems)), 16000, lyrics)


class Clock:
    """Seconds spent in the methods it watches, and the number of rows passed to them."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.seconds, self.rows = device, 0.0, 0

    def watch(self, model: nn.Module, name: str) -> None:
        """Add a method's time up from now on."""
        inner = getattr(model, name)

        def call(*inputs: object) -> Tensor:
            stop = start(self.device)
            result: Tensor = inner(*inputs)
            self.seconds += stop()
            self.rows += len(result)
            return result

        setattr(model, name, call)


def watch_model(model: nn.Module, device: torch.device) -> dict[str, Clock]:
    """Clocks of both encoders and of the head, by pair and by all pairs, where a model has that."""
    names = ("encode_audio", "encode_text", "fuse", "fuse_pairs")
    clocks = {name: Clock(device) for name in names if hasattr(model, name)}
    for name, clock in clocks.items():
        clock.watch(model, name)
    return clocks


def measure_passes(size: str, passes: int, tuning: Tuning) -> tuple[float, float]:
    """Seconds a pass of the audio encoder and of the text encoder."""
    model = tune(make_ast_roberta(size), tuning)
    probe = make_probe(model, make_track(lines=24), tuning=tuning)
    clocks = watch_model(model, tuning.device)
    sides = ((encode_audio, "encode_audio", len(probe.seen_audio)), (encode_lyrics, "encode_text", len(probe.seen_lyrics)))
    costs = []
    for encode, name, width in sides:
        masks = torch.rand(max(passes, tuning.rows), width, generator=torch.Generator().manual_seed(0)) < 0.5
        with evaluating(model):
            encode(probe, masks[: tuning.rows])  # warm-up: memory, threads, compilation
            before = clocks[name].seconds
            encode(probe, masks)
        costs.append((clocks[name].seconds - before) / len(masks))
    return costs[0], costs[1]
