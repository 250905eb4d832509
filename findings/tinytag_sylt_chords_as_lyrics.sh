#!/bin/sh
# tinytag 2.3.2 gives an mp3's synchronised text (ID3v2's SYLT frame) as lyrics whatever its content is, and puts every piece
# on a line of its own. The frame says what it holds (id3v2.4.0-frames, section 4.9: 1 lyrics, 2 a transcription, 5 chords),
# and karaoke writes a syllable a piece. So a song's chords come back as its lyrics, and "to-night" as two lines.
#
# Seen: chords (type 5) "Am", "F" are returned under "lyrics"; syllables "to", "night" of one line as two lines.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q tinytag==2.3.2 mutagen==1.48.1
cd "$folder"
venv/bin/python - <<'PY'
from mutagen.id3 import ID3, SYLT
from tinytag import TinyTag

# One MPEG-1 layer III frame of silence, 32 kbit/s, 44.1 kHz, mono: a header, and zeros up to its 104 bytes.
FRAMES = 40 * (b"\xff\xfb\x10\xc0" + bytes(100))


def read_lyrics(kind, pieces):
    with open("song.mp3", "wb") as file:
        file.write(FRAMES)
    tags = ID3()
    tags.add(SYLT(encoding=3, lang="eng", format=2, type=kind, desc="", text=pieces))
    tags.save("song.mp3")
    return TinyTag.get("song.mp3").other.get("lyrics")


chords = read_lyrics(5, [("Am", 0), ("F", 2000)])
syllables = read_lyrics(1, [("to", 0), ("night", 300)])
print("chords are given as lyrics:", chords)
print("two syllables of a word:", syllables)
assert chords is not None and all(chord in "".join(chords) for chord in ("Am", "F")), "chords are no lyrics any more"
assert syllables is not None and "night" in "".join(syllables) and "tonight" not in "".join(syllables).replace(" ", "")
PY
