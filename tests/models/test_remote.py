"""A model behind HTTP: the protocol, and that nothing is asked twice and nothing lost, whatever the server does."""

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import soundfile
import torch
from faulty_server import DESCRIPTION, Served, judge, serving
from scipy.io import wavfile
from warm import run_warm

from musiclime_torch.basics.errors import InputError
from musiclime_torch.commands.models import load_ensemble, load_model
from musiclime_torch.explanation.explainer import explain
from musiclime_torch.models import queries
from musiclime_torch.models.care import hash_weights
from musiclime_torch.models.remote import HttpModel, encode_wave
from musiclime_torch.song.track import Track


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Kept answers of this test alone, and no pauses."""
    monkeypatch.setenv("MUSICLIME_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(queries, "_PAUSE", 0.001)
    return tmp_path / "cache" / "answers"


@pytest.fixture
def served() -> Iterator[Served]:
    with serving() as served:
        yield served


def draw(rows: int) -> torch.Tensor:
    return torch.randn(rows, 1, 500, generator=torch.Generator().manual_seed(0)) / 4


def ask_all(model: HttpModel, track: Track) -> torch.Tensor:
    explanation = explain(model, track, n_samples=64, segments=2, target="wild")
    return torch.cat([explanation.attributions.flatten(), explanation.output_song, explanation.output_empty])


def test_a_wave_file_holds_the_very_numbers():
    sound = draw(1)[0].repeat(2, 1)
    rate, wave = wavfile.read(io.BytesIO(base64.b64decode(encode_wave(sound, 8000))))
    assert rate == 8000
    assert torch.equal(torch.from_numpy(wave.copy()).T, sound)


def test_outputs_come_back_in_order_and_are_asked_for_once(served: Served):
    model = HttpModel(served.address)
    audio, texts = draw(6), ["a", "a b", "", "a", "a b c", "d"]
    expected = torch.tensor([judge(encode_wave(row, 8000), text) for row, text in zip(audio, texts, strict=True)])
    torch.testing.assert_close(model(audio, texts), expected)
    assert (served.requests, model.sent) == (2, 6)  # four at a time, as the server says
    twice = model(audio.repeat(2, 1, 1), texts * 2)
    torch.testing.assert_close(twice, expected.repeat(2, 1))
    assert model.sent == 6
    torch.testing.assert_close(HttpModel(served.address)(audio, texts), expected)  # another process
    assert model(draw(1).repeat(3, 1, 1), ["new"] * 3).shape == (3, 3)
    assert (served.requests, model.sent) == (3, 7)


def test_the_server_is_believed(served: Served):
    model = HttpModel(served.address, batch=2)
    assert (model.sample_rate, model.channels, model.classes) == (8000, 1, ("calm", "wild", "sad"))
    assert (model.output_kind, model.modalities, model.batch) == ("multilabel", ("audio", "lyrics"), 2)
    assert model.name == served.address
    assert HttpModel(served.address).batch == 4


def test_another_version_is_another_model(served: Served):
    first = HttpModel(served.address)
    audio = draw(1)
    first(audio, [""])
    served.description = {**DESCRIPTION, "version": "2"}
    second = HttpModel(served.address)
    assert hash_weights(first) != hash_weights(second)
    second(audio, [""])
    assert second.sent == 1
    served.description = {key: value for key, value in DESCRIPTION.items() if key != "version"}
    assert hash_weights(HttpModel(served.address)) == ""


def test_a_query_chooses_the_model_and_is_in_no_hash(served: Served):
    first, second = HttpModel(f"{served.address}?key=a"), HttpModel(f"{served.address}?key=b")
    assert hash_weights(first) == hash_weights(second)
    for model in (first, second, HttpModel(f"{served.address}?key=a")):
        model(draw(1), [""])
    assert served.requests == 2


def test_without_a_cache_a_run_still_asks_once(served: Served, cache: Path):
    for _ in range(2):
        model = HttpModel(served.address, cache="off")
        for _ in range(2):
            model(draw(2), ["", ""])
        assert model.sent == 2
    assert not cache.exists()
    HttpModel(served.address, cache=cache.parent / "mine")(draw(2), ["", ""])
    assert list((cache.parent / "mine").glob("*.sqlite"))


def test_faults_change_nothing_and_cost_no_answer(served: Served, track: Track, cache: Path):
    calm = ask_all(HttpModel(served.address, cache=cache.parent / "calm"), track)
    asked = len(served.came)
    assert len(set(served.came)) == asked
    served.came.clear()
    served.answered.clear()
    served.faults = [429, "cut", 500, "slow", None, None, "hang up", 503, None, "cut, unsized", None, 429, 429, 429]
    model = HttpModel(served.address, timeout=0.2)
    assert torch.equal(ask_all(model, track), calm)
    # What failed was sent again, what was answered never.
    assert len(set(served.answered)) == len(served.answered) == asked
    assert model.sent == len(served.came) > asked


def test_no_more_is_asked_than_is_planned(served: Served, track: Track):
    explanation = explain(HttpModel(served.address), track, n_samples=64, segments=2, target="wild")
    assert 0 < len(served.came) <= explanation.audio_passes
    assert explanation.provenance["model"] == served.address


@pytest.mark.parametrize("stop", [1, 5, 9])
def test_an_interrupted_run_resumes(served: Served, track: Track, cache: Path, stop: int, monkeypatch: pytest.MonkeyPatch):
    calm = ask_all(HttpModel(served.address, cache="off"), track)
    asked = set(served.came)
    served.came.clear()
    model = HttpModel(served.address)
    send, count = model._line.ask, 0

    def interrupt(*arguments: object) -> object:
        nonlocal count
        count += 1
        if count > stop:
            raise KeyboardInterrupt
        return send(*arguments)

    monkeypatch.setattr(model._line, "ask", interrupt)
    with pytest.raises(KeyboardInterrupt):
        ask_all(model, track)
    assert torch.equal(ask_all(HttpModel(served.address), track), calm)
    assert len(served.came) == len(set(served.came)) == len(asked)
    assert set(served.came) == asked


def test_a_budget_is_never_exceeded_and_the_next_run_resumes(served: Served, track: Track, cache: Path):
    calm = ask_all(HttpModel(served.address, cache="off"), track)
    asked = len(served.came)
    served.came.clear()
    with pytest.raises(InputError) as caught:
        ask_all(HttpModel(served.address, queries=10), track)
    assert str(caught.value) == (
        f"{served.address} was sent 10 variants, as queries=10 allows: its 10 answers are kept in {cache}, and asking again "
        "resumes."
    )
    assert len(served.came) == 10
    assert torch.equal(ask_all(HttpModel(served.address, queries=asked - 10), track), calm)
    assert len(served.came) == len(set(served.came)) == asked


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda rows: {"outputs": rows[:-1]}, "answered with 1 rows of outputs for 2 variants."),
        (lambda rows: rows, "which has no list of outputs."),
        (lambda rows: {"scores": rows}, "which has no list of outputs."),
        (lambda rows: {"outputs": [row[:2] for row in rows]}, "answered with 2 outputs for a variant, expected 3."),
        (
            lambda rows: {"outputs": [[float("nan"), 0, 1]] * 2},
            "the row [NaN, 0, 1], and not with a list of finite numbers.",
        ),
        (lambda rows: {"outputs": [["0.5", 0, 1]] * 2}, 'the row ["0.5", 0, 1], and not with a list of finite numbers.'),
        (lambda rows: {"outputs": [[10**400, 0, 1]] * 2}, "and not with a list of finite numbers."),
        (lambda rows: {"outputs": [[True, 0, 1]] * 2}, "the row [true, 0, 1], and not with a list of finite numbers."),
        (lambda rows: {"outputs": [0.5, 0.5]}, "the row 0.5, and not with a list of finite numbers."),
        (lambda rows: {"outputs": rows, "classes": ["a", "b", "c"]}, 'for the classes ["a", "b", "c"], expected ["calm", '),
        ("text", "answered with something else than JSON ('<html>it works</html>')."),
    ],
)
def test_nonsense_is_a_sentence_and_is_not_kept(served: Served, answer: object, said: str):
    served.faults = [answer]
    with pytest.raises(InputError) as caught:
        HttpModel(served.address)(draw(2), ["", ""])
    assert str(caught.value).startswith(f"{served.address} answered ")
    assert said in str(caught.value)
    again = HttpModel(served.address)
    again(draw(2), ["", ""])
    assert again.sent == 2


@pytest.mark.parametrize(
    ("description", "said"),
    [
        (["a"], 'describes its model as ["a"], and not as a JSON object.'),
        ({"sample_rate": "16k"}, 'describes its model with sample_rate="16k", which can\'t be understood.'),
        ({"classes": []}, "with classes=[], which can't be understood."),
        ({"output_kind": "vibes"}, 'with output_kind="vibes", which'),
        ({"modalities": ["lyrics", "audio"]}, 'with modalities=["lyrics", "audio"], which'),
        ({"batch": 0}, "with batch=0, which"),
        ({"batch": True}, "with batch=true, which"),
        ({"classes": ["a"]}, "doesn't say which sample rate it takes: give it after the address, as #sample_rate=16000."),
        (403, "refused with HTTP 403 ('no entry'): set MUSICLIME_TOKEN to a token that it accepts."),
    ],
)
def test_a_description_that_cannot_be_used_is_a_sentence(description: object, said: str):
    with serving(description) as served, pytest.raises(InputError) as caught:
        HttpModel(served.address)
    assert str(caught.value).startswith(served.address)
    assert said in str(caught.value)


def test_a_server_that_describes_nothing_is_described_by_the_caller(track: Track):
    with serving(None) as served:
        model = load_model(f"{served.address}#sample_rate=8000,batch=3")
        explanation = explain(model, track, n_samples=64, segments=2, classes=["calm", "wild", "sad"], target="sad")
        assert explanation.classes == ("calm", "wild", "sad")
        with pytest.raises(InputError, match=r"takes sound at 8000 Hz, got sample_rate=16000: leave it out"):
            explain(model, track, sample_rate=16000)


def test_lyrics_alone_or_sound_alone(track: Track):
    with serving({**DESCRIPTION, "modalities": ["audio"]}) as served:
        explain(HttpModel(served.address), track, n_samples=32, segments=2)
        assert all(len(variant) == 1 for variant in served.came)


def test_settings_after_the_address(served: Served):
    model = load_model(f"{served.address}#queries=5,per_second=2.5,timeout=3,tries=2,batch=1,cache=off")
    assert model._line.limits == queries.Limits(5, 2.5, 3.0, 2)
    served.description = {**DESCRIPTION, "per_second": 1}
    assert HttpModel(served.address, per_second=3)._line.limits.per_second == 1
    for name, said in (
        ("quereis=5", r"setting 'quereis' after # is not known \(did you mean 'queries'\?\): use queries, "),
        ("queries=few", "setting 'queries=few' after # can't be read: queries is a number"),
        ("queries=0", "queries must be positive, got 0"),
    ):
        with pytest.raises(InputError, match=said):
            load_model(f"{served.address}#{name}")


def test_an_ensemble_refuses_it_without_telling_secrets(served: Served):
    name = served.address.replace("//", "//me:s3cret@") + "?key=s3cret#queries=5"
    with pytest.raises(InputError) as caught:
        load_ensemble(name, "demo", (1.0, 1.0))
    assert str(caught.value) == f"the model {served.address!r} can't be added to another: explain it by itself."


def test_on_the_command_line(served: Served, tmp_path: Path):
    sound = torch.rand(16000, generator=torch.Generator().manual_seed(0)).numpy() / 2
    soundfile.write(tmp_path / "song.wav", sound, 8000)
    (tmp_path / "song.txt").write_text("hold me now")
    asked = ["explain", "song.wav", "--lyrics", "song.txt", "--separator", "hpss", "--segments", "2", "--device", "cpu"]
    asked += ["--n-samples", "64"]
    login = served.address.replace("//", "//me:s3cret@") + "?key=s3cret"
    short = run_warm([*asked, "--model", f"{login}#queries=10"], tmp_path)
    assert (short.returncode, short.stdout, len(served.came)) == (2, "", 10)
    assert "was sent 10 variants, as queries=10 allows: its 10 answers are kept in " in short.stderr.splitlines()[-1]
    full = run_warm([*asked, "--model", login, "--format", "json", "--out", "out"], tmp_path)
    assert full.returncode == 0, full.stderr
    assert len(served.came) == len(set(served.came))
    record = json.loads(full.stdout)
    assert list(record["classes"]) == ["calm", "wild", "sad"]
    written = b"".join(path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert b"s3cret" not in written + full.stdout.encode() + full.stderr.encode() + short.stderr.encode()
    assert served.address.encode() in written
    unread = b"".join(path.read_bytes() for path in (tmp_path / "cache").rglob("*") if path.is_file())
    assert b"s3cret" not in unread


def test_a_catalogue_resumes_with_another_budget(served: Served, tmp_path: Path):
    (tmp_path / "songs").mkdir()
    sound = torch.rand(16000, generator=torch.Generator().manual_seed(0)).numpy() / 2
    soundfile.write(tmp_path / "songs" / "a.wav", sound, 8000)
    login = served.address.replace("//", "//me:s3cret@") + "?key=s3cret"
    asked = ["corpus", "songs", "--separator", "hpss", "--segments", "2", "--device", "cpu", "--out", "out"]
    short = run_warm([*asked, "--model", f"{login}#queries=5"], tmp_path)
    assert short.returncode == 2
    assert "was sent 5 variants, as queries=5 allows" in short.stderr
    done = run_warm([*asked, "--model", f"{login}#queries=500", "--retry"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(served.came) == len(set(served.came))
    written = b"".join(path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert served.address.encode() in written
    assert b"s3cret" not in written + done.stderr.encode() + short.stderr.encode()
