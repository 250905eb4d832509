"""Which encoding a lyrics file is in: UTF-8 or what its byte order mark says, else the likeliest of those used before.

Each encoding is tried with the letters of languages it was used for, and the one whose text has the most of them wins. For
Chinese, Japanese and Korean "letters" are the characters that their standards list as common. (charset-normalizer 3.5.3 was
tried first: it reads Shift-JIS as Korean and EUC-JP as Chinese, and missed 36 of 99 samples of lyrics.)
"""

import codecs
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from unicodedata import normalize

import regex

from musiclime_torch.basics.errors import InputError

# UTF-32's little-endian mark begins with UTF-16's, so it is tried first.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CONTROLS = regex.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
#: Signs that every code page has, and that say nothing.
_COMMON = regex.compile(r"[\x00-\x7f\u00a0«»‘’“”„†•…–—©®™°§¼½¾€\u3000-\u303f\uff00-\uff65♪★☆♥~～]")
#: Below this share of letters that fit, no encoding is likely.
_LEAST = 0.5
_LEAD = 0.05


@dataclass(frozen=True)
class Language:
    """A language, its old encodings, and how well each of its characters fits (1 for the most frequent, -1 for a misfit).

    Of the characters that it `needs`, there must be one in five.
    """

    name: str
    encodings: tuple[str, ...]
    fit: Callable[[str], float]
    needs: "regex.Pattern[str] | None" = None


def decode(data: bytes, encoding: str | None, path: Path) -> tuple[str, list[str]]:
    """The text of a file, and a warning where its encoding had to be guessed.

    Raises:
        InputError: it isn't text, or not in the encoding asked for.
    """
    if encoding is not None:
        return _decode_as(data, encoding, path), []
    refusal = InputError(
        f"the lyrics {str(path)!r} aren't text: save them as UTF-8 text, .lrc or .srt, or name their lyrics_encoding.",
        argument="lyrics_encoding",
    )
    marked = next((name for mark, name in _MARKS if data.startswith(mark)), None)
    try:
        text = data.decode(marked or "utf-8-sig")
    except UnicodeDecodeError as error:
        guessed = None if marked or _CONTROLS.search(data) else _repair(data) or _guess(data)
        if guessed is None:
            raise refusal from error
        return guessed[0], [f"the lyrics {path.name!r} {guessed[1]}: check them, or name another lyrics_encoding."]
    if "\x1b$" in text and marked is None:
        return _decode_as(data, "iso2022_jp", path), []
    if "\0" in text:
        raise refusal
    return text, []


def restore(text: str) -> tuple[str, str] | None:
    """What a text says that was read as Latin-1 and is of another script, and in words as what it was read; else None.

    >>> restore("风吹过山谷".encode("gbk").decode("latin-1"))
    ('风吹过山谷', 'were read as GB18030 (Chinese, simplified)')
    """
    odd = regex.findall(r"[\x80-\xff]", text)
    # Most letters of such a text are beyond ASCII: words with accents are what they are.
    if not odd or max(text) > "\xff" or len(odd) < len(regex.findall(r"[A-Za-z]", text)):
        return None
    likely = _guess(text.encode("latin-1"))
    if likely is None or not regex.search(r"[^\p{Latin}\p{Common}\p{Inherited}]", likely[0]):
        return None
    return likely[0], likely[1].removeprefix("aren't UTF-8 and ")


def _decode_as(data: bytes, encoding: str, path: Path) -> str:
    try:
        text = data.decode(codecs.lookup(encoding).name)
    except (LookupError, ValueError) as error:
        reason = "aren't in" if isinstance(error, UnicodeDecodeError) else "can't be read in an unknown encoding"
        raise InputError(
            f"the lyrics {str(path)!r} {reason} {encoding!r}: name another lyrics_encoding, such as gb18030 or cp1252.",
            argument="lyrics_encoding",
        ) from error
    return text.removeprefix("\ufeff")


def _repair(data: bytes) -> tuple[str, str] | None:
    """UTF-8 with a few damaged bytes, as cutting a text by bytes leaves it."""
    text = data.decode("utf-8-sig", errors="replace")
    bad = text.count("\ufffd")
    if 8 * bad > sum(letter > "\x7f" for letter in text) - bad:
        return None
    return text.replace("\ufffd", ""), f"hold {bad} bytes that aren't UTF-8, which were left out"


