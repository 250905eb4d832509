"""Lyrics in tags: their many names, the contents of SYLT, and which of several is sung. Written by mutagen."""

from pathlib import Path

import mutagen
import mutagen.apev2
import mutagen.flac
import mutagen.id3
import mutagen.mp4
import mutagen.oggopus
import mutagen.oggvorbis
import mutagen.wave
import pytest
from soundfiles import make_noise, write, write_mp4

from musiclime_torch.song.lyrics.files import embedded_lyrics
from musiclime_torch.song.lyrics.lyrics import Lyrics

PLAIN = "Wander in the\nmorning light now"
LRC = "[00:01.00]Wander in the\n[00:02.50]morning light now"
SYLLABLES = [("Wan", 500), ("der", 700), (" in", 900), (" the", 1000), ("\nmorn", 1200), ("ing", 1400), (" light", 1600)]
SYLLABLES += [(" now", 1800)]


def write_id3(path: Path, *frames: mutagen.id3.Frame, version: int = 4) -> Path:
    write(path, make_noise(0.2, 22050, 1), 22050)
    tags = mutagen.id3.ID3()
    for frame in frames:
        tags.add(frame)
    tags.save(path, v2_version=version)
    return path


def sylt(
    pieces: list[tuple[str, int]], kind: int = 1, encoding: int = 3, form: int = 2, lang: str = "eng"
) -> mutagen.id3.Frame:
    return mutagen.id3.SYLT(encoding=encoding, lang=lang, format=form, type=kind, desc="d", text=pieces)


def uslt(text: str = PLAIN, encoding: int = 3) -> mutagen.id3.Frame:
    return mutagen.id3.USLT(encoding=encoding, lang="eng", desc="", text=text)


def txxx(name: str, text: str) -> mutagen.id3.Frame:
    return mutagen.id3.TXXX(encoding=1, desc=name, text=[text])


def lines(lyrics: Lyrics | None) -> list[tuple[str, float | None]]:
    assert lyrics is not None
    return [(lyrics.text[line.start : line.end], line.start_seconds) for line in lyrics.lines]


@pytest.mark.parametrize(("version", "encoding"), [(3, 0), (3, 1), (4, 0), (4, 1), (4, 2), (4, 3)])
@pytest.mark.parametrize("kind", [1, 2])
def test_syllables_join_into_words_and_newlines_open_lines(tmp_path: Path, kind: int, version: int, encoding: int):
    lyrics = embedded_lyrics(write_id3(tmp_path / "a.mp3", sylt(SYLLABLES, kind, encoding), version=version))
    assert lines(lyrics) == [("Wander in the", 0.5), ("morning light now", 1.2)]
    assert lyrics is not None
    assert [(word.text, word.start_seconds) for word in lyrics.words] == [
        ("Wander", 0.5), ("in", 0.9), ("the", 1.0), ("morning", 1.2), ("light", 1.6), ("now", 1.8),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "pieces",
    [
        [("Wander in the", 1000), ("morning light now", 2500)],
        [("\nWander in the", 1000), ("\nmorning light now", 2500)],
        [("Wander in the\n", 1000), ("morning light now\n", 2500)],
        [("\r\nWander in the", 1000), ("\r\nmorning light now", 2500)],
        [("\nWander", 1000), ("in", 1200), ("the", 1400), ("\nmorning", 2500), ("light", 2700), ("now", 2900)],
        [("Wan", 1000), ("der ", 1100), ("in ", 1200), ("the\n", 1300), ("morn", 2500), ("ing ", 2600), ("light now", 2700)],
        [("/Wan", 1000), ("der ", 1100), ("in the", 1200), ("\\morn", 2500), ("ing ", 2600), ("light now", 2700)],
        [("\nWander in the", 1000), ("", 2000), ("\nmorning light now", 2500), ("", 3000)],
    ],
)
def test_writers_ways_to_open_a_line(tmp_path: Path, pieces: list[tuple[str, int]]):
    lyrics = embedded_lyrics(write_id3(tmp_path / "a.mp3", sylt(pieces)))
    assert lines(lyrics) == [("Wander in the", 1.0), ("morning light now", 2.5)]


@pytest.mark.parametrize("kind", [0, 3, 4, 5, 6, 7, 8])
def test_what_is_not_sung_is_no_lyrics(tmp_path: Path, kind: int):
    chords = sylt([("Am", 500), ("F", 700), ("Ann enters", 900)], kind)
    assert embedded_lyrics(write_id3(tmp_path / "a.mp3", chords)) is None
    both = embedded_lyrics(write_id3(tmp_path / "b.mp3", chords, uslt()))
    assert lines(both) == [("Wander in the", None), ("morning light now", None)]


def test_times_in_packets_are_unknown(tmp_path: Path):
    lyrics = embedded_lyrics(write_id3(tmp_path / "a.mp3", sylt(SYLLABLES, form=1)))
    assert lines(lyrics) == [("Wander in the", None), ("morning light now", None)]


