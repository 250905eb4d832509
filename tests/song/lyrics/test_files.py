"""Lyrics files: formats, encodings, and what isn't lyrics."""

import struct
from pathlib import Path

import pytest
from soundfiles import id3, make_noise, write, write_mp4

from musiclime_torch.basics.errors import InputError
from musiclime_torch.song.lyrics.files import embedded_lyrics, read_lyrics

PLAIN = "Don’t go, señor\n\nla"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_encodings_of_unicode(tmp_path: Path, encoding: str):
    path = tmp_path / "a.txt"
    path.write_bytes(PLAIN.encode(encoding))
    assert (read_lyrics(path).text, read_lyrics(path).warnings) == (PLAIN, ())


def test_windows_1252_is_read_with_a_warning(tmp_path: Path):
    path = tmp_path / "a.txt"
    path.write_bytes(PLAIN.encode("cp1252"))
    lyrics = read_lyrics(path)
    assert lyrics.text == PLAIN
    assert "Windows-1252" in lyrics.warnings[0]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "no words"),
        (b"\n[Chorus]\n...\n", "no words"),
        (b"[ar:Ann]\n[00:01.00]\n", "no words"),
        (b"love\0me", "aren't text"),
        (bytes(range(256)), "aren't text"),
        (b"\xff\xd8\xff\xe0\x10JFIF", "aren't text"),
        (b"\xff\xfea", "aren't text"),
        (b"la " * 400_000, "bytes long"),
    ],
)
def test_what_is_not_lyrics(tmp_path: Path, content: bytes, reason: str):
    path = tmp_path / "bad.txt"
    path.write_bytes(content)
    with pytest.raises(InputError, match=reason) as caught:
        read_lyrics(path)
    assert repr(str(path)) in str(caught.value)


def test_missing_files_and_folders(tmp_path: Path):
    for path in (tmp_path / "none.txt", tmp_path, "nul\0byte"):
        with pytest.raises(InputError):
            read_lyrics(path)


@pytest.mark.parametrize("name", ["a.lrc", "a.txt", "a"])
def test_lrc_by_name_or_content(tmp_path: Path, name: str):
    path = tmp_path / name
    path.write_text("[00:01.50]la la\n[00:02.00]lo")
    assert [line.start_seconds for line in read_lyrics(path).lines] == [1.5, 2.0]


@pytest.mark.parametrize("name", ["a.srt", "a.txt"])
def test_subtitles(tmp_path: Path, name: str):
    path = tmp_path / name
    path.write_text(
        "1\n00:00:01,000 --> 00:00:02,000\n<i>Don't</i> go\nla {la}\n\n2\n00:01:02,500 --> 00:01:03,000\nstay\n",
        encoding="utf-8-sig",
    )
    lyrics = read_lyrics(path)
    assert lyrics.text.split("\n")[0] == "Don't go"
    assert [line.start_seconds for line in lyrics.lines] == [1.0, 1.0, 62.5]


def test_damaged_subtitles_are_refused(tmp_path: Path):
    path = tmp_path / "a.ass"
    path.write_text("hello")
    with pytest.raises(InputError):
        read_lyrics(path)


def test_embedded_lyrics_of_an_mp3(tmp_path: Path):
    sound = write(tmp_path / "a.mp3", make_noise(1, 22050), 22050).read_bytes()
    assert embedded_lyrics(tmp_path / "a.mp3") is None
    uslt = (b"USLT", b"\0eng\0" + b"plain words")
    (tmp_path / "a.mp3").write_bytes(id3(uslt) + sound)
    found = embedded_lyrics(tmp_path / "a.mp3")
    assert found is not None
    assert found.text == "plain words"
    sylt = (b"SYLT", b"\0eng\x02\x01\0" + b"\nhello\0" + struct.pack(">I", 1500) + b"\nyou\0" + struct.pack(">I", 62_000))
    (tmp_path / "a.mp3").write_bytes(id3(uslt, sylt) + sound)
    found = embedded_lyrics(tmp_path / "a.mp3")
    assert found is not None
    assert found.text == "plain words"
    (tmp_path / "a.mp3").write_bytes(id3((b"USLT", b"\0eng\0" + b"Hello you"), sylt) + sound)
    found = embedded_lyrics(tmp_path / "a.mp3")
    assert found is not None
    assert [(line.start_seconds, found.text[line.start : line.end]) for line in found.lines] == [
        (1.5, "hello"),
        (62.0, "you"),
    ]


def test_embedded_lyrics_of_an_m4a(tmp_path: Path):
    import av

    plain = write_mp4(tmp_path / "plain.m4a", [make_noise(0.5, 44100)], 44100)
    assert embedded_lyrics(plain) is None
    with av.open(str(plain)) as source, av.open(str(tmp_path / "sung.m4a"), "w", format="mp4") as target:
        target.metadata["lyrics"] = "[00:01.00]sung\n[00:02.00]here"
        stream = target.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(source.streams.audio[0]):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    found = embedded_lyrics(tmp_path / "sung.m4a")
    assert found is not None
    assert [line.start_seconds for line in found.lines] == [1.0, 2.0]


def test_files_without_readable_tags_have_no_lyrics(tmp_path: Path):
    (tmp_path / "a.mp3").write_bytes(b"ID3\x03\0\0\x7f\x7f\x7f\x7fUSLT")
    (tmp_path / "b.txt").write_text("no sound")
    assert embedded_lyrics(tmp_path / "a.mp3") is None
    assert embedded_lyrics(tmp_path / "b.txt") is None
    assert embedded_lyrics(tmp_path / "none.mp3") is None


def test_an_lrc_without_times_or_with_odd_ones_warns(tmp_path: Path):
    path = tmp_path / "a.lrc"
    for text, said in (
        ("hold me\nnow", "no line of 'a.lrc' has a time"),
        ("[12340,3000]<0,500,0>la <500,200,0>lo", "'[12340,3000]' in the lyrics looks like a time"),
        ("[00:01.00]la\n[00:1x.00]lo", "'[00:1x.00]' in the lyrics looks like a time"),
        ("[00:01.00]la\n[00:02.12345]lo", "'[00:02.12345]' in the lyrics looks like a time"),
        ("[00:01.00]la\n[1:2:3:4:5]lo", "'[1:2:3:4:5]' in the lyrics looks like a time"),
    ):
        path.write_text(text)
        assert any(said in warning for warning in read_lyrics(path).warnings), text
    path.write_text("[00:01.00]la [x2]\n[00:02.00]24/7 (1, 2)")
    assert read_lyrics(path).warnings == ()
