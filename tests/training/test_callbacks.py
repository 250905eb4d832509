"""A monitor watches a training run without changing it."""

from dataclasses import replace

import torch
from taggers import SHORT, make_songs, make_tagger

from musiclime_torch.demo.bundle import load_demo_track
from musiclime_torch.training.callbacks import make_trainer_callback
from musiclime_torch.training.fitting import fit
from musiclime_torch.training.monitor import Monitor


def test_a_monitor_watches_a_run(entries, tmp_path):
    torch.set_num_threads(1)
    probe = load_demo_track()
    monitor = Monitor([probe], every=2, options={"n_samples": 32, "segments": 2, "units": "line"})
    recipe, watched, plain = replace(SHORT, epochs=1, save_every=None), [], []
    for folder, callbacks, kept in (("a", (make_trainer_callback(monitor),), watched), ("b", (), plain)):
        model = make_tagger()
        fit(model, make_songs(entries, model), None, recipe, tmp_path / folder, callbacks=callbacks)
        kept.append(model.state_dict())
    assert [reading.step for reading in monitor.readings] == [2]
    assert all(torch.equal(watched[0][name], plain[0][name]) for name in plain[0])
