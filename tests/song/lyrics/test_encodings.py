"""Lyrics in the encodings of before Unicode."""

from pathlib import Path

import pytest

from musiclime_torch.basics.errors import InputError
from musiclime_torch.song.lyrics.files import read_lyrics

SONGS = {
    "Chinese, simplified": ("风吹过山谷\n我在这里等你\n月亮代表我的心", ("gb18030", "gbk", "gb2312")),
    "Chinese, traditional": ("風吹過山谷\n我在這裡等你\n輕輕的一個吻 已經打動我的心", ("big5", "gbk")),
    "Japanese": ("風が谷を渡る\nここで君を待つ\nドレミ 夢ならば", ("shift_jis", "cp932", "euc_jp")),
    "Korean": ("바람이 불어와\n여기서 너를 기다려", ("euc_kr", "cp949")),
    "Russian": ("Ветер в долине\nЯ жду тебя здесь", ("cp1251", "koi8_r", "cp866", "iso8859_5")),
    "Ukrainian": ("Вітер у долині, її очі\nЯ чекаю на тебе тут", ("cp1251", "koi8_u")),
    "Greek": ("Ο άνεμος στην κοιλάδα\nΣε περιμένω εδώ", ("cp1253", "iso8859_7")),
    "Hebrew": ("הרוח בעמק\nאני מחכה לך כאן", ("cp1255",)),
    "Arabic": ("الريح في الوادي\nأنا أنتظرك هنا", ("cp1256",)),
    "Thai": ("ลมพัดผ่านหุบเขา\nฉันรอเธออยู่ที่นี่", ("cp874",)),
    "Turkish": ("Rüzgar vadide esiyor\nŞarkılar söylüyor, gözlerin ışığı", ("cp1254",)),
    "Polish": ("Wiatr w dolinie\nZażółć gęślą jaźń, miłość mą", ("cp1250", "iso8859_2")),
    "Czech or Slovak": ("Čekám tu na tebe\nPříliš žluťoučký kůň", ("cp1250",)),
    "Hungarian": ("A szél fúj a völgyben\nkönnyű szívű, őszi éjszaka", ("cp1250",)),
    "Lithuanian": ("Aš laukiu tavęs čia\nMylėk mane, šįvakar žiūrėk", ("cp1257",)),
    "Western European": ("Le vent souffle où l'été s'achève\nça été très beau, señor, grüße, mañana", ("cp1252", "latin-1")),
}


@pytest.mark.parametrize("form", ["plain", "lrc", "windows"])
@pytest.mark.parametrize(
    ("language", "encoding"), [(language, encoding) for language, (_, names) in SONGS.items() for encoding in names]
)
def test_old_encodings_are_found_and_told_by_name(tmp_path: Path, language: str, encoding: str, form: str):
    text = SONGS[language][0]
    written = text if form == "plain" else "\n".join(f"[00:0{at}.00]{row}" for at, row in enumerate(text.split("\n"), 1))
    path = tmp_path / ("a.txt" if form == "plain" else "a.lrc")
    path.write_bytes(written.replace("\n", "\r\n" if form == "windows" else "\n").encode(encoding))
    lyrics = read_lyrics(path)
    assert lyrics.text == text
    assert f"({language})" in lyrics.warnings[0]
    assert "lyrics_encoding" in lyrics.warnings[0]
    insisting = read_lyrics(path, lyrics_encoding=encoding)
    # Japanese and Chinese are cut into characters where nothing is installed that knows their words, which is said.
    of_reading = [warning for warning in insisting.warnings if "counts as a word" not in warning]
    assert (insisting.text, of_reading) == (text, [])


@pytest.mark.parametrize(
    "text", ["C’est la vie", "it’s 5° — “hot”", "café", "Motörhead", "¿Qué pasa?", "Coke® and more", "Noël"]
)
def test_a_few_signs_among_ascii_are_windows_1252(tmp_path: Path, text: str):
    (tmp_path / "a.txt").write_bytes(text.encode("cp1252"))
    assert read_lyrics(tmp_path / "a.txt").text == text


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("ветер в долине, любовь моя", "koi8_r"),
        ("君の名は", "euc_jp"),
        ("心の瞳で君を見つめれば", "cp932"),
        ("我愿意 为你", "gbk"),
        ("愛你一萬年", "big5"),
        ("שלום עליכם", "cp1255"),
        ("żółty", "cp1250"),
    ],
)
def test_one_line_is_enough(tmp_path: Path, text: str, encoding: str):
    (tmp_path / "a.txt").write_bytes(text.encode(encoding))
    assert read_lyrics(tmp_path / "a.txt").text == text


def test_a_damaged_byte_does_not_make_utf_8_something_else(tmp_path: Path):
    data = "Ветер в долине\nЯ жду тебя здесь".encode()
    (tmp_path / "a.txt").write_bytes(data[:-1])
    lyrics = read_lyrics(tmp_path / "a.txt")
    assert lyrics.text == "Ветер в долине\nЯ жду тебя здес"
    assert "1 bytes that aren't UTF-8" in lyrics.warnings[0]


def test_escapes_of_mail_are_japanese(tmp_path: Path):
    (tmp_path / "a.txt").write_bytes("夢ならば".encode("iso2022_jp"))
    assert read_lyrics(tmp_path / "a.txt").text == "夢ならば"


@pytest.mark.parametrize("data", [b"\x80\xff\xfe\xfd" * 9, bytes(range(128, 256)), "風".encode("utf-16-le")])
def test_what_fits_no_language_is_refused(tmp_path: Path, data: bytes):
    (tmp_path / "a.txt").write_bytes(data)
    with pytest.raises(InputError, match=r"aren't text|no words"):
        read_lyrics(tmp_path / "a.txt")


@pytest.mark.parametrize(("encoding", "reason"), [("ascii", "aren't in 'ascii'"), ("klingon", "unknown encoding 'klingon'")])
def test_an_encoding_that_does_not_fit_is_refused(tmp_path: Path, encoding: str, reason: str):
    (tmp_path / "a.txt").write_bytes("señor".encode("cp1252"))
    with pytest.raises(InputError, match=reason) as caught:
        read_lyrics(tmp_path / "a.txt", lyrics_encoding=encoding)
    assert caught.value.argument == "lyrics_encoding"