def _guess(data: bytes) -> tuple[str, str] | None:
    """The likeliest text and in words what it was read as; None where nothing is likely."""
    best, likely = _LEAST, None
    for language in LANGUAGES:
        for encoding in language.encodings:
            try:
                text = normalize("NFC", data.decode(encoding))
            except UnicodeDecodeError:
                continue
            score = _score(text, language)
            if score > best + (_LEAD if likely else 0):
                best, likely = score, (text, f"aren't UTF-8 and were read as {_title(encoding)} ({language.name})")
    if likely is None and 2 * len(regex.findall(rb"[A-Za-z]", data)) > len(data) - len(regex.findall(rb"[\x00-\x40]", data)):
        # Most letters are ASCII: a few wrong accents are no reason to refuse it.
        text = data.decode("cp1252", errors="ignore")
        return text, "aren't UTF-8 and were read as Windows-1252 for want of anything likelier"
    return likely


def _title(encoding: str) -> str:
    windows = regex.fullmatch(r"cp(125\d|874|932|949)", encoding)
    return f"Windows-{windows[1]}" if windows else encoding.upper().replace("_", "-")


def _score(text: str, language: Language) -> float:
    """How well the characters beyond ASCII fit, from -1 to 1."""
    letters = _COMMON.sub("", text)
    if not letters:
        return 0.95
    if language.needs is not None and len(language.needs.findall(letters)) < 0.2 * len(letters):
        return -1.0
    # Lyrics in capitals are rare, and an encoding taken for another often gives them.
    misfits = 2 * len(_ODD.findall(text)) + 0.06 * len(_CAPITAL.findall(text))
    return (sum(map(language.fit, letters)) - misfits) / len(letters)


_OTHER = r"[\p{Cyrillic}\p{Greek}\p{Hebrew}\p{Arabic}\p{Thai}]"
#: What no text has: signs or two scripts within a word, words of accents alone, a large letter behind a small one, and Thai
#: vowels on nothing.
_ODD = regex.compile(
    rf"""
    (?<=[A-Za-z0-9]){_OTHER} | (?<={_OTHER})[A-Za-z]
    | (?<!\p{{L}})[\p{{Latin}}--[A-Za-z]]{{4,}}(?!\p{{L}})
    | (?<=\p{{L}})[^\x00-\x7f\p{{L}}\p{{M}}\p{{P}}\p{{Z}}\p{{N}}\p{{C}}] | (?<=\p{{L}})[¿¡](?=\p{{L}})
    | (?<=[\p{{Ll}}--[a-z]])\p{{Lu}} | (?<=\p{{Ll}})[\p{{Lu}}--[A-Z]] | (?<![ก-ฮ])[\u0e31\u0e34-\u0e3a\u0e47]
    | (?<![ก-ฮ\u0e31-\u0e3a])[\u0e48-\u0e4e]
    """,
    regex.VERBOSE | regex.VERSION1,
)

_CAPITAL = regex.compile(r"(?<=\p{L})[\p{Lu}--[A-Z]]", regex.VERSION1)


def _spell(frequent: str, others: str = "") -> Callable[[str], float]:
    def fit(letter: str) -> float:
        small = letter.lower()
        return 1.0 if small in frequent else 0.65 if small in others else -1.0

    return fit


def _list_common(encoding: str, first: int, last: int, further: int, most: float = 0.9) -> Callable[[str], float]:
    """Fit by the lead byte in a standard that begins with common characters, `first` to `last`, then `further` rare ones."""

    def fit(letter: str) -> float:
        try:
            code = letter.encode(encoding)
        except UnicodeEncodeError:
            return -1.0
        if len(code) != 2:
            return -1.0
        return most if first <= code[0] <= last else 0.0 if last < code[0] <= further else -1.0

    return fit


def _fit_japanese(letter: str) -> float:
    # Lyrics without kana are hardly Japanese: common kanji alone fit less than they do as Chinese.
    return 1.0 if "\u3040" <= letter <= "\u30ff" else _fit_kanji(letter)


