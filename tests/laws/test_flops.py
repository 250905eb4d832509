"""What an explanation costs in floating-point operations: N_a + N_t encoder passes, and nothing else of that size."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_hub import ast_config, make_tokenizer, roberta_config
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode
from transformers import ASTConfig, RobertaConfig

from musiclime_torch.basics.progress import Stages
from musiclime_torch.explanation.estimation.crossed import build_grid, encode_masks
from musiclime_torch.explanation.explainer import explain
from musiclime_torch.models.ast_roberta import AstRoberta
from musiclime_torch.models.contract import TokenBatch
from musiclime_torch.models.subject import describe_model
from musiclime_torch.models.tokens import Preparation
from musiclime_torch.song.track import Track
from musiclime_torch.surrogate.blocks import draw_foldover
from musiclime_torch.surrogate.crossed import solve_crossed
from musiclime_torch.surrogate.design import CrossedDesign
from musiclime_torch.surrogate.variance import split_variance
from musiclime_torch.variants.probe import Probe, Sources
from musiclime_torch.variants.scale import Scale
from musiclime_torch.variants.sound import gate_stems
from musiclime_torch.variants.words import TokenGates


def make_model(folder: Path, layers: int) -> AstRoberta:
    """Attention written out: fused attention isn't counted on a CPU."""
    torch.manual_seed(0)
    ear, eye = ast_config(attn_implementation="eager"), roberta_config(attn_implementation="eager")
    ear.num_hidden_layers = eye.num_hidden_layers = layers
    preparation = Preparation(lower_case=False, strip_punctuation=False, limit=24)
    return AstRoberta(ear, eye, make_tokenizer(folder), ("calm", "wild"), preparation).eval()


def count(call: Callable[[], object]) -> dict[str, int]:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        call()
    found = {name: sum(flops.values()) for name, flops in counter.get_flop_counts().items()}
    # Called by itself an encoder goes by its class, inside the whole model by its place.
    names = {
        "ear": ("ASTModel", "AstRoberta.audio_model"),
        "eye": ("RobertaModel", "AstRoberta.text_model"),
        "spectra": ("KaldiFbank", "AstRoberta.fbank"),
    }
    sides = {side: sum(found.get(name, 0) for name in alike) for side, alike in names.items()}
    return {**sides, "rest": found["Global"] - sum(sides.values())}


@pytest.mark.parametrize(
    ("n_samples", "masks"),
    [
        # Whole blocks of 16 masks as they were asked for.
        ((16, 32), (16, 32)),
        # What 48 joint masks would cost the encoders.
        (96, (48, 48)),
    ],
)
def test_the_encoders_run_once_a_mask_and_nothing_else_grows_with_them(track: Track, tmp_path: Path, n_samples, masks):
    track = replace(track, stems=track.stems[..., :8000])  # as much as the model hears at once: one window
    rest = []
    for layers in (1, 3):
        model = make_model(tmp_path / str(layers), layers)
        one = count(lambda model=model: model(torch.zeros(1, 1, 16000), model.embed_strings([track.lyrics.text])))
        explanation = None

        def run(model=model):
            nonlocal explanation
            explanation = explain(model, track, segments=2, design="crossed", n_samples=n_samples)

        found = count(run)
        # Each mask once, the song and the empty song.
        passes = (masks[0] + 2, masks[1] + 2)
        assert (explanation.audio_passes, explanation.lyrics_passes) == passes
        assert explanation.n_variants == masks[0] * masks[1]
        for side, times in (("ear", passes[0]), ("spectra", passes[0]), ("eye", passes[1])):
            assert one[side] > 0
            assert found[side] == times * one[side]
        rest.append(found["rest"])
    assert rest[0] == rest[1]


@pytest.mark.slow
def test_at_base_size_all_else_is_a_thousandth_of_the_encoders():
    """Spectra, head and solve, of some 500 masks a side, ten segments of four stems and a hundred words. Fake tensors are
    counted alike, and calculate nothing.
    """
    with FakeTensorMode(), torch.no_grad():
        model = AstRoberta(
            ASTConfig(attn_implementation="eager"),
            RobertaConfig(attn_implementation="eager"),
            None,
            tuple("abcdefghi"),
            Preparation(lower_case=False, strip_punctuation=False, limit=256),
        ).eval()
        assert model.audio_model.config.hidden_size == model.text_model.config.hidden_size == 768
        cuts = [model.max_seconds * cut / 10 for cut in range(11)]
        stems = torch.randn(4, 1, int(16000 * model.max_seconds))
        heard = gate_stems(stems, torch.zeros_like(stems), cuts, 16000, None)
        words = TokenGates(torch.randn(256, 768), torch.zeros(768), torch.arange(256) % 100, gone=True)
        subject = describe_model(model, sample_rate=None, classes=None, output_kind=None, modalities=None)
        sources = Sources(heard, 4, 10, words, "gone", {})
        probe = Probe(subject, sources, tuple(range(140)), 140, torch.device("cpu"), 256, Stages())
        design = CrossedDesign(draw_foldover(40, 512, 0), draw_foldover(100, 512, 1))

        def run() -> None:
            encodings = encode_masks(probe, design)
            for space in ("logit", "log-odds", "probability"):
                grid = build_grid(probe, encodings, Scale("logits", space, torch.zeros(9), model.classes, 0, None))
                solve_crossed(design, grid)
                split_variance(design, grid)

        text = TokenBatch(torch.randn(1, 256, 768), torch.ones(1, 256, dtype=torch.bool))
        one = count(lambda: model(torch.zeros(1, 1, stems.shape[2]), text))
        found = count(run)
    assert one["ear"] > 2e11
    assert one["eye"] > 4e10
    na, nt = design.audio.n_samples, design.lyrics.n_samples
    assert (found["ear"], found["eye"], found["spectra"]) == (na * one["ear"], nt * one["eye"], na * one["spectra"])
    assert 0 < found["rest"] + found["spectra"] < 1e-3 * (found["ear"] + found["eye"])
