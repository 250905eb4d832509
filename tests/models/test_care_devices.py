"""Encoders in bfloat16: heads and solves don't notice, and what it changes is told."""

import pytest
import torch
from models import RATE, Late
from tiny_hub import save_ast, save_roberta

from musiclime_torch.commands.models import load_model
from musiclime_torch.explanation.explainer import explain
from musiclime_torch.models.ast_roberta import PAPER_PREPARATION, build_ast_roberta
from musiclime_torch.models.care import encoding, in_float32, is_compiled, widen
from musiclime_torch.song.lyrics.lyrics import parse_lyrics
from musiclime_torch.song.track import Track
from musiclime_torch.surrogate.signed import rounds_products


@pytest.fixture
def track() -> Track:
    generator = torch.Generator().manual_seed(0)
    return Track(torch.randn(2, 1, RATE, generator=generator) / 4, ("a", "b"), RATE, parse_lyrics("love is\nmy love"))


class Watched(Late):
    """Encodes by matrix products, which autocast knows, and tells what its head was given."""

    def __init__(self) -> None:
        super().__init__()
        self.heads: set[torch.dtype] = set()
        self.encodings: set[torch.dtype] = set()
        self.mixing = torch.randn(8, 3, generator=torch.Generator().manual_seed(1))

    def encode_audio(self, audio):
        found = audio[:, 0, : audio.shape[2] // 8 * 8].unflatten(1, (8, -1)).square().mean(2) @ self.mixing
        self.encodings.add(found.dtype)
        return found

    def fuse(self, audio, text):
        self.heads |= {audio.dtype}
        return audio.repeat(1, 3)[:, :3] * (1 + text.float().flatten(1).sum(1, keepdim=True))

    def __call__(self, audio, text):
        return self.fuse(self.encode_audio(audio), self.encode_text(text))


@pytest.mark.parametrize("design", ["crossed", "joint"])
def test_heads_are_given_float32_and_the_difference_is_told(track: Track, design: str):
    found = {}
    for precision in ("float32", "bfloat16"):
        model = Watched()
        size = (32, 16) if design == "crossed" else 64
        found[precision] = explain(model, track, segments=4, design=design, n_samples=size, precision=precision)
        assert model.heads == {torch.float32}
        assert (torch.bfloat16 in model.encodings) == (precision == "bfloat16")
    low, full = found["bfloat16"], found["float32"]
    assert low.provenance["settings"]["precision"] == "bfloat16"
    assert not torch.equal(low.attributions, full.attributions)
    assert torch.allclose(low.attributions, full.attributions, atol=0.02 * float(full.attributions.abs().max()))
    (note,) = [text for text in low.warnings if "bfloat16" in text]
    moved = (low.output_song - full.output_song).abs().max().item()
    assert f"by up to {max(moved, (low.output_empty - full.output_empty).abs().max().item()):.2g}," in note
    assert not any("bfloat16" in text for text in full.warnings)


def test_a_model_without_a_head_apart_stays_in_float32(track: Track):
    def loudness(audio: torch.Tensor) -> torch.Tensor:
        blocks = audio[:, 0].unflatten(1, (8, -1)).square().mean(2)
        return blocks @ torch.eye(8)[:, :2]

    settings = {"sample_rate": RATE, "modalities": ("audio",), "n_samples": 32, "segments": 4}
    low = explain(loudness, track, precision="bfloat16", **settings)
    assert torch.equal(low.attributions, explain(loudness, track, **settings).attributions)
    assert any("all of it ran in float32" in text for text in low.warnings)


def test_the_papers_model_runs_its_encoders_low(track: Track, tmp_path):
    built = build_ast_roberta(("x", "y"), save_ast(tmp_path / "a"), save_roberta(tmp_path / "r"), PAPER_PREPARATION)
    found = [explain(built, track, segments=2, n_samples=(16, 16), precision=p) for p in ("bfloat16", "float32")]
    assert 0 < (found[0].output_song - found[1].output_song).abs().max().item() < 0.05


def test_spectra_are_taken_in_float32():
    model = load_model("demo", "cpu")
    audio = torch.randn(1, 1, 16000, generator=torch.Generator().manual_seed(0))
    plain = model._spectrogram(audio)
    with encoding("bfloat16", torch.device("cpu")):
        assert torch.equal(model._spectrogram(audio), plain)
        with in_float32(torch.device("cpu")):
            assert torch.mm(audio[0, :, :4].T, audio[0, :, :4]).dtype == torch.float32
    assert widen(plain.bfloat16()).dtype == torch.float32
    assert widen(plain.double()).dtype == torch.float64


def test_other_precisions_are_refused(track: Track):
    # Where types are checked as in these tests, that check speaks first.
    with pytest.raises(Exception, match=r"precision 'float16' is not known|float16"):
        explain(Late(), track, precision="float16")


@pytest.mark.parametrize("precision", ["high", "medium"])
def test_what_rounded_products_change_is_told_as_for_bfloat16(track: Track, monkeypatch, precision: str):
    """On a GPU "high" rounds to TensorFloat-32. A CPU need not round at all: here a model stands in that does."""

    class Rounded(Watched):
        def encode_audio(self, audio):
            found = super().encode_audio(audio)
            return found.bfloat16().float() if rounds_products() else found

    plain = explain(Rounded(), track, segments=4, n_samples=(32, 16))
    torch.set_float32_matmul_precision(precision)
    try:
        low = explain(Rounded(), track, segments=4, n_samples=(32, 16))
    finally:
        torch.set_float32_matmul_precision("highest")
    (note,) = [text for text in low.warnings if "change the outputs" in text]
    assert note.startswith("products rounded to TensorFloat-32 or bfloat16, as torch is set, change the outputs by up to ")
    ends = [(getattr(low, end) - getattr(plain, end)).abs().max().item() for end in ("output_song", "output_empty")]
    assert f"by up to {max(ends):.2g}," in note
    assert not any("change the outputs" in text for text in plain.warnings)


def test_a_module_knows_whether_a_part_of_it_is_compiled():
    model = torch.nn.Sequential(torch.nn.Linear(2, 2))
    assert not is_compiled(model)
    model[0].compile(backend="eager")
    assert is_compiled(model)
    assert is_compiled(torch.compile(lambda x: x, backend="eager"))
    assert not is_compiled(None)
