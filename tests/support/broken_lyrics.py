"""Lyrics files that are broken or strange in known ways, made from seeds: encodings, times, brackets, scripts, sizes."""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np

_SRT = "1\n00:00:01,000 --> 00:00:02,000\nhold me\n\n2\n00:00:03,000 --> 00:00:04,000\nlove me\n"
_VTT = "WEBVTT\n\n00:01.000 --> 00:02.000\nhold me\n\n00:03.000 --> 00:04.000\n<c.loud>love</c> me\n"
_LRC = "[ar:Ann]\n[offset:+100]\n[00:01.00]hold <00:01.50>me\n[00:03.00][00:05.00]love me\n"
_ASS = (
    "[Script Info]\nScriptType: v4.00+\n\n[Events]\n"
    "Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\n"
    "Dialogue: 0,0:00:01.00,0:00:02.00,Default,,0,0,0,,{\\i1}hold{\\i0} me\n"
    "Dialogue: 0,0:00:03.00,0:00:04.00,Default,,0,0,0,,love me\n"
)
_TXT = "[Verse 1]\nhold me now\nlove is my love\n\n[Chorus]\nDon’t go, señor — 愛して\n"
#: One good file of each format.
WHOLE = {"a.txt": _TXT, "a.lrc": _LRC, "a.srt": _SRT, "a.vtt": _VTT, "a.ass": _ASS}


@dataclass(frozen=True)
class Strange:
    """A file and, where it is known, the words that must come of it: () for a refusal, None where nobody can say."""

    name: str
    data: bytes
    words: tuple[str, ...] | None = None


def make_strange(seed: int) -> Iterator[Strange]:
    """All of them."""
    yield from _encode()
    yield from _mistime()
    yield from _nest()
    yield from _write_scripts()
    yield from _repeat()
    yield from _damage(seed)


def _encode() -> Iterator[Strange]:
    two = ("hold", "señor")
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-32", "cp1252", "latin-1"):
        yield Strange(f"{encoding}.txt", "hold señor".encode(encoding), two)
    for encoding in ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"):
        yield Strange(f"{encoding}-without-mark.txt", "hold señor".encode(encoding), ())
        yield Strange(f"{encoding}-without-mark.lrc", "[00:01.00]愛して".encode(encoding))
    for encoding in ("shift_jis", "euc-jp", "gb18030", "koi8-r", "cp1251", "big5", "iso2022_jp", "utf-7"):
        yield Strange(f"{encoding}.txt", ("愛して" if encoding[0] in "seigb" else "люблю").encode(encoding, "replace"))
    yield Strange("half-a-pair.txt", b"\xff\xfeh\0o", ())
    yield Strange("surrogate.txt", b"hold \xed\xa0\x80 me")
    yield Strange("overlong.txt", b"hold \xc0\xaf me")
    yield Strange("nul.txt", b"hold\0me", ())
    yield Strange("nuls.srt", bytes(5000), ())
    yield Strange("marks-only.txt", b"\xef\xbb\xbf\xef\xbb\xbf", ())
    yield Strange("two-marks.txt", b"\xef\xbb\xbf\xef\xbb\xbfhold", ("hold",))
    yield Strange("empty.txt", b"", ())
    yield Strange("mark-of-utf-32-alone.txt", b"\xff\xfe\0\0", ())
    for end in ("\r", "\r\n", "\u2028", "\x0b", "\x85", "\n\r"):
        yield Strange(f"ends-{ord(end[0])}-{len(end)}.txt", f"hold{end}me".encode(), ("hold", "me"))


def _mistime() -> Iterator[Strange]:
    two = ("hold", "me")
    times = (
        "00:00.00",
        "9999:99.999",
        "99999:00",
        "-1:00.00",
        "00:-5.00",
        "1e9:00",
        "00:61.00",
        "٠٠:٠١.٠٠",
        "nan:inf",
        ":",
        "",
    )
    for number, time in enumerate(times):
        yield Strange(f"time-{number}.lrc", f"[{time}]hold\n[00:02.00]me".encode())
    yield Strange("backwards.lrc", b"[00:09.00]me\n[00:01.00]hold", two)
    yield Strange("word-times-backwards.lrc", b"[00:09.00]<00:09.00>hold <00:01.00>me <00:00.00>", two)
    yield Strange("a-thousand-times.lrc", (b"[00:01.00]" * 1000) + b"hold")
    for offset in ("-999999999", "999999999", "9" * 4000, "1e400", "nan", "", "+-5", "0x10", "٥"):
        yield Strange(f"offset-{offset[:6]}.lrc", f"[offset:{offset}]\n[00:01.00]hold me".encode(), two)
    for start, end in (
        ("00:00:09,000", "00:00:01,000"),
        ("-00:00:01,000", "00:00:01,000"),
        ("99:99:99,999", "99:99:99,999"),
        ("9999999999:00:00,000", "9999999999:00:01,000"),
        ("00:00:00,000", "00:00:00,000"),
        ("nonsense", "nonsense"),
    ):
        yield Strange(f"times-{start[:5]}-{end[:5]}.srt", f"1\n{start} --> {end}\nhold me\n".encode())
        yield Strange(f"times-{start[:5]}-{end[:5]}.vtt", f"WEBVTT\n\n{start} --> {end}\nhold me\n".encode())
    yield Strange("backwards.srt", ("".join(reversed(_SRT.split("\n\n")))).encode())
    yield Strange("no-numbers.srt", b"00:00:01,000 --> 00:00:02,000\nhold me\n", two)
    yield Strange("no-events.ass", b"[Script Info]\nTitle: x\n")
    yield Strange("bad-fields.ass", _ASS.replace("0:00:01.00", "x:y:z").encode())
    yield Strange("no-format.ass", b"[Events]\nDialogue: 0,0:00:01.00,0:00:02.00\n")


