"""Training with a monitor in it is training without one, bit by bit; and the monitor sees what there is to see."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from monitored import OPTIONS, Learner
from torch import nn
from warm import start_warm

from musiclime_torch.basics.errors import InputError
from musiclime_torch.song.track import Track
from musiclime_torch.surrogate.intervals import rank_correlation
from musiclime_torch.training.callbacks import make_lightning_callback, make_trainer_callback
from musiclime_torch.training.monitor import Monitor, Reading, add_scalars


def train(monitor: Monitor | None, steps: int, compiled: bool = False) -> tuple[list[float], nn.Module]:
    torch.manual_seed(0)
    model = Learner()
    called = torch.compile(model, backend="eager") if compiled else model
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    losses = []
    for step in range(steps):
        audio, ids = torch.randn(8, 1, 4000), torch.randint(28, (8, 5))
        loss = nn.functional.cross_entropy(called(audio, ids), ids[:, 0] % 2)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        if monitor is not None:
            monitor.step(called, step)
    return losses, model


@pytest.mark.parametrize("compiled", [False, True])
def test_training_is_bit_identical(track: Track, compiled: bool):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        plain, alone = train(None, 100, compiled)
        monitor = Monitor([track], every=20, options=OPTIONS)
        watched, model = train(monitor, 100, compiled)
    finally:
        torch.set_num_threads(threads)
    assert len(monitor.readings) == 5
    assert watched == plain
    ours, theirs = model.state_dict(), alone.state_dict()
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())
    assert model.training
    assert all(part.training for part in model.modules())


def test_readings_say_what_the_model_listens_to(track: Track):
    deaf = Learner()
    with torch.no_grad():
        deaf.head.weight[:, :6] = 0
        deaf.table.weight[:, 0] = torch.arange(32) / 8
    seen: list[Reading] = []
    monitor = Monitor([track, track], every=3, options=OPTIONS, log=seen.append)
    assert monitor.step(deaf, 1) is None
    first, second = monitor.step(deaf, 3), monitor.step(deaf, 6)
    assert first is not None
    assert second is not None
    assert seen == monitor.readings == [first, second]
    assert first.lyrics_share == pytest.approx(1, abs=1e-6)
    assert first.correlation is None
    assert second.correlation == 1
    assert second.random_correlation < 0.95
    assert first.silence == pytest.approx(1, rel=0.05)  # it never heard anything anyway
    assert first.fidelity > 0.9
    with torch.no_grad():
        deaf.head.weight[:, :6] = 5
        deaf.head.weight[:, 6:] = 0
    third = monitor.step(deaf, 9)
    assert third is not None
    assert third.lyrics_share == pytest.approx(0, abs=1e-6)
    assert sum(third.stem_shares.values()) == pytest.approx(1)
    assert set(third.stem_shares) == {"drums", "vocals"}


def test_limits_warn_or_stop(track: Track):
    model = Learner()
    limits = {"lyrics_share": (2.0, 3.0), "fidelity": (0.0, 1.0)}
    with pytest.warns(UserWarning, match=r"step 0: lyrics_share is .*, outside 2 to 3"):
        Monitor([track], every=1, options=OPTIONS, limits=limits).step(model, 0)
    with pytest.raises(InputError, match="lyrics_share"):
        Monitor([track], every=1, options=OPTIONS, limits=limits, stop=True).step(model, 0)
    for wrong, message in (
        ({"tracks": [], "every": 1}, "needs songs"),
        ({"tracks": [track], "every": 0}, "every must be at least 1, got 0"),
    ):
        with pytest.raises(InputError, match=message):
            Monitor(**wrong)


def decide(text: list[str]) -> torch.Tensor:
    return torch.tensor([[1.0 * ("love" in line.split()), 0.5 * ("me" in line.split())] for line in text])


class Weightless(nn.Module):
    """A module without a parameter."""

    def forward(self, text: list[str]) -> torch.Tensor:
        return decide(text)


@pytest.mark.parametrize("bare", [False, True])
def test_a_model_without_weights_in_reach_has_none_to_shuffle(track: Track, bare: bool):
    model: Callable[..., torch.Tensor] = (lambda text: decide(text)) if bare else Weightless()
    options = {"n_samples": 64, "modalities": ("lyrics",)}
    monitor = Monitor([track], every=1, options=options, limits={"random_correlation": (-0.9, 0.9)}, stop=True)
    for step in range(2):
        reading = monitor.step(model, step)
        assert reading is not None
        assert reading.random_correlation is None
        assert "random_correlation" not in reading.scalars()
    assert monitor.readings[1].correlation == 1


def test_what_was_shuffled_is_the_model_of_the_first_look(track: Track):
    torch.manual_seed(0)
    model, monitor = Learner(), Monitor([track], every=1, options=OPTIONS)
    assert monitor.step(model, 0) is not None
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(parameter.numel())))
    second, anew = monitor.step(model, 1), Monitor([track], every=1, options=OPTIONS).step(model, 1)
    assert second is not None
    assert anew is not None
    assert second.random_correlation != anew.random_correlation


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"lyric_share": (0.1, 0.9)}, "no reading has a number 'lyric_share': give limits of lyrics_share, fidelity, "),
        ({"step": (0, 9)}, "no reading has a number 'step'"),
        ({"stem_shares": (0, 1)}, "no reading has a number 'stem_shares'"),
        ({"stem_share/vocal": (0, 1)}, "'stem_share/vocal': .* stem_share/drums, stem_share/vocals"),
        ({"fidelity": (0.9, 0.1)}, "the limits of fidelity are 0.9 and 0.1"),
        ({"fidelity": (float("nan"), 1)}, "the limits of fidelity are nan and 1"),
    ],
)
def test_limits_that_would_never_hold_or_never_break_are_refused(track: Track, limits, message: str):
    with pytest.raises(InputError, match=message):
        Monitor([track], limits=limits)


def test_every_number_of_a_reading_may_be_limited(track: Track):
    wide = (float("-inf"), float("inf"))
    probe = Monitor([track], every=1, options=OPTIONS)
    names = [one.scalars() for one in (probe.step(Learner(), 0), probe.step(Learner(), 1)) if one is not None][1]
    limited = {name: (2e9, 3e9) if name == "stem_share/drums" else wide for name in names}
    with pytest.raises(InputError, match="step 4: stem_share/drums is"):
        Monitor([track], every=1, options=OPTIONS, limits=limited, stop=True).step(Learner(), 4)


def test_scalars_reach_tensorboards_writer(track: Track):
    class Writer:
        said: list[tuple[str, float, int]] = []  # noqa: RUF012

        def add_scalar(self, name: str, value: float, step: int) -> None:
            self.said.append((name, value, step))

    reading = Monitor([track], every=1, options=OPTIONS, log=add_scalars(Writer())).step(Learner(), 7)
    assert reading is not None
    assert ("explanation/fidelity", reading.fidelity, 7) in Writer.said
    assert {name for name, _, _ in Writer.said} >= {"explanation/lyrics_share", "explanation/stem_share/drums"}


def test_rank_correlation_is_spearmans():
    from scipy.stats import spearmanr

    one, other = torch.randn(2, 30, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert rank_correlation(one, other) == pytest.approx(spearmanr(one, other).statistic)
    assert rank_correlation(one, -one) == -1


class Wrapped(nn.Module):
    """What a trainer trains: it gives a loss."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = Learner()

    def forward(self, audio: torch.Tensor, ids: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        logits = self.inner(audio, ids)
        return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}


