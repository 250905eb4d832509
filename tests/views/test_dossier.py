"""The dossier: every sentence is true to the numbers, the archive has everything, nothing from outside is markup."""

import hashlib
import json
import re
import zipfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import soundfile
import torch
from chromium import find_faults, open_page, overflow
from models import Additive, Late

from musiclime_torch.basics.errors import InputError
from musiclime_torch.explanation.explainer import explain
from musiclime_torch.explanation.explanation import Explanation
from musiclime_torch.song.track import Track
from musiclime_torch.views.dossier import (
    list_effects,
    list_exhibits,
    tell_certainty,
    tell_limits,
    tell_question,
    tell_repetition,
    write_dossier,
)

WHEN = datetime(2026, 3, 4, 5, 6, tzinfo=UTC)


def read_text(page: str) -> str:
    return " ".join(re.sub(r"<style>.*?</style>|<[^>]*>", " ", page, flags=re.S).split())


@pytest.fixture
def explanation(track: Track) -> Explanation:
    return explain(Additive(), track, segments=2, n_samples=64, evidence=True)


def test_the_archive_has_everything_and_its_sums_are_right(explanation: Explanation, track: Track, tmp_path: Path):
    archive = write_dossier(explanation, track, tmp_path / "dossier", when=WHEN)
    with zipfile.ZipFile(archive) as kept:
        names = sorted(kept.namelist())
        assert {entry.date_time for entry in kept.infolist()} == {(2026, 3, 4, 5, 6, 0)}
        kept.extractall(tmp_path / "out")
    sounds = [f"sounds/{name}.flac" for name in ("song", "keeping", "flipping")]
    files = ["HOW-TO-REPEAT.txt", "SHA256SUMS", "attributions.csv", "dossier.html", "explanation.json"]
    present = [name for name in sounds if (tmp_path / "dossier" / name).exists()]
    assert "sounds/song.flac" in present
    assert names == sorted(f"dossier/{name}" for name in [*files, "explanation.safetensors", *present])
    folder = tmp_path / "out" / "dossier"
    sums = dict(reversed(line.split("  ")) for line in (folder / "SHA256SUMS").read_text().splitlines())
    assert set(sums) == {name.removeprefix("dossier/") for name in names} - {"SHA256SUMS"}
    for name, value in sums.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == value
    assert soundfile.info(folder / "sounds" / "song.flac").frames == track.stems.shape[-1]
    assert json.loads((folder / "explanation.json").read_text())["provenance"]["title"] == "noise"
    loaded = Explanation.load(folder / "explanation.safetensors")
    assert torch.equal(loaded.attributions, explanation.attributions)


def test_the_same_dossier_twice_is_the_same_to_the_last_bit(explanation: Explanation, track: Track, tmp_path: Path):
    there = WHEN.astimezone(timezone(timedelta(hours=-7)))
    one, two = (write_dossier(explanation, track, tmp_path / name, when=when) for name, when in (("a", WHEN), ("b", there)))
    assert one.read_bytes() == two.read_bytes()


def test_the_page_says_what_the_model_said(explanation: Explanation, track: Track, tmp_path: Path):
    write_dossier(explanation, track, tmp_path, when=WHEN)
    page = (tmp_path / "dossier.html").read_text()
    text, row = read_text(page), explanation.target
    assert "4 March 2026, 05:06 UTC" in text
    assert f"Why does the model decide as it does about “{explanation.classes[row]}” for noise?" in text
    song, empty = float(explanation.output_song[row]), float(explanation.output_empty[row])
    assert f"{explanation.classes[row]} {song:.3g} {empty:.3g}" in text
    for component, value, half in explanation.top(5):
        assert f"{component.name} {value:+.3g} {value - half:+.3g} {value + half:+.3g}" in text
    for hashed in ("audio_hash", "model_hash", "lyrics_hash"):
        assert explanation.provenance[hashed] in text
    assert "<script" not in page
    assert "default-src &#39;none&#39;" in page


def test_exhibits_are_what_was_run(explanation: Explanation):
    evidence = explanation.evidence
    assert evidence is not None
    items = explanation.components.items
    exhibits = list_exhibits(explanation, ["sounds/keeping.flac"])
    assert exhibits
    for exhibit in exhibits:
        keeps = exhibit.heading == "What keeps the decision"
        columns = evidence.keeping if keeps else evidence.flipping
        output = evidence.output_keeping if keeps else evidence.output_flipping
        assert columns is not None
        assert exhibit.names == tuple(items[column].name for column in columns)
        assert f"logit {output:.3g} " in exhibit.text
        assert exhibit.text.endswith("the decision is the same." if keeps else "the decision is another.")
        assert exhibit.sound == ("sounds/keeping.flac" if keeps else "")


CASES: dict[str, tuple[dict[str, Any], list[str], list[str]]] = {
    "sampled": ({"n_samples": 64}, ["at least 95% of such intervals"], ["Sampling left no error"]),
    "99%": ({"n_samples": 64, "confidence": 0.99}, ["at least 99% of such intervals", "at most 1% of such"], []),
    "all masks": ({"segments": 1, "units": "line"}, ["Sampling left no error"], ["of such intervals"]),
    "no evidence": ({"n_samples": 64}, [], ["was not estimated"]),
    "evidence": ({"n_samples": 64, "evidence": True}, ["the model was run on each of these versions"], []),
}


@pytest.mark.parametrize("name", CASES)
def test_certainty_is_told_as_it_is(track: Track, name: str):
    settings, said, unsaid = CASES[name]
    explanation = explain(Late(), track, **{"segments": 2} | settings)
    text = " ".join(tell_certainty(explanation))
    assert f"The model was run on {explanation.n_variants:,} variants of the song" in text
    significant = int(explanation.significant[explanation.target].sum())
    assert f"{significant} of {len(explanation.components)} parts are distinguishable from zero" in text
    assert f"explains {100 * float(explanation.fidelity[explanation.target]):.0f}% of how the output varies" in text
    assert [sentence for sentence in said if sentence not in text] == []
    assert [sentence for sentence in unsaid if sentence in text] == []


