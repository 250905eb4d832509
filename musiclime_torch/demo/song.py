"""Writes a generated song as files: ``python -m musiclime_torch.demo.song --seed 1 --out DIR``.

``song.ogg`` is the mix, ``stems/*.ogg`` what it is the sum of, ``song.lrc`` the lyrics with a time for every word,
``song.json`` the seed, the tags, where their causes lie, and the whole plan. Run again it writes the same samples; an ogg
file's stream number is drawn by libsndfile, so its bytes differ.
"""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

import soundfile

from musiclime_torch.demo.plan import SAMPLE_RATE, STEMS, TAGS, SongPlan, locate_cause, plan_song
from musiclime_torch.demo.songs import render_stems, write_lyrics
from musiclime_torch.song.lyrics.lyrics import Lyrics

#: Vorbis quality as libsndfile counts it: 0 best, 1 smallest.
COMPRESSION = 0.5


def write_song(plan: SongPlan, folder: Path, command: str) -> None:
    """Write the mix, the stems, the lyrics and the record into a folder, which is made."""
    (folder / "stems").mkdir(parents=True, exist_ok=True)
    stems = render_stems(plan)
    sounds = {f"stems/{name}.ogg": stem for name, stem in zip(STEMS, stems, strict=True)}
    for name, sound in {"song.ogg": stems.sum(0), **sounds}.items():
        soundfile.write(folder / name, sound, SAMPLE_RATE, format="OGG", subtype="VORBIS", compression_level=COMPRESSION)
    (folder / "song.lrc").write_text(format_lrc(write_lyrics(plan)), encoding="utf-8")
    causes = [
        {
            "tag": cause.tag,
            "whole": cause.tag in plan.tags,
            "stem": cause.stem,
            "word": cause.word,
            "seconds": [round(seconds, 3) for seconds in locate_cause(plan, cause)],
        }
        for cause in plan.causes
    ]
    record = {
        "command": command,
        "seed": plan.seed,
        "tags": sorted(plan.tags),
        "causes": causes,
        "plan": asdict(plan),
        "soundfile": soundfile.__version__,
        "libsndfile": soundfile.__libsndfile_version__,
    }
    (folder / "song.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def format_lrc(lyrics: Lyrics) -> str:
    """Lyrics as enhanced LRC, a time for every line and every word; a blank line between sections.

    The lyrics must have times.
    """
    rows = []
    for number, line in enumerate(lyrics.lines):
        words = [word for word in lyrics.words if word.line == number]
        if number and words[0].section != lyrics.words[lyrics.words.index(words[0]) - 1].section:
            rows.append("")
        sung = " ".join(f"<{_clock(word.start_seconds)}>{word.text}" for word in words)
        rows.append(f"[{_clock(line.start_seconds)}]{sung} <{_clock(words[-1].end_seconds)}>")
    return "\n".join(rows) + "\n"


def _clock(seconds: float | None) -> str:
    assert seconds is not None, "generated lyrics have times"
    hundredths = round(seconds * 100)
    return f"{hundredths // 6000:02d}:{hundredths // 100 % 60:02d}.{hundredths % 100:02d}"


def main(arguments: list[str] | None = None) -> None:
    """Plan, play, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--tags", nargs="*", choices=list(TAGS), default=["anthem", "drum fill"])
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args(arguments)
    named = " ".join(f"'{tag}'" for tag in given.tags)
    command = f"python -m musiclime_torch.demo.song --seed {given.seed} --tags {named} --out {given.out}"
    write_song(plan_song(given.seed, given.tags), given.out, command)


if __name__ == "__main__":
    main()