class Watching(Monitor):
    def step(self, model, step):
        return super().step(model.inner, step)


def examples(count: int) -> list[dict[str, torch.Tensor]]:
    generator = torch.Generator().manual_seed(1)
    draw = lambda: torch.randint(28, (5,), generator=generator)  # noqa: E731
    ids = [draw() for _ in range(count)]
    return [{"audio": torch.randn(1, 2000, generator=generator), "ids": row, "labels": row[0] % 2} for row in ids]


@pytest.mark.slow
def test_inside_the_trainer_of_transformers(track: Track, tmp_path: Path):
    from transformers import Trainer, TrainingArguments

    monitor = Watching([track], every=2, options=OPTIONS)
    arguments = TrainingArguments(
        output_dir=str(tmp_path), max_steps=4, per_device_train_batch_size=4, report_to=[], use_cpu=True, disable_tqdm=True
    )
    trainer = Trainer(Wrapped(), arguments, train_dataset=examples(16), callbacks=[make_trainer_callback(monitor)])
    trainer.train()
    assert [reading.step for reading in monitor.readings] == [2, 4]
    assert [entry["step"] for entry in trainer.state.log_history if "explanation/fidelity" in entry] == [2, 4]


@pytest.mark.slow
def test_inside_lightning(track: Track, tmp_path: Path):
    import lightning.pytorch as lightning

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Learner()

        def training_step(self, batch, _):
            return nn.functional.cross_entropy(self.inner(batch["audio"], batch["ids"]), batch["labels"])

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1)

    monitor = Watching([track], every=2, options=OPTIONS)
    trainer = lightning.Trainer(
        max_steps=4, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, default_root_dir=tmp_path, callbacks=[make_lightning_callback(monitor)],
    )  # fmt: skip
    trainer.fit(Module(), torch.utils.data.DataLoader(examples(16), batch_size=4))
    assert [reading.step for reading in monitor.readings] == [2, 4]