def test_timed_text_comes_first_where_it_has_the_same_letters(tmp_path: Path):
    agreeing = embedded_lyrics(write_id3(tmp_path / "a.mp3", sylt(SYLLABLES), uslt("wander in the morning light - now!")))
    assert lines(agreeing)[1] == ("morning light now", 1.2)
    german = sylt([("\nWandern im", 500), ("\nMorgenlicht jetzt", 900)], lang="deu")
    assert lines(embedded_lyrics(write_id3(tmp_path / "b.mp3", german, uslt())))[0] == ("Wander in the", None)
    both = embedded_lyrics(write_id3(tmp_path / "c.mp3", german, sylt(SYLLABLES), uslt()))
    assert lines(both)[0] == ("Wander in the", 0.5)


NAMES = [
    "LYRICS",
    "UNSYNCEDLYRICS",
    "UnsyncedLyrics",
    "UNSYNCED LYRICS",
    "unsynchronised_lyrics",
    "lyrics-eng",
    "SYNCEDLYRICS",
]


@pytest.mark.parametrize("name", NAMES)
def test_tags_under_their_many_names(tmp_path: Path, name: str):
    samples = make_noise(0.2, 48000)
    found = [embedded_lyrics(write_id3(tmp_path / "a.mp3", txxx(name, LRC)))]
    for kind, how in (("flac", {}), ("ogg", {}), ("opus", {"format": "OGG", "subtype": "OPUS"})):
        file = mutagen.File(write(tmp_path / f"a.{kind}", samples, 48000, **how))
        file[name] = [LRC]
        file.save()
        found.append(embedded_lyrics(tmp_path / f"a.{kind}"))
    file = mutagen.mp4.MP4(write_mp4(tmp_path / "a.m4a", [samples], 48000))
    file[f"----:com.apple.iTunes:{name}"] = [mutagen.mp4.MP4FreeForm(LRC.encode())]
    file.save()
    found.append(embedded_lyrics(tmp_path / "a.m4a"))
    write(tmp_path / "b.mp3", samples, 48000)
    tags = mutagen.apev2.APEv2()
    tags[name] = LRC
    tags["Title"] = "song"
    tags.save(tmp_path / "b.mp3")
    found.append(embedded_lyrics(tmp_path / "b.mp3"))
    for lyrics in found:
        assert lines(lyrics) == [("Wander in the", 1.0), ("morning light now", 2.5)]


def test_other_names_are_no_lyrics(tmp_path: Path):
    path = write_id3(tmp_path / "a.mp3", txxx("LYRICIST", "Ann"), txxx("comment", "la la"), mutagen.id3.TEXT(text="Bo"))
    assert embedded_lyrics(path) is None


def test_of_plain_and_timed_comments_the_timed_come_first_unless_they_differ(tmp_path: Path):
    for other, start in ((LRC, 1.0), ("[00:01.00]Am F\n[00:02.00]C G", None)):
        file = mutagen.flac.FLAC(write(tmp_path / "a.flac", make_noise(0.2, 8000), 8000))
        file["UNSYNCEDLYRICS"], file["SYNCEDLYRICS"] = [PLAIN], [other]
        file.save()
        assert lines(embedded_lyrics(tmp_path / "a.flac"))[0] == ("Wander in the", start)


@pytest.mark.parametrize("kind", ["wav", "aiff"])
def test_id3_in_a_chunk(tmp_path: Path, kind: str):
    write(tmp_path / f"a.{kind}", make_noise(0.2, 8000), 8000)
    file = mutagen.File(tmp_path / f"a.{kind}")
    file.add_tags()
    file.tags.add(sylt(SYLLABLES))
    file.save()
    assert lines(embedded_lyrics(tmp_path / f"a.{kind}"))[1] == ("morning light now", 1.2)


@pytest.mark.parametrize("damage", [b"\xff", b"\0", b"ID3"])
def test_damaged_tags_are_no_error(tmp_path: Path, damage: bytes):
    data = write_id3(tmp_path / "a.mp3", sylt(SYLLABLES), uslt()).read_bytes()
    for at in range(0, 200, 3):
        (tmp_path / "b.mp3").write_bytes(data[:at] + damage + data[at + 1 :])
        embedded_lyrics(tmp_path / "b.mp3")
        (tmp_path / "b.mp3").write_bytes(data[:at])
        embedded_lyrics(tmp_path / "b.mp3")


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("风吹过山谷\n我在这里等你", "gbk"),
        ("Ветер в долине\nЯ жду тебя", "cp1251"),
        ("風が谷を渡る\nここで君を待つ", "cp932"),
    ],
)
def test_tags_written_in_an_old_encoding_are_restored_and_told(tmp_path: Path, text: str, encoding: str):
    mangled = text.encode(encoding).decode("latin-1")
    for number, frame in enumerate((uslt(mangled, 0), sylt([(row, 1000) for row in mangled.split("\n")], encoding=0))):
        lyrics = embedded_lyrics(write_id3(tmp_path / f"{number}.mp3", frame, version=3))
        assert lyrics is not None
        assert lyrics.text == text
        assert "the lyrics in the tags were read as" in lyrics.warnings[0]


@pytest.mark.parametrize("text", ["où l'été s'achève", "¿Qué será?", "Ääö ÜÜ", "éèà", "Þú ert þar"])
def test_words_with_accents_are_left_as_they_are(tmp_path: Path, text: str):
    lyrics = embedded_lyrics(write_id3(tmp_path / "a.mp3", uslt(text, 0)))
    assert lyrics is not None
    assert (lyrics.text, lyrics.warnings) == (text, ())
