"""The paper's model at full size, AST-base and RoBERTa-large with random weights: does it build, explain and fit?

Ten seconds of four noisy stems and forty words; few components, so that a CPU gets through: what is measured is memory, and
what a pass of either encoder takes.

    python benchmarks/paper_model.py [--smoke] [--threads 2] [--device cpu|cuda]
"""

import argparse
import json
import resource
import time

import torch
from rich.console import Console
from rich.table import Table
from tokenizers import ByteLevelBPETokenizer
from transformers import ASTConfig, PreTrainedTokenizerFast, RobertaConfig

from musiclime_torch import Track, explain
from musiclime_torch.models.ast_roberta import PAPER_PREPARATION, AstRoberta
from musiclime_torch.reading.lyrics import parse_lyrics

LYRICS = "\n".join("hold me now for love is all that I have ever known" for _ in range(4))
LARGE = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096}
SMALL = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128}


def make_tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level tokens with RoBERTa's special ones: the real vocabulary isn't here, and its size is the model's."""
    trained = ByteLevelBPETokenizer()
    specials = {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>", "mask_token": "<mask>"}
    trained.train_from_iterator([LYRICS], vocab_size=400, special_tokens=list(specials.values()))
    return PreTrainedTokenizerFast(tokenizer_object=trained._tokenizer, model_max_length=512, **specials)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="two narrow layers each")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    sizes = ({"max_length": 1024} | SMALL, SMALL) if options.smoke else ({"max_length": 1024}, LARGE)
    text_config = RobertaConfig(**sizes[1], vocab_size=50265, max_position_embeddings=514, type_vocab_size=1)
    classes = tuple(f"class {number}" for number in range(9))
    model = AstRoberta(ASTConfig(**sizes[0]), text_config, make_tokenizer(), classes, PAPER_PREPARATION).to(device).eval()
    track = Track(0.1 * torch.randn(4, 1, 160_000), ("a", "b", "c", "d"), 16000, parse_lyrics(LYRICS))
    seconds = {"audio": 0.0, "lyrics": 0.0}
    timed = {"audio": "encode_audio", "lyrics": "encode_text"}
    for side, name in timed.items():
        _time(model, name, seconds, side)
    found = explain(model, track, segments=1, units="line", n_samples=(16, 16), batch_size=8, device=device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    passes = {"audio": found.audio_passes, "lyrics": found.lyrics_passes}
    table = Table(title=f"AST + RoBERTa, {sum(p.numel() for p in model.parameters()) / 1e6:.0f} million parameters")
    for heading in ("what", "figure"):
        table.add_column(heading)
    table.add_row("design", found.design)
    for side, count in passes.items():
        table.add_row(f"seconds a pass, {side}", f"{seconds[side] / count:.2f}")
    table.add_row("peak memory of the process", f"{peak:.2f} GiB")
    Console(width=110).print(table)
    each = {side: round(seconds[side] / count, 3) for side, count in passes.items()}
    print(json.dumps({"peak_gib": round(peak, 2), "seconds_a_pass": each}))


def _time(model: AstRoberta, name: str, seconds: dict[str, float], side: str) -> None:
    """Add a method's time up under a side's name."""
    whole = getattr(model, name)

    def call(batch: object) -> torch.Tensor:
        started = time.perf_counter()
        result: torch.Tensor = whole(batch)
        if result.device.type == "cuda":
            torch.cuda.synchronize(result.device)
        seconds[side] += time.perf_counter() - started
        return result

    setattr(model, name, call)


if __name__ == "__main__":
    main()
