"""Exports by name, as the command line asks for them: each a file or more in one folder."""

from collections.abc import Callable, Sequence
from pathlib import Path

from musiclime_torch.basics.files import write_atomically
from musiclime_torch.explanation.explanation import Explanation
from musiclime_torch.song.track import Track
from musiclime_torch.variants.sound import AudioBaseline
from musiclime_torch.views.exports.jams import to_jams
from musiclime_torch.views.exports.labels import to_audacity, to_sonic_visualiser
from musiclime_torch.views.exports.mixes import write_mixes
from musiclime_torch.views.exports.tables import to_csv, write_parquet

_TEXTS: dict[str, tuple[str, Callable[[Explanation], str]]] = {
    "audacity": ("labels.txt", to_audacity),
    "sonic-visualiser": ("regions.csv", to_sonic_visualiser),
    "csv": ("attributions.csv", to_csv),
}


def write_exports(
    explanation: Explanation, track: Track, names: Sequence[str], out: Path, baseline: AudioBaseline | None
) -> None:
    """Each of `names`, of those that the command line lists. InputError where an extra is missing or the disk is full."""
    for name in names:
        if name in _TEXTS:
            file, make = _TEXTS[name]
            write_atomically(make(explanation).encode(), out / file, "out")
        elif name == "jams":
            write_atomically(to_jams(explanation, track.seconds).dumps(indent=1).encode(), out / "explanation.jams", "out")
        elif name == "parquet":
            write_parquet(explanation, out / "attributions.parquet")
        else:
            write_mixes(explanation, track, out / "mixes", name, baseline)