def test_parts_that_only_act_together_are_said_to(explanation: Explanation):
    poor = replace(explanation, fidelity=torch.full_like(explanation.fidelity, -0.7))
    assert "Adding up single parts doesn’t describe how the output varies" in " ".join(tell_certainty(poor))
    assert "explains" not in " ".join(tell_certainty(poor))


def test_what_was_not_found_is_said(explanation: Explanation, track: Track, tmp_path: Path):
    assert explanation.evidence is not None
    for change, said in (
        ({"keeping": None, "output_keeping": None}, "No set of parts was found that keeps the decision alone."),
        ({"flipping": None, "output_flipping": None}, "No set of parts was found whose removal flips the decision."),
        ({"keeping": (), "flipping": None, "variants": 0}, "stays with everything removed: nothing of the song"),
    ):
        other = replace(explanation, evidence=replace(explanation.evidence, **change))
        write_dossier(other, track, tmp_path)
        assert said in read_text((tmp_path / "dossier.html").read_text())
    write_dossier(replace(explanation, evidence=None), track, tmp_path)
    assert "No evidence was looked for" in read_text((tmp_path / "dossier.html").read_text())


@pytest.mark.parametrize(
    ("more", "question"),
    [
        ({"output_kind": "regression"}, "Why is the model’s output “wild” what it is for noise?"),
        ({"output_kind": "similarity"}, "Why does the model place noise where it does beside wild?"),
        ({"asked": "Sad?"}, "The model was asked “Sad?” about noise. Why does it answer as it does?"),
    ],
)
def test_the_question_is_the_one_that_was_asked(explanation: Explanation, more: dict[str, str], question: str):
    about = replace(explanation, provenance=explanation.provenance | more, target=1)
    assert tell_question(about) == question


def test_warnings_and_stand_ins_are_limits(explanation: Explanation):
    warned = replace(explanation, warnings=("the song was cut short",))
    said = tell_limits(warned)
    assert said[-1] == "The song was cut short."
    assert "A removed stem became: silence. Something else in its place asks another question." in said
    song = {"baseline_song": {"title": "another", "audio_hash": ""}}
    assert "the stems of 'another'" in " ".join(tell_limits(replace(warned, provenance=warned.provenance | song)))


def test_edits_are_told_as_edits(track: Track, tmp_path: Path):
    lower = explain(Additive(), track, segments=2, n_samples=64, evidence=True, edits=True, baseline="-12 dB")
    assert "Parts were not removed but compared with every stem 12 dB lower" in " ".join(tell_limits(lower))
    write_dossier(lower, track, tmp_path)
    text = read_text((tmp_path / "dossier.html").read_text())
    assert "everything removed" not in text.split("4. How certain")[0]
    assert lower.evidence is not None
    edit = lower.evidence.edit
    assert edit is not None
    found = [exhibit for exhibit in list_exhibits(lower, []) if exhibit.heading.startswith("The smallest edit")]
    assert len(found) == (edit.columns is not None)
    if edit.columns is not None:
        assert f"logit {edit.output:.3g} " in found[0].text


def test_it_can_be_repeated(explanation: Explanation, track: Track):
    said = "\n".join(tell_repetition(explanation))
    assert "explain(model, track, segments=2, n_samples=64, evidence=True)" in said
    again = explain(Additive(), track, segments=2, n_samples=64, evidence=True)
    assert torch.equal(again.attributions, explanation.attributions)
    typed = replace(explanation, provenance=explanation.provenance | {"command": "musiclime explain song.flac"})
    assert "3. Run the same command on the same files: musiclime explain song.flac" in tell_repetition(typed)


def test_nothing_significant_is_said_so(explanation: Explanation, track: Track, tmp_path: Path):
    none = replace(explanation, attributions=torch.zeros_like(explanation.attributions))
    assert list_effects(none) == []
    write_dossier(none, track, tmp_path)
    assert "No single part is distinguishable from zero." in read_text((tmp_path / "dossier.html").read_text())


def test_names_from_outside_are_text(explanation: Explanation, track: Track, tmp_path: Path):
    evil = "<script>alert(1)</script>\x00"
    known = explanation.provenance | {"title": evil, "model": evil, "command": evil}
    write_dossier(replace(explanation, provenance=known, warnings=(evil,)), track, tmp_path)
    page = (tmp_path / "dossier.html").read_text()
    assert "<script" not in page
    assert "\x00" not in page


def test_another_track_and_a_file_as_folder_are_refused(explanation: Explanation, track: Track, tmp_path: Path):
    with pytest.raises(InputError, match="not the one that was explained"):
        write_dossier(explanation, replace(track, stems=track.stems[:, :, :9000]), tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="can't be written to"):
        write_dossier(explanation, track, tmp_path / "file")


@pytest.mark.parametrize("width", [390, 1280])
def test_anybody_can_read_it(browser: Any, explanation: Explanation, track: Track, tmp_path: Path, width: int):
    write_dossier(explanation, track, tmp_path, when=WHEN)
    with open_page(browser, tmp_path / "dossier.html", width) as (page, heard):
        assert page.locator("section:has(#effects) tbody tr").count() == len(explanation.top(20))
        assert find_faults(page) == []
        assert overflow(page) == 0
        # The sound lies beside the page and can be played: its length is known once it was read.
        page.wait_for_function("document.querySelector('audio').duration > 1.9")
        assert heard.complaints == []
