"""Manifests: every form gives the same songs, and rows that cannot be read are named."""

import json
from pathlib import Path

import numpy as np
import pyarrow
import pytest
import soundfile
from hypothesis import given, strategies as st
from pyarrow import parquet

from musiclime_torch.basics.errors import InputError
from musiclime_torch.song.manifest import Entry, check_ids, find_bad, leave_out, read_folder, read_manifest

ROWS = [
    {"id": "one", "audio": "a.wav", "lyrics": "hold me\nnow, love", "label": "rock", "split": "train"},
    {"id": "two", "audio": "b.wav", "lyrics": "words.txt", "label": "pop;sad", "split": "val"},
    {"id": "3", "audio": "b.wav", "lyrics": "", "label": "", "split": "test"},
]


def write(folder: Path, kind: str, rows: list[dict[str, object]] = ROWS) -> Path:
    path = folder / f"songs.{kind}"
    if kind in ("csv", "tsv", "semicolon.csv"):
        mark = {"csv": ",", "tsv": "\t", "semicolon.csv": ";"}[kind]
        lines = [mark.join(rows[0])]
        lines += [mark.join('"' + str(value).replace('"', '""') + '"' for value in row.values()) for row in rows]
        path.write_text("\ufeff" + "\n".join(lines) + "\n", encoding="utf-8")
    elif kind == "jsonl":
        path.write_text("\n\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    else:
        parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return path


@pytest.mark.parametrize("kind", ["csv", "tsv", "semicolon.csv", "jsonl", "parquet"])
def test_every_form_gives_the_same_songs(tmp_path: Path, kind: str):
    (tmp_path / "words.txt").write_text("la la")
    one, two, three = read_manifest(write(tmp_path, kind))
    assert (one.id, one.audio, one.lyrics) == ("one", tmp_path / "a.wav", "hold me\nnow, love")
    assert (one.labels, one.split) == (("rock",), "train")
    assert (two.lyrics, two.labels, two.split) == (tmp_path / "words.txt", ("pop", "sad"), "valid")
    assert (three.id, three.lyrics, three.labels, three.stems) == ("3", None, (), None)


def test_rows_are_found_again_by_line(tmp_path: Path):
    places = [entry.place for entry in read_manifest(write(tmp_path, "csv"))]
    assert places == ["row 1, line 2", "row 2, line 4", "row 3, line 5"]
    assert [entry.place for entry in read_manifest(write(tmp_path, "jsonl"))][1] == "row 2, line 3"


def test_labels_may_be_lists_and_paths_have_columns_of_their_own(tmp_path: Path):
    rows = [{"ID": 7, "audio_path": "x.mp3", "lyrics_path": "none", "labels": ["a", "b", "a"], "other": {"x": 1}}]
    (entry,) = read_manifest(write(tmp_path, "jsonl", rows))
    assert (entry.id, entry.audio, entry.lyrics) == ("7", tmp_path / "x.mp3", tmp_path / "none")
    assert entry.labels == ("a", "b")


@pytest.mark.parametrize(
    "text",
    [
        "id,audio,label\na,x.mp3,l\nb,y.mp3,\n,,\n,,\n",
        "id,audio,label\r\n,,\r\na,x.mp3,l\r\n\r\nb,y.mp3\r\n",
        "id,audio,label,,\na,x.mp3,l,,\nb,y.mp3,,,\n,,,,\n",
        "id,audio,label\na,x.mp3,l,,,\nb,y.mp3,, ,\n",
        ",,\n\nid,audio,label\na,x.mp3,l\n \nb,y.mp3,\n",
        "sep=;\nid;audio;label\na;x.mp3;l\nb;y.mp3;\n;;\n",
        '"sep=\t"\r\nid\taudio\tlabel\r\na\tx.mp3\tl\r\nb\ty.mp3\r\n',
    ],
)
def test_what_spreadsheets_write_around_the_songs_is_left_out(tmp_path: Path, text: str):
    path = tmp_path / "m.csv"
    path.write_bytes(text.encode("utf-8-sig"))
    songs = [(entry.id, entry.audio and entry.audio.name, entry.labels) for entry in read_manifest(path)]
    assert songs == [("a", "x.mp3", ("l",)), ("b", "y.mp3", ())]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("m.csv", "name,audio\na,b\n", "no column `id`, but name, audio"),
        ("m.csv", "id,audio\n", "has no rows"),
        ("m.csv", "id,audio\na,b,c\n", "row 1, line 2 has a different number of cells"),
        ("m.csv", "id,audio,lyrics\na,b,one\ntwo\n", "row 2, line 3 has a different number of cells"),
        ("m.csv", 'id,lyrics\na,"b\nc"\n\n,,\n,d\n', "row 2, line 6 has no id"),
        ("m.csv", "sep=;\n\nid;audio\n;b\n", "row 1, line 4 has no id"),
        ("m.csv", ",,\r\n,,\r\n", "no column `id`, but nothing"),
        ("m.csv", "id,audio\na,b\na,c\n", "row 2, line 3: the id 'a' is that of row 1, line 2 too"),
        ("m.csv", "id,audio\n,b\n", "row 1, line 2 has no id"),
        ("m.csv", "id,split\na,both\n", "the split 'both' is not known"),
        ("m.csv", "id,x\nä,b\n".encode("latin-1"), "save it as UTF-8"),
        ("m.jsonl", '{"id": 1}\n[2]\n', "row 2, line 2 is not an object"),
        ("m.jsonl", '{"id": 1}\n{"id": \n', "can't be read at row 2"),
        ("m.parquet", "not parquet", "can't be read as Parquet"),
        ("m.xlsx", "x", "has an unknown suffix"),
    ],
)
def test_tables_that_are_none_are_refused(tmp_path: Path, name: str, text: str | bytes, said: str):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=said.replace("(", r"\(")):
        read_manifest(path)
    with pytest.raises(InputError, match="there is no manifest"):
        read_manifest(tmp_path / "nothing.csv")


