"""Does VibeNet hear in real songs what a musician would expect? Signs that were written down before they were measured.

Thirty seconds of each of ten songs are taken apart into harmonic and percussive sound, in five segments, and all seven
values are explained. SIGNS has what a stem is expected to do to a value, as VibeNet's description of its values says: drums
make a song more energetic, easier to dance to and less acoustic; what sustains makes it more acoustic. By chance each sign
would be right in half the songs. One explanation had been seen when they were written down, of the energy of `battle`.

What a stem does is measured in two ways, in the value's own unit (0 to 1): on average over what else sounds (the sum of its
five Banzhaf values), and last, as the difference between the whole song and the song without the stem. The second was added
when the first had been seen: on average half of everything is silent, which VibeNet was hardly trained on. Both are shown.

The songs are those of Debian's package wesnoth-1.16-music (free game music, 153 MB): the first ten by name that last a
minute or longer, from 0:15 to 0:45. `apt-get install wesnoth-1.16-music` puts them where they are looked for; `apt-get
download` and `dpkg-deb -x FILE.deb DIR` fetch them without being root. VibeNet: see docs/models.md. A smoke test takes the
embedded song.

    python -m benchmarks.accuracy.vibenet_signs [--smoke] [--songs FOLDER] [--separator hpss] [--device cpu|cuda]
"""

import argparse
import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean, median

import soundfile
from rich.console import Console
from rich.table import Table
from scipy.stats import binomtest

from musiclime_torch import Track, explain, load_model, load_track, predict
from musiclime_torch.demo import demo_song

#: Where Debian puts the songs.
FOLDER = Path("/usr/share/games/wesnoth/1.16/data/core/music")

#: Songs, the part of each, and the shortest song, in seconds.
SONGS, START, END, SHORTEST = 10, 15.0, 45.0, 60.0

#: Value, stem, and what the stem is expected to do to the value. Written down before the first run over the songs.
SIGNS = (
    ("energy", "drums", +1),
    ("danceability", "drums", +1),
    ("acousticness", "drums", -1),
    ("acousticness", "rest", +1),
)

#: What counts as drums, by separator; all other stems are the rest.
DRUMS = ("drums", "percussive")

SEGMENTS, N_SAMPLES = 5, 256


#: Ways of measuring what a stem does.
WAYS = ("on average", "last")

#: A value, a side ("drums" or "rest"), and a way.
Key = tuple[str, str, str]


@dataclass(frozen=True)
class Heard:
    """A song: its values, and what its drums and the rest do to each, with the half width of the 95% interval."""

    title: str
    values: dict[str, float]
    effects: dict[Key, tuple[float, float]]


def list_songs(folder: Path) -> list[Path]:
    """The first ten by name that are long enough."""
    long = [file for file in sorted(folder.glob("*.ogg")) if soundfile.info(file).duration >= SHORTEST]
    return long[:SONGS]


def load_songs(folder: Path, separator: str) -> Iterator[Track]:
    for file in list_songs(folder):
        yield load_track(file, start=START, end=END, separator=separator)


def hear(track: Track, device: str, segments: int, n_samples: int) -> Heard:
    """Explain all seven values of a song from the same passes, and take each side out of the whole song."""
    model = load_model("vibenet", device)
    explanation = explain(model, track, segments=segments, n_samples=n_samples, device=device)
    values = predict(model, track, device=device).outputs
    effects: dict[Key, tuple[float, float]] = {}
    for side in ("drums", "rest"):
        rest = [place for place, name in enumerate(track.stem_names) if (name in DRUMS) != (side == "drums")]
        without = replace(track, stems=track.stems[rest], stem_names=tuple(track.stem_names[place] for place in rest))
        left = predict(model, without, device=device).outputs
        items = enumerate(explanation.components.items)
        columns = [column for column, item in items if (item.stem in DRUMS) == (side == "drums")]
        for number, name in enumerate(explanation.classes):
            # Errors of components are independent enough in a fold-over to be added as squares.
            half = explanation.half_width[number, columns].square().sum().sqrt()
            effects[name, side, "on average"] = float(explanation.attributions[number, columns].sum()), float(half)
            effects[name, side, "last"] = float(values[number] - left[number]), 0.0
    return Heard(track.title, dict(zip(explanation.classes, values, strict=True)), effects)


def show_songs(songs: list[Heard], way: str) -> Table:
    table = Table(title=f"values of the songs, and what drums (D) and the rest (R) do to them, {way}")
    names = ("energy", "danceability", "acousticness")
    for heading in ("song", *(part for name in names for part in (name, "D", "R"))):
        table.add_column(heading, justify="left" if heading == "song" else "right")
    for song in songs:
        cells = [song.title]
        for name in names:
            sides = (f"{song.effects[name, side, way][0]:+.2f}" for side in ("drums", "rest"))
            cells += [f"{song.values[name]:.2f}", *sides]
        table.add_row(*cells)
    return table


def show_signs(songs: list[Heard]) -> tuple[Table, dict[str, dict[str, float]]]:
    """How often each sign is as expected, how large the effect is, and how probable so many are by chance."""
    table = Table(title=f"signs stated beforehand, {len(songs)} songs")
    for heading in (
        "value",
        "with",
        "expected",
        "measured",
        "as expected",
        "beyond ±95%",
        "against it",
        "mean",
        "median",
        "p",
    ):
        table.add_column(heading)
    figures = {}
    for way, (name, side, sign) in itertools.product(WAYS, SIGNS):
        turned = [(sign * effect, half) for effect, half in (song.effects[name, side, way] for song in songs)]
        right = sum(effect > 0 for effect, _ in turned)
        clear, against = sum(effect > half for effect, half in turned), sum(effect < -half for effect, half in turned)
        chance = float(binomtest(right, len(turned), alternative="greater").pvalue)
        sizes = [sign * effect for effect, _ in turned]
        said = "rises" if sign > 0 else "falls"
        row = (f"{right}/{len(songs)}", str(clear), str(against), f"{mean(sizes):+.3f}", f"{median(sizes):+.3f}")
        table.add_row(name, side, said, way, *row, f"{chance:.3f}")
        figures[f"{name} {said} with {side}, {way}"] = {
            "right": right,
            "clear": clear,
            "against": against,
            "mean": round(mean(sizes), 4),
            "p": round(chance, 4),
        }
    return table, figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="the embedded song, few variants")
    parser.add_argument("--songs", type=Path, default=FOLDER, help="folder of .ogg files")
    parser.add_argument("--separator", default="hpss", help="demucs, where its weights are there, gives drums themselves")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    if options.smoke:
        songs = [hear(load_track(demo_song(), separator="hpss"), options.device, 2, 16)]
    else:
        if not options.songs.is_dir():
            raise SystemExit(f"there are no songs in {options.songs}: give --songs (see the start of this file).")
        tracks = load_songs(options.songs, options.separator)
        songs = [hear(track, options.device, SEGMENTS, N_SAMPLES) for track in tracks]
    console = Console(width=150)
    for way in WAYS:
        console.print(show_songs(songs, way))
    table, figures = show_signs(songs)
    console.print(table)
    print(
        f"separator {'hpss' if options.smoke else options.separator}; drums are its stem of that name, or what is percussive"
        "; what is last is exact"
    )
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
