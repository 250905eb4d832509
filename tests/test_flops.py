"""What an explanation costs in floating-point operations: N_a + N_t encoder passes, and nothing else of that size."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_hub import ast_config, make_tokenizer, roberta_config
from torch.utils.flop_counter import FlopCounterMode

from musiclime_torch.explainer import explain
from musiclime_torch.models.ast_roberta import AstRoberta
from musiclime_torch.models.preparation import Preparation
from musiclime_torch.track import Track


def make_model(folder: Path, layers: int) -> AstRoberta:
    """Attention written out: fused attention isn't counted on a CPU."""
    torch.manual_seed(0)
    ear, eye = ast_config(attn_implementation="eager"), roberta_config(attn_implementation="eager")
    ear.num_hidden_layers = eye.num_hidden_layers = layers
    preparation = Preparation(lower_case=False, strip_punctuation=False, limit=24)
    return AstRoberta(ear, eye, make_tokenizer(folder), ("calm", "wild"), preparation).eval()


def count(call) -> dict[str, int]:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        call()
    found = {name: sum(flops.values()) for name, flops in counter.get_flop_counts().items()}
    # Called by itself an encoder goes by its class, inside the whole model by its place.
    names = {"ear": ("ASTModel", "AstRoberta.audio_model"), "eye": ("RobertaModel", "AstRoberta.text_model")}
    sides = {side: sum(found.get(name, 0) for name in alike) for side, alike in names.items()}
    return {**sides, "all": found["Global"]}


@pytest.mark.parametrize(("n_samples", "depths"), [((16, 32), (1, 3)), (96, (1,))])
def test_the_encoders_run_once_a_mask_and_nothing_else_grows_with_them(track: Track, tmp_path: Path, n_samples, depths):
    track = replace(track, stems=track.stems[..., :8000])  # as much as the model hears at once: one window
    rest = []
    for layers in depths:
        model = make_model(tmp_path / str(layers), layers)
        ear = count(lambda model=model: model.encode_audio(torch.zeros(1, 1, 16000)))["ear"]
        explanation = None

        def run(model=model):
            nonlocal explanation
            explanation = explain(model, track, segments=2, design="crossed", n_samples=n_samples)

        found = count(run)
        eye = count(lambda model=model: model.encode_text(model.embed_strings([track.lyrics.text])))["eye"]
        assert ear > 0
        assert eye > 0
        assert found["ear"] == explanation.audio_passes * ear
        assert found["eye"] == explanation.lyrics_passes * eye
        rest.append((explanation.audio_passes, explanation.lyrics_passes, found["all"] - found["ear"] - found["eye"]))
    assert len(set(rest)) == 1