def test_bad_rows_are_named_counted_and_skipped_if_asked(tmp_path: Path):
    soundfile.write(tmp_path / "a.wav", np.zeros(800), 8000)
    (tmp_path / "b.wav").write_text("no sound")
    entries = read_manifest(write(tmp_path, "csv"))
    bad = find_bad(entries, ("audio", "label"))
    assert [one.entry.id for one in bad] == ["two", "3"]
    with pytest.raises(InputError, match=r"2 of 3 songs .*row 2, line 4 \(two\): there is no .*words.txt.*skip_bad"):
        leave_out(entries, bad, skip=False)
    assert [entry.id for entry in leave_out(entries, bad, skip=True)] == ["one"]
    with pytest.raises(InputError, match="none of the 2 songs"):
        leave_out(entries[1:], bad, skip=True)
    assert "b.wav" in find_bad([Entry("x", tmp_path / "b.wav")], ())[0].reason
    assert find_bad([Entry("x")], ("audio",))[0].reason == "it has no audio"


@given(st.text(max_size=60))
def test_any_text_survives_a_csv_and_json_lines(text: str):
    from tempfile import TemporaryDirectory

    cleaned = text.replace("\r", "").replace("\0", "").strip()
    if any(0xD800 <= ord(letter) < 0xE000 for letter in cleaned):
        return
    with TemporaryDirectory() as folder:
        for kind in ("csv", "jsonl"):
            (entry,) = read_manifest(write(Path(folder), kind, [{"id": "x", "lyrics": cleaned + "\n."}]))
            assert entry.lyrics == (cleaned + "\n.").strip()


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ('{"id": "a", "lyrics": ["one", "two"]}', "lyrics is a list or an object"),
        ('{"id": {"n": 1}}', "id is a list or an object"),
        ('{"id": "\\ud800"}', "half a character"),
        ('{"id": NaN}', "has no id"),
    ],
)
def test_cells_that_are_no_text_are_refused(tmp_path, row, said):
    (tmp_path / "m.jsonl").write_text(row)
    with pytest.raises(InputError, match=said):
        read_manifest(tmp_path / "m.jsonl")


def test_nan_stands_for_nothing(tmp_path):
    (tmp_path / "m.jsonl").write_text(
        '{"id": "a", "audio": "a.wav", "lyrics": NaN, "label": NaN, "stems": NaN, "split": NaN}'
    )
    (entry,) = read_manifest(tmp_path / "m.jsonl")
    assert (entry.lyrics, entry.labels, entry.stems, entry.split) == (None, (), None, "")


def test_a_folder_is_read_as_songs_with_the_lyrics_beside_them(tmp_path: Path):
    for name in (
        "b.flac",
        "a.wav",
        "a.mp3",
        "album/c d.ogg",
        "album/c d.txt",
        "album/c d.lrc",
        "b.txt",
        "notes.txt",
        ".x.wav",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    for name in ("drums", "vocals", "mix"):
        (tmp_path / "band").mkdir(exist_ok=True)
        (tmp_path / "band" / f"{name}.wav").write_text("")
    (tmp_path / "band.lrc").write_text("")
    entries = read_folder(tmp_path)
    assert [entry.id for entry in entries] == ["a.mp3", "a.wav", "album/c d", "b", "band"]
    lyrics = {entry.id: entry.lyrics and entry.lyrics.name for entry in entries}
    assert lyrics == {"a.mp3": None, "a.wav": None, "album/c d": "c d.lrc", "b": "b.txt", "band": "band.lrc"}
    assert entries[4].audio == tmp_path / "band"
    check_ids(entries, "the folder")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"there are no sound files in '.*empty': give a folder of songs, or a manifest"):
        read_folder(tmp_path / "empty")
