"""A training run's readings are drawn over its steps."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest

from musiclime_torch.basics.errors import InputError
from musiclime_torch.training.figures import plot_readings
from musiclime_torch.training.monitor import Reading

mpl.use("agg")


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def test_readings_are_curves_over_steps():
    readings = [
        Reading(step, 0.1 * place, {"drums": 0.7, "$bass$": 0.3}, 0.9, None if not place else 0.8, 0.2, None, 1.0)
        for place, step in enumerate((0, 500, 1000))
    ]
    ax = plot_readings(readings)
    lines = {line.get_label(): line for line in ax.lines if not line.get_label().startswith("_")}
    assert list(lines["lyrics' share"].get_xdata()) == [0, 500, 1000]
    assert list(lines["lyrics' share"].get_ydata()) == pytest.approx([0, 0.1, 0.2])
    assert np.isnan(lines["correlation with the last look"].get_ydata()[0])
    assert len(plot_readings(readings, stems=False).lines) == len(ax.lines) - 2
    with pytest.raises(InputError, match="has not run yet"):
        plot_readings([])
