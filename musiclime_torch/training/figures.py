"""A monitor's readings during training, as curves over steps."""

from collections.abc import Sequence

from matplotlib.axes import Axes

from musiclime_torch.basics.errors import InputError
from musiclime_torch.training.monitor import Reading
from musiclime_torch.views.drawing import BOTH, FURTHER, NOT_SIGNIFICANT, READ, add_legend, escape, finishing, make_axes

#: Curves besides the stems', with line styles that are distinct without colours too.
_CURVES = {
    "lyrics_share": ("lyrics' share", "-", READ),
    "fidelity": ("fidelity", "--", BOTH),
    "correlation": ("correlation with the last look", "-.", FURTHER[-1]),
    "random_correlation": ("correlation with shuffled weights", ":", NOT_SIGNIFICANT),
}


@finishing
def plot_readings(readings: Sequence[Reading], stems: bool = True, ax: Axes | None = None) -> Axes:
    """Shares, fidelity and correlations by step; with `stems` the sound's share by stem too. InputError without readings."""
    if not readings:
        raise InputError("there are no readings to draw: the monitor has not run yet.", argument="readings")
    ax = make_axes(ax, (7, 4))
    steps, scalars = [reading.step for reading in readings], [reading.scalars() for reading in readings]
    curves = dict(_CURVES)
    if stems:
        names = dict.fromkeys(name for reading in readings for name in reading.stem_shares)
        curves |= {
            f"stem_share/{name}": (f"{escape(name)}, of the sound", "-", FURTHER[place % len(FURTHER)])
            for place, name in enumerate(names)
        }
    for name, (label, style, colour) in curves.items():
        values = [reading.get(name, float("nan")) for reading in scalars]
        if any(value == value for value in values):
            thin = name.startswith("stem_share/")
            ax.plot(steps, values, style, color=colour, marker=".", label=label, linewidth=0.9 if thin else 1.8)
    ax.set_xlabel("training step")
    ax.set_ylabel("share, R² or rank correlation")
    ax.axhline(0, color="black", linewidth=0.6)
    add_legend(ax)
    return ax