#: What each of two ranks runs, in the folder where it leaves how many readings it has.
RANK = f"""
import os
import pathlib
import sys
sys.path.insert(0, {str(Path(__file__).parents[1] / "support")!r})
import torch
import torch.distributed as dist
from monitored import OPTIONS, Learner
from musiclime_torch import Track
from musiclime_torch.song.lyrics.lyrics import parse_lyrics
from musiclime_torch.training.monitor import Monitor
torch.set_num_threads(1)
dist.init_process_group("gloo", init_method=pathlib.Path("meeting").absolute().as_uri(),
                        rank=int(os.environ["RANK"]), world_size=int(os.environ["WORLD_SIZE"]))
rank = dist.get_rank()
torch.manual_seed(0)
model = torch.nn.parallel.DistributedDataParallel(Learner())
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
track = Track(torch.randn(2, 1, 8000), ("a", "b"), 8000, parse_lyrics("hold me now"))
monitor = Monitor([track], every=2, options=OPTIONS)
torch.manual_seed(rank)
for step in range(4):
    ids = torch.randint(28, (4, 5))
    loss = torch.nn.functional.cross_entropy(model(torch.randn(4, 1, 2000), ids), ids[:, 0] % 2)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    monitor.step(model, step)
weights = torch.cat([p.detach().flatten() for p in model.parameters()])
others = [torch.zeros_like(weights) for _ in range(2)]
dist.all_gather(others, weights)
assert torch.equal(*others)
pathlib.Path(f"readings{{rank}}").write_text(str(len(monitor.readings)))
dist.destroy_process_group()
# A rank has been seen to abort between here and its end, where Gloo's threads go on though all its work is done.
os._exit(0)
"""


@pytest.mark.slow
def test_the_first_rank_explains_and_the_others_go_on(tmp_path: Path):
    """The ranks are told who they are as torchrun tells them, which `musiclime train` is launched by in its own tests."""
    ranks = [start_warm([], tmp_path, RANK, RANK=str(rank), WORLD_SIZE="2") for rank in range(2)]
    for done in [rank.wait(300) for rank in ranks]:
        assert done.returncode == 0, done.stderr
    assert [(tmp_path / f"readings{rank}").read_text() for rank in range(2)] == ["2", "0"]


def test_a_reading_prints_as_one_line_that_people_read():
    reading = Reading(500, 0.25, {"drums": 0.8, "vocals": 0.2}, 0.934, 0.5, None, 0.1, 2.04)
    line = "step 500: drums 60%, lyrics 25%, vocals 15%; fidelity 0.93; correlation with the last reading 0.50; "
    assert str(reading) == line + "silence 0.10 (2.0 s)"
    assert (
        str(Reading(0, None, {}, 1.0, None, 0.2, None, 1.0)) == "step 0: fidelity 1.00; with shuffled weights 0.20 (1.0 s)"
    )
