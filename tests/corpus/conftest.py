"""Generated songs for runs over a catalogue, and a comparison of two runs."""

import pytest
from catalogues import LONG
from generated import entries as entries, manifest as manifest

from musiclime_torch.corpus.findings.comparing import Alone, Comparison, Move, Shift


@pytest.fixture
def odd() -> Comparison:
    """Names of a catalogue that somebody means ill with."""
    shifts = (
        Shift("[red]sad", "lyrics", LONG, 12, 0.5, 2.5, 0.1, 0.25, ("[/b] 1", "2")),
        Shift("[red]sad", "audio", "drums 0", 12, 1.0, 0.5, 0.0, 0.05, ("3",)),
        Shift("$x_1$ of a class with a name", "audio", "vocals [dry] 0", 10, -1.0, 0.5, 0.2, 0.5, ("4, 5",)),
    )
    moves = (Move("[red]sad", LONG, 1, ("[bold]x",)),)
    return Comparison(14, 0, Alone(0, 0, ()), Alone(1, 1, ("[i]y",)), moves, 0.5, 20, shifts)
