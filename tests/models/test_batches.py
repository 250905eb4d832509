"""Running out of memory, simulated: batches are halved, what fits is remembered, and the numbers stay the same."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from models import Additive, Late

from musiclime_torch import MusicLIME, explain
from musiclime_torch.basics.errors import InputError
from musiclime_torch.captum import KernelShap, Lime
from musiclime_torch.corpus.runs.sharing import SharedModel
from musiclime_torch.models.batches import Room, count_flops, in_batches, ran_out
from musiclime_torch.song.track import Track

SHORTAGES = {
    "cuda": lambda: torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB."),
    "cpu": lambda: RuntimeError(
        "[enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: can't allocate memory: you tried"
    ),
    "python": lambda: MemoryError(),
    "cublas": lambda: RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"),
}


class Cramped(Late):
    """A late-fusion model one of whose parts takes no more than so many rows; it notes how many it was given."""

    def __init__(self, part: str, most: int, shortage: Callable[[], Exception]) -> None:
        super().__init__()
        self.part, self.most, self.shortage = part, most, shortage
        self.asked: list[int] = []

    def _fit(self, part: str, rows: int) -> None:
        if part == self.part:
            self.asked.append(rows)
            if rows > self.most:
                raise self.shortage()

    def encode_audio(self, audio: torch.Tensor) -> torch.Tensor:
        self._fit("encode_audio", len(audio))
        return super().encode_audio(audio)

    def encode_text(self, text: Any) -> torch.Tensor:
        self._fit("encode_text", len(text.embeddings))
        return super().encode_text(text)

    def fuse(self, heard: torch.Tensor, read: torch.Tensor) -> torch.Tensor:
        self._fit("fuse", len(heard))
        return super().fuse(heard, read)

    def forward(self, audio: torch.Tensor, text: Any) -> torch.Tensor:
        self._fit("forward", len(audio))
        return Late.fuse(self, Late.encode_audio(self, audio), Late.encode_text(self, text))


class Blockwise(Cramped):
    """The same with every pair at once."""

    def fuse_pairs(self, heard: torch.Tensor, read: torch.Tensor) -> torch.Tensor:
        self._fit("fuse_pairs", len(heard) * len(read))
        pairs = (heard.repeat_interleave(len(read), 0), read.repeat(len(heard), 1))
        return Late.fuse(self, *pairs).unflatten(0, (len(heard), len(read)))


def assert_same(one: Any, other: Any) -> None:
    for name in ("attributions", "standard_errors", "intercept", "fidelity", "output_song", "output_empty"):
        torch.testing.assert_close(getattr(one, name), getattr(other, name), rtol=1e-5, atol=1e-5)
    if one.interactions is not None:
        torch.testing.assert_close(one.interactions.values, other.interactions.values, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shortage", SHORTAGES)
@pytest.mark.parametrize("most", [1, 5, 31])
def test_a_model_as_a_whole(track: Track, shortage: str, most: int):
    options = {"segments": 2, "n_samples": 96, "design": "joint", "batch_size": 64}
    model = Cramped("forward", most, SHORTAGES[shortage])
    found, plain = explain(model, track, **options), explain(Late(), track, **options)
    assert_same(found, plain)
    # Halved from the 64 asked for down to what fits, never to be tried again. The first two rows are the ends.
    tried = [rows for rows in model.asked if rows > most]
    assert tried == sorted(tried, reverse=True)
    assert len(tried) == len(set(tried)) <= 7
    said = [warning for warning in found.warnings if "memory ran out" in warning]
    assert len(said) == 1
    assert "batch_size" in said[0]
    assert not any("memory" in warning for warning in plain.warnings)


@pytest.mark.parametrize(
    ("kind", "part", "most"),
    [
        (Cramped, "encode_audio", 3),
        (Cramped, "encode_text", 1),
        (Cramped, "fuse", 1),
        (Cramped, "fuse", 100),
        (Blockwise, "fuse_pairs", 200),
        (Blockwise, "fuse_pairs", 9),
    ],
)
def test_parts_of_a_late_fusion_model(track: Track, kind: type[Cramped], part: str, most: int):
    options = {"segments": 2, "n_samples": 64, "batch_size": 16}
    model = kind(part, most, SHORTAGES["cuda"])
    found = explain(model, track, **options)
    assert found.design.startswith("crossed")
    assert_same(found, explain(kind("none", 0, SHORTAGES["cuda"]), track, **options))
    tried = [rows for rows in model.asked if rows > most]
    # Sounds are halved, and each may come with more lyrics than the last ones.
    assert 1 <= len(tried) <= len(set(tried)) + 2
    assert part in next(warning for warning in found.warnings if "memory ran out" in warning)


@pytest.mark.parametrize(
    ("kind", "part"),
    [
        (Cramped, "forward"),
        (Cramped, "encode_audio"),
        (Cramped, "encode_text"),
        (Cramped, "fuse"),
        (Blockwise, "fuse_pairs"),
    ],
)
def test_what_does_not_fit_even_alone_is_one_sentence(track: Track, kind: type[Cramped], part: str):
    design = "joint" if part == "forward" else "crossed"
    with pytest.raises(InputError, match="not one variant fits into memory") as caught:
        explain(kind(part, 0, SHORTAGES["cpu"]), track, segments=2, n_samples=64, design=design)
    assert "\n" not in str(caught.value)


def test_rendering_that_does_not_fit(track: Track, monkeypatch: pytest.MonkeyPatch):
    from musiclime_torch.variants import asking as evaluation

    mix, most = evaluation.mix, 4

    def mix_a_few(window: Any, masks: torch.Tensor) -> torch.Tensor:
        if len(masks) > most:
            raise SHORTAGES["cpu"]()
        return mix(window, masks)

    plain = explain(Additive(), track, segments=2, n_samples=64)
    monkeypatch.setattr(evaluation, "mix", mix_a_few)
    assert_same(explain(Additive(), track, segments=2, n_samples=64), plain)
    most = 0
    with pytest.raises(InputError, match="not one variant fits into memory"):
        explain(Additive(), track, segments=2, n_samples=64)


def test_other_errors_are_not_tried_again(track: Track):
    model = Cramped("forward", 1, lambda: RuntimeError("shapes cannot be multiplied"))
    with pytest.raises(InputError, match="cannot be multiplied"):
        explain(model, track, segments=2, n_samples=64, design="joint")
    assert len(model.asked) == 1


def test_songs_that_share_batches_share_smaller_ones(track: Track):
    model = Cramped("forward", 5, SHORTAGES["cuda"])
    shared = SharedModel(model, 64)
    options = {"segments": 2, "n_samples": 32, "design": "joint", "batch_size": 8}
    calls = [lambda seed=seed: explain(shared, track, seed=seed, **options) for seed in range(3)]
    for seed, found in enumerate(shared.run_together(calls)):
        assert_same(found, explain(Late(), track, seed=seed, **options))
    # Their ends, six rows, are tried together once; what three songs of four rows would make is not tried any more.
    assert sum(rows == 6 for rows in model.asked) == 1
    assert max(model.asked) == 8


@pytest.mark.parametrize("method", [MusicLIME, Lime, KernelShap])
def test_captum_drop_ins(method: Any):
    asked: list[int] = []

    def forward(x: torch.Tensor) -> torch.Tensor:
        asked.append(len(x))
        if len(x) > 3:
            raise SHORTAGES["cuda"]()
        return torch.stack([x.square().sum(1), x.prod(1)], 1)

    x = torch.linspace(0.5, 1.5, 12).reshape(2, 6)
    options = {"target": 0, "n_samples": 60}
    many = method(forward).attribute(x, perturbations_per_eval=32, **options)
    tried = [rows for rows in asked if rows > 3]
    assert 1 <= len(tried) <= 5
    torch.testing.assert_close(many, method(forward).attribute(x, perturbations_per_eval=3, **options), rtol=1e-5, atol=1e-5)


def test_a_lack_is_told_from_other_errors():
    assert all(ran_out(make()) for make in SHORTAGES.values())
    assert not any(ran_out(error) for error in (RuntimeError("no"), ValueError("out of memory of it"), KeyError()))
    room = Room()
    with pytest.raises(MemoryError):
        list(in_batches(room, "rows", 8, 8, lambda rows: (_ for _ in ()).throw(MemoryError())))
    assert room.sizes == {"rows": 1}


def test_operations_are_counted():
    result, flops = count_flops(lambda: torch.ones(3, 4) @ torch.ones(4, 5))
    assert result.shape == (3, 5)
    assert flops == 2 * 3 * 4 * 5
    assert count_flops(lambda: 1)[1] == 1
