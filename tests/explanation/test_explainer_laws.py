"""Laws of a whole explanation over shapes, lengths, rates, numbers of components and dtypes of what the model returns."""

import pytest
import torch
from hypothesis import assume, given, settings, strategies as st

from musiclime_torch.explanation.explainer import explain
from musiclime_torch.song.lyrics.lyrics import parse_lyrics
from musiclime_torch.song.track import Track
from musiclime_torch.variants.components import SHORTEST_SEGMENT

#: Rounding of a model's own outputs, which no explanation can take back.
ROUNDING = {torch.float64: 1e-9, torch.float32: 1e-5, torch.bfloat16: 2e-2, torch.float16: 2e-3}


class Weighing:
    """Additive: the mean of each stem's constant sound adds up, and every word adds its length."""

    def __init__(self, rate: int, channels: int | None, dtype: torch.dtype) -> None:
        self.sample_rate, self.channels, self.dtype, self.output_kind = rate, channels, dtype, "regression"
        self.heard: set[tuple[int, int]] = set()

    def __call__(self, audio: torch.Tensor, text: list[str]) -> torch.Tensor:
        self.heard.add((audio.shape[1], audio.shape[2]))
        assert audio.dtype == torch.float32
        level = audio.double().mean((1, 2))
        words = torch.tensor([float(sum(map(len, line.split()))) for line in text], dtype=torch.float64) / 100
        return torch.stack([level + words, -2 * level, words], 1).to(self.dtype)


@settings(deadline=None, max_examples=30)
@given(
    stems=st.integers(1, 4),
    channels=st.integers(1, 2),
    wanted=st.sampled_from([None, 1, 2]),
    frames=st.integers(500, 9000),
    rates=st.tuples(*[st.sampled_from([4000, 8000, 11025, 22050])] * 2),
    segments=st.integers(1, 5),
    words=st.integers(1, 12),
    batch_size=st.integers(1, 70),
    dtype=st.sampled_from(list(ROUNDING)),
    design=st.sampled_from(["auto", "joint", "foldover", "unfolded", "bernoulli"]),
)
def test_an_additive_model_is_explained_exactly(
    stems: int,
    channels: int,
    wanted: int | None,
    frames: int,
    rates: tuple[int, int],
    segments: int,
    words: int,
    batch_size: int,
    dtype: torch.dtype,
    design: str,
):
    rate, hears = rates
    assume(frames / rate / segments >= 2 * SHORTEST_SEGMENT)
    levels = torch.linspace(0.1, 0.4, stems)
    sound = levels[:, None, None].expand(stems, channels, frames).contiguous()
    names = tuple(f"stem {number}" for number in range(stems))
    track = Track(sound, names, rate, parse_lyrics(" ".join("la" * (1 + number % 3) for number in range(words))))
    model = Weighing(hears, wanted, dtype)
    found = explain(model, track, segments=segments, n_samples=128, batch_size=batch_size, design=design, seed=words)
    d = stems * segments + words
    assert found.attributions.shape == (3, d)
    assert len(found.components) == d
    assert model.heard == {(wanted or channels, round(frames * hears / rate))}
    assert found.attributions.isfinite().all()
    assert (found.standard_errors >= 0).all()
    atol = 20 * ROUNDING[dtype]
    # A stem's components share its level by their lengths; fades and resampling move a little between neighbours.
    by_stem = found.attributions[1, : stems * segments].reshape(stems, segments).sum(1)
    assert torch.allclose(by_stem, -2 * levels.double(), atol=atol + 0.02)
    lengths = torch.tensor([2 * (1 + number % 3) / 100 for number in range(words)], dtype=torch.float64)
    assert torch.allclose(found.attributions[2, stems * segments :], lengths, atol=atol)
    assert torch.allclose(found.attributions[2, : stems * segments], torch.zeros(stems * segments).double(), atol=atol)
    assert torch.allclose(found.remainder, torch.zeros(3).double(), atol=d * atol)


@pytest.mark.parametrize("design", ["joint", "bernoulli"])
@given(batch_size=st.integers(1, 300))
@settings(deadline=None, max_examples=8)
def test_batch_size_changes_nothing(design: str, batch_size: int):
    track = Track(torch.rand(2, 1, 8000), ("a", "b"), 8000, parse_lyrics("hold me now"))
    model = Weighing(8000, None, torch.float64)
    one = explain(model, track, segments=2, n_samples=64, design=design, batch_size=64)
    other = explain(model, track, segments=2, n_samples=64, design=design, batch_size=batch_size)
    torch.testing.assert_close(one.attributions, other.attributions, rtol=1e-6, atol=1e-8)