def _nest() -> Iterator[Strange]:
    for number, text in enumerate(
        (
            "[" * 5000 + "hold" + "]" * 5000,
            "<" * 5000 + "hold" + ">" * 5000,
            "[[00:01.00]]hold [me",
            "[00:01.00[00:02.00]hold]me",
            "<00:01.00<00:02.00>>hold",
            "[Chorus: [Ann]]\nhold",
            "[ar:[ti:[al:x]]]\nhold",
            "]hold[\n[]me[]",
            "{\\an8}" * 2000 + "hold",
            "<i><b><u>" * 2000 + "hold",
            "<script>alert(1)</script> hold",
            "<v Ann>hold</v><c.a.b.c>me",
            "&amp;&lt;&#0;&#x110000;hold",
        )
    ):
        for suffix in ("txt", "lrc"):
            yield Strange(f"nested-{number}.{suffix}", text.encode())
        yield Strange(f"nested-{number}.srt", f"1\n00:00:01,000 --> 00:00:02,000\n{text}\n".encode())


def _write_scripts() -> Iterator[Strange]:
    yield Strange("right-to-left.txt", "שלום עולם\nمرحبا بالعالم".encode(), ("שלום", "עולם", "مرحبا", "بالعالم"))
    yield Strange("overrides.txt", "\u202ehold\u202c \u2066me\u2069".encode(), ("hold", "me"))
    yield Strange("combining.txt", ("h" + "\u0301" * 3000 + "old me").encode())
    yield Strange("marks-alone.txt", ("\u0301" * 500).encode(), ())
    yield Strange("joiners.txt", ("\u200d\u200c\ufeff\u00ad" * 500 + "hold").encode(), ("hold",))
    yield Strange("emoji.txt", ("👩‍👩‍👧‍👦🏳️‍🌈" * 200).encode(), ())
    yield Strange("punctuation.txt", "...!?—«»“”\n***\n###".encode(), ())
    yield Strange("punctuation.lrc", b"[00:01.00]...\n[00:02.00]!!!", ())
    yield Strange("digits.txt", "1 2 ٣ ४ Ⅷ ½".encode())
    # One word where janome is installed; else every character is one.
    yield Strange("unspaced.txt", "愛して".encode(), ("愛して",) if find_spec("janome") else ("愛", "し", "て"))
    yield Strange("thai.txt", "สวัสดี".encode())
    yield Strange("private.txt", "\ue000\U0010fffd hold".encode())
    yield Strange("unassigned.txt", "\u0378\U000e0fff hold".encode())
    yield Strange("controls.txt", b"hold\x1b[31mme\x07\x08")
    yield Strange("spaces.txt", ("\u00a0\u2003\u3000\t " * 300 + "hold").encode(), ("hold",))
    yield Strange("headers-only.txt", b"[Chorus]\n[Verse]\n[Bridge]", ())
    yield Strange("apostrophes.txt", ("'" * 3000 + "hold" + "’" * 3000).encode(), ("hold",))
    yield Strange("hyphens.txt", ("-".join(["la"] * 3000)).encode())


def _repeat() -> Iterator[Strange]:
    """As large as the reader takes."""
    many = ("la",) * 20_000
    yield Strange("one-line.txt", b"la " * 22_000, ())
    yield Strange("one-word.txt", b"a" * 299_999, ("a" * 299_999,))
    yield Strange("lines.txt", b"la\n" * 22_000, ())
    yield Strange("most-words.txt", b"la " * 20_000, many)
    yield Strange("blank-lines.txt", b"\n" * 299_000, ())
    yield Strange("brackets.txt", b"[" * 299_999, ())
    yield Strange("tags.lrc", b"[00:01.00]" * 29_000, ())
    yield Strange("marks.lrc", b"[00:01.00]" + b"<00:01.00>a" * 26_000)
    yield Strange("headers.txt", b"[a]\n" * 70_000 + b"hold", ("hold",))
    yield Strange("cues.srt", b"".join(b"%d\n00:00:01,000 --> 00:00:02,000\nla\n\n" % number for number in range(6_500)))
    yield Strange("digits.srt", b"1" * 299_000)
    yield Strange("contributors.txt", b"1" * 150_000 + b" Contributors" + b" Lyrics" * 22_000, ())
    yield Strange("lyrics.txt", b" Lyrics" * 22_000, ())
    yield Strange("see-live.txt", b"See a live " * 8_000, ())
    yield Strange("stars.txt", b"* . " * 70_000 + b"hold", ("hold",))
    yield Strange("bomb.txt", b"la" * 600_000, ())


def _damage(seed: int) -> Iterator[Strange]:
    """Good files with bytes changed or an end cut off."""
    random = np.random.default_rng(seed)
    for name, text in WHOLE.items():
        yield Strange(f"whole-{name}", text.encode())
        for number in range(12):
            data = bytearray(text.encode())
            for place in random.integers(0, len(data), 1 + number % 4):
                data[place] = random.integers(256) if number % 2 else data[place] ^ 1 << int(random.integers(8))
            yield Strange(f"damaged-{number}-{name}", bytes(data))
            yield Strange(f"cut-{number}-{name}", text.encode()[: int(random.integers(len(text)))])