def _fit_korean(letter: str) -> float:
    # Hangul that KS X 1001 lists; Windows adds 8,822 syllables that nobody writes.
    try:
        return 1.0 if "가" <= letter <= "힣" and len(letter.encode("euc_kr")) == 2 else -0.5
    except UnicodeEncodeError:
        return -1.0


_fit_kanji = _list_common("euc_jp", 0xB0, 0xCF, 0xF4, most=0.75)
_WEST = ("cp1252",)
_MIDDLE = ("cp1250", "iso8859_2")
_RUSSIAN = ("cp1251", "koi8_r", "cp866", "iso8859_5")
LANGUAGES = (
    Language("Western European", _WEST, _spell("àâçéèêëîïôùûœ¿¡")),
    Language("Western European", _WEST, _spell("äöüß")),
    Language("Western European", _WEST, _spell("áéíóúñü¿¡ºª")),
    Language("Western European", _WEST, _spell("áâãàçéêíóôõú")),
    Language("Western European", _WEST, _spell("àèéìòù")),
    Language("Western European", _WEST, _spell("åäöæøé")),
    Language("Western European", _WEST, _spell("", "àâçéèêëîïôùûœ¿¡äöüßáíóúñãõìòåæø")),
    Language("Polish", _MIDDLE, _spell("ąćęłńóśźż")),
    Language("Czech or Slovak", _MIDDLE, _spell("áčďéěíňóřšťúůýžľĺŕôä")),
    Language("Hungarian", _MIDDLE, _spell("áéíóöőúüű")),
    Language("Romanian", _MIDDLE, _spell("ăâîşţ")),
    Language("Croatian or Slovenian", _MIDDLE, _spell("čćđšž")),
    Language("Turkish", ("cp1254",), _spell("çğıöşüâi̇")),
    Language("Icelandic", _WEST, _spell("áéíóúýðþæö")),
    Language("Lithuanian", ("cp1257",), _spell("ąčęėįšųūž")),
    Language("Latvian", ("cp1257",), _spell("āčēģīķļņšūž")),
    Language("Vietnamese", ("cp1258",), _spell("ăâđêôơưáàảãạéèẻẽẹíìỉĩịóòỏõọúùủũụýỳỷỹỵấầẩẫậắằẳẵặếềểễệốồổỗộớờởỡợứừửữự")),
    Language("Hebrew", ("cp1255",), _spell("יוהלאתרמבנש", "דפקחעצגזטסכםןךףץ")),
    Language("Russian", _RUSSIAN, _spell("оеаинтсрвл", "кмдпуяыьгзбчйхжшюцщэфъё")),
    Language("Ukrainian", ("cp1251", "koi8_u"), _spell("оаинівреткс", "лмудпязьбйчгєїхщжюшцфґ'")),
    Language("Greek", ("cp1253", "iso8859_7"), _spell("αοιετσνηυρ", "πκμλςωγδθχφβξζψάέήίόύώϊϋΐΰ")),
    Language("Arabic", ("cp1256",), _spell("اليمنورتبهعك", "دسفقحجشخصضطظغثذزءآأؤإئةىًٌٍَُِّْ")),
    Language(
        "Thai",
        ("cp874",),
        _spell("านรอกเงมยลวดทสตะปบคหแจพชขใไโผ", "ถฉซธณศภฐญฎฏฆฟฝษฬฌฮฒฑฤๅๆัิีึืฺุู็่้๊๋์ำฯ๎"),
        regex.compile(r"[\u0e30-\u0e44\u0e47-\u0e4d]"),
    ),
    Language("Japanese", ("cp932", "euc_jp"), _fit_japanese),
    Language("Korean", ("cp949",), _fit_korean),
    Language("Chinese, simplified", ("gb18030",), _list_common("gb2312", 0xB0, 0xD7, 0xF7)),
    Language("Chinese, traditional", ("big5hkscs",), _list_common("big5", 0xA4, 0xC6, 0xF9)),
    Language("Chinese, traditional", ("gb18030",), _list_common("big5", 0xA4, 0xC6, 0xF9, most=0.85)),
)
