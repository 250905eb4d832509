"""Exports by name, as the command line asks for them: each a file or more in one folder.

The sounds among them are the song, its evidence alone, and the song without it, matched in loudness.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import soundfile

from musiclime_torch.basics.errors import InputError
from musiclime_torch.basics.files import write_atomically, writing_atomically
from musiclime_torch.explanation.explanation import Explanation
from musiclime_torch.song.track import Track
from musiclime_torch.variants.sound import AudioBaseline
from musiclime_torch.views.exports.annotations import to_audacity, to_jams, to_sonic_visualiser
from musiclime_torch.views.exports.tables import to_csv, write_parquet
from musiclime_torch.views.page.mixes import make_versions
from musiclime_torch.views.page.sound import match_loudness

#: 24 bits: both formats have them, and no mix needs more.
SUBTYPE = "PCM_24"

_TEXTS: dict[str, tuple[str, Callable[[Explanation], str]]] = {
    "audacity": ("labels.txt", to_audacity),
    "sonic-visualiser": ("regions.csv", to_sonic_visualiser),
    "csv": ("attributions.csv", to_csv),
}


def write_mixes(
    explanation: Explanation, track: Track, out: str | Path, form: str = "wav", baseline: AudioBaseline | None = None
) -> list[Path]:
    """Write `song`, and `keeping` and `flipping` where they were found, at the song's rate; `form` is "wav" or "flac".

    All get the same loudness (BS.1770) by gain alone, so that none clips. `baseline` is needed where it was another song.

    Raises:
        InputError: another format, another track, or a folder that can't be written to.
    """
    if form not in ("wav", "flac"):
        raise InputError(f"form must be wav or flac, got {form!r}.", argument="form")
    versions = [version for version in make_versions(explanation, track, baseline) if version.sound is not None]
    gains = match_loudness([version.sound for version in versions if version.sound is not None], track.sample_rate)
    paths = []
    try:
        Path(out).mkdir(parents=True, exist_ok=True)
        for version, gain in zip(versions, gains, strict=True):
            assert version.sound is not None, "silent versions were left out"
            path = Path(out) / f"{version.name}.{form}"
            samples = (version.sound * 10 ** (gain / 20)).T.contiguous().numpy()
            with writing_atomically(path) as partial:
                soundfile.write(partial, samples, track.sample_rate, SUBTYPE, format=form.upper())
            paths.append(path)
    except (OSError, soundfile.LibsndfileError) as error:
        raise InputError(f"{str(out)!r} can't be written to ({error}): give another out folder.", argument="out") from error
    return paths


def write_exports(
    explanation: Explanation, track: Track, names: Sequence[str], out: Path, baseline: AudioBaseline | None
) -> None:
    """Write each of `names`, which the command line lists. InputError where an extra is missing or the disk is full."""
    for name in names:
        if name in _TEXTS:
            file, make = _TEXTS[name]
            write_atomically(make(explanation).encode(), out / file, "out")
        elif name == "jams":
            record = to_jams(explanation, track.seconds, offset=track.offset)
            write_atomically(record.dumps(indent=1).encode(), out / "explanation.jams", "out")
        elif name == "parquet":
            write_parquet(explanation, out / "attributions.parquet")
        else:
            write_mixes(explanation, track, out / "mixes", name, baseline)
