"""Training runs resume after a kill, and end as runs that were not disturbed."""

import json
import time
from dataclasses import replace
from pathlib import Path
from threading import active_count

import pytest
import torch
from taggers import SHORT, Heads, make_songs, make_tagger
from transformers import TrainerCallback

from musiclime_torch.basics.errors import InputError
from musiclime_torch.basics.progress import Bar, open_bar
from musiclime_torch.training.fitting import CHECKPOINTS, Recipe, find_checkpoint, fit, group_parameters
from musiclime_torch.training.starting import seeded


class Kill(TrainerCallback):
    """What a scheduler does, at a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args, state, control, **_):
        if state.global_step == self.step:
            raise KeyboardInterrupt


def run_tagger(
    entries, folder: Path, recipe: Recipe, kill: int | None = None, valid: bool = True
) -> dict[str, torch.Tensor]:
    model = make_tagger()
    model.hearing.insert(4, torch.nn.Dropout(0.2))
    songs = make_songs(entries, model, separator="none")
    checked = make_songs(entries, model, "valid") if valid else None
    fit(model, songs, checked, recipe, folder, callbacks=() if kill is None else (Kill(kill),))
    return model.state_dict()


@pytest.mark.parametrize("valid", [True, False])
def test_a_killed_run_ends_as_one_that_was_not(entries, tmp_path, valid):
    torch.set_num_threads(1)
    recipe = replace(SHORT, patience=2)
    whole = run_tagger(entries, tmp_path / "whole", recipe, valid=valid)
    for kill in (3, 5):  # in the middle of an epoch, a step after a checkpoint, and again
        with pytest.raises(KeyboardInterrupt):
            run_tagger(entries, tmp_path / "killed", recipe, kill, valid=valid)
    last = find_checkpoint(tmp_path / "killed" / CHECKPOINTS)
    assert last is not None
    assert last.name == "checkpoint-4"
    resumed = run_tagger(entries, tmp_path / "killed", recipe, valid=valid)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    one, two = (json.loads((tmp_path / name / "finished.json").read_text()) for name in ("whole", "killed"))
    assert (one["steps"], one["best_macro_f1"]) == (two["steps"], two["best_macro_f1"])
    assert not (tmp_path / "killed" / CHECKPOINTS).exists()
    assert list((tmp_path / "killed" / "logs").glob("events*"))
    # And a run that is finished isn't run again.
    started = time.monotonic()
    again = run_tagger(entries, tmp_path / "killed", recipe, kill=1, valid=valid)
    assert all(torch.equal(again[name], whole[name]) for name in whole)
    assert time.monotonic() - started < 60


def test_a_checkpoint_cut_short_is_passed_over(entries, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run_tagger(entries, tmp_path, replace(SHORT, patience=None), 5)
    checkpoints = tmp_path / CHECKPOINTS
    state = checkpoints / "checkpoint-4" / "trainer_state.json"
    state.write_text(state.read_text()[:50])
    found = find_checkpoint(checkpoints)
    assert found is not None
    assert found.name == "checkpoint-2"
    assert find_checkpoint(tmp_path / "nothing") is None


def test_a_folder_holds_one_run(entries, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run_tagger(entries, tmp_path, SHORT, 3)
    with pytest.raises(InputError, match="holds a run with other settings"):
        run_tagger(entries, tmp_path, replace(SHORT, rate=1e-4))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"epochs": 0}, "epochs must be at least 1, got 0"),
        ({"rate": 2.0}, "rate must be between 0 and 1, got 2.0"),
        ({"precision": "int8"}, "int8"),
        ({"batch_size": 0}, "batch"),
    ],
)
def test_recipes_that_train_nothing_are_refused(entries, tmp_path, change, said):
    with pytest.raises(InputError, match=said):
        run_tagger(entries, tmp_path, replace(SHORT, **change))


def test_accumulated_batches_make_the_step_of_one_large_batch(entries, tmp_path):
    torch.set_num_threads(1)
    weights = []
    for name, more in (("one", {"batch_size": 6}), ("three", {"batch_size": 2, "accumulation": 3})):
        with seeded(3):
            model = Heads()
        recipe = Recipe(epochs=2, rate=1e-2, rates={}, patience=None, **more)
        fit(model, make_songs(entries, model), None, recipe, tmp_path / name)
        weights.append(torch.cat([part.flatten() for part in model.parameters()]))
    assert torch.allclose(weights[0], weights[1], atol=1e-5)


def test_workers_change_nothing(entries, tmp_path):
    torch.set_num_threads(1)
    one, two = (
        run_tagger(entries, tmp_path / str(workers), replace(SHORT, epochs=2, workers=workers), valid=False)
        for workers in (0, 2)
    )
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_bfloat16_trains_nearly_the_same(entries, tmp_path):
    weights = []
    for precision in ("float32", "bfloat16"):
        with seeded(3):
            model = Heads()
        recipe = Recipe(epochs=2, batch_size=6, rate=1e-2, rates={}, patience=None, precision=precision)
        fit(model, make_songs(entries, model), None, recipe, tmp_path / precision)
        assert model.seen == {torch.float32}
        weights.append(torch.cat([part.flatten() for part in model.parameters()]))
    assert 0 < (weights[0] - weights[1]).abs().max().item() < 0.05


def test_heads_learn_faster_than_encoders():
    groups = group_parameters(Heads(), Recipe())
    assert {group["lr"]: len(group["params"]) for group in groups} == {1e-5: 5, 1e-3: 2}


def test_every_epoch_has_every_song_once_in_an_order_of_its_own(entries, tmp_path):
    model = Heads()
    songs, asked = make_songs(entries, model), []

    class Watched:
        def __len__(self):
            return len(songs)

        def __getitem__(self, index):
            asked.append(index)
            return songs[index]

    fit(model, Watched(), None, replace(SHORT, epochs=3, save_every=None, patience=None), tmp_path)
    n = len(songs)
    epochs = [asked[start : start + n] for start in range(0, 3 * n, n)]
    assert [sorted(epoch) for epoch in epochs] == [list(range(number * n, (number + 1) * n)) for number in range(3)]
    assert len({tuple(index % n for index in epoch) for epoch in epochs}) == 3


def test_training_and_each_evaluation_have_a_bar_that_ends(entries, tmp_path, monkeypatch):
    opened: list[Bar] = []

    def note(*given, **more):
        opened.append(open_bar(*given, **more, piped=True))
        return opened[-1]

    monkeypatch.setattr("musiclime_torch.training.song_trainer.open_bar", note)
    before = active_count()
    run_tagger(entries, tmp_path / "run", SHORT)
    steps, *checks = opened
    assert (steps.desc, steps.n) == ("run", steps.total)
    assert checks
    assert {bar.desc for bar in checks} == {"run: validation songs"}
    assert all(bar.n == bar.total > 0 for bar in checks)
    assert active_count() <= before
