"""Writes a small data set of generated songs: ``python -m musiclime_torch.demo.catalogue --songs 120 --out DIR``.

``manifest.csv`` names a FLAC and a text file for every song, its one tag as the label, and a split.
"""

import argparse
import csv
from pathlib import Path

import soundfile

from musiclime_torch.demo.plan import SAMPLE_RATE, TAGS, plan_song
from musiclime_torch.demo.song import render_stems, write_lyrics


def write_catalogue(folder: Path, songs: int, seed: int, tags: tuple[str, ...]) -> Path:
    """Songs with one of the tags each, in turn; six of ten train, two validate and two test. Returns the manifest."""
    for part in ("audio", "lyrics"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    path = folder / "manifest.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["id", "audio", "lyrics", "label", "split"])
        for number in range(songs):
            tag = tags[number % len(tags)]
            plan, name = plan_song(seed + number, {tag}), f"song{number:04d}"
            soundfile.write(folder / "audio" / f"{name}.flac", render_stems(plan).sum(0), SAMPLE_RATE)
            (folder / "lyrics" / f"{name}.txt").write_text(write_lyrics(plan).text + "\n", encoding="utf-8")
            # By rounds of all tags, so that every split has all of them.
            split = ("train", "train", "train", "valid", "test")[number // len(tags) % 5]
            rows.writerow([name, f"audio/{name}.flac", f"lyrics/{name}.txt", tag, split])
    return path


def main(arguments: list[str] | None = None) -> None:
    """Write the songs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--songs", type=int, default=120)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tags", default=",".join(TAGS), help="the labels, between commas")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args(arguments)
    tags = tuple(given.tags.split(","))
    if not set(tags) <= set(TAGS):
        parser.error(f"--tags {given.tags!r}: choose from {', '.join(TAGS)}.")
    print(write_catalogue(given.out, given.songs, given.seed, tags))


if __name__ == "__main__":
    main()
