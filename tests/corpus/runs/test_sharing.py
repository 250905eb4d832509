"""Songs that share batches: the same numbers as each for itself, in fewer calls."""

import threading

import pytest
import torch
from torch import Tensor

from musiclime_torch.corpus.runs.job import begin_job
from musiclime_torch.corpus.runs.running import TOGETHER, explain_shard
from musiclime_torch.corpus.runs.sharing import SharedModel
from musiclime_torch.demo.bundle import load_demo_model
from musiclime_torch.demo.catalogue import write_catalogue
from musiclime_torch.demo.plan import TAGS
from musiclime_torch.models.batches import count_flops
from musiclime_torch.models.contract import TokenBatch
from musiclime_torch.models.subject import describe_model
from musiclime_torch.song.manifest import Entry, read_manifest
from musiclime_torch.song.track import load_track


class Counting:
    """A model that notes how many rows it is given, and fails on what it can't stand."""

    sample_rate, classes = 1000, ("a", "b")

    def __init__(self, hates: float = 9.0) -> None:
        self.calls: list[int] = []
        self.hates = hates

    def __call__(self, audio: Tensor, text: list[str]) -> Tensor:
        self.calls.append(len(audio))
        if (audio.amax((1, 2)) > self.hates).any():
            raise RuntimeError("too loud")
        score = audio.square().mean((1, 2))
        return torch.stack([score, torch.tensor([float(len(line)) for line in text])], 1)


def ask(model, level: float, rows: int, frames: int = 10):
    return lambda: model(torch.full((rows, 1, frames), level), ["x" * int(level)] * rows)


def test_requests_are_joined_up_to_a_batch_and_parted_again():
    model = Counting()
    shared = SharedModel(model, 8)
    found = shared.run_together([ask(shared, float(level), 3) for level in range(5)])
    assert sorted(model.calls) == [3, 6, 6]
    for level, answer in enumerate(found):
        assert torch.equal(answer, ask(Counting(), float(level), 3)())


def test_other_shapes_are_asked_for_themselves():
    model = Counting()
    shared = SharedModel(model, 100)
    shared.run_together([ask(shared, 1.0, 2, frames) for frames in (10, 10, 12)])
    assert sorted(model.calls) == [2, 4]


def test_a_song_that_fails_fails_alone():
    shared = SharedModel(Counting(hates=3.0), 100)
    said: dict[int, str] = {}

    def careful(level: int):
        try:
            return ask(shared, float(level), 2)()
        except RuntimeError as error:
            said[level] = str(error)
            return None

    found = shared.run_together([lambda level=level: careful(level) for level in range(5)])
    assert said == {4: "too loud"}
    assert all(found[level] is not None for level in range(4))


def test_songs_that_ask_more_often_than_others_are_not_left_waiting():
    model = Counting()
    shared = SharedModel(model, 100)

    def often(times: int):
        return [ask(shared, 1.0, 1)() for _ in range(times)]

    found = shared.run_together([lambda times=times: often(times) for times in (1, 4, 0, 2)])
    assert [len(answers) for answers in found] == [1, 4, 0, 2]
    assert model.calls == [3, 2, 1, 1]


def test_an_error_of_ours_comes_out():
    shared, before = SharedModel(Counting(), 100), set(threading.enumerate())
    with pytest.raises(ZeroDivisionError):
        shared.run_together([ask(shared, 1.0, 1), lambda: 1 / 0])
    assert set(threading.enumerate()) <= before


def test_token_batches_are_joined():
    class Reader(Counting):
        def encode_text(self, text: TokenBatch) -> Tensor:
            self.calls.append(len(text.embeddings))
            return (text.embeddings * text.attended[:, :, None]).sum(1)

    model = Reader()
    shared = SharedModel(model, 100)
    batches = [TokenBatch(torch.randn(2, 4, 3), torch.rand(2, 4) > 0.5) for _ in range(3)]
    found = shared.run_together([lambda one=one: shared.encode_text(one) for one in batches])
    assert model.calls == [6]
    for one, answer in zip(batches, found, strict=True):
        assert torch.equal(answer, Reader().encode_text(one))


def test_places_of_tokens_are_joined_too():
    class Reader(Counting):
        def encode_text(self, text: TokenBatch) -> Tensor:
            self.calls.append(len(text.embeddings))
            return text.embeddings.sum((1, 2)) if text.positions is None else text.positions.sum(1).float()

    model = Reader()
    shared, there = SharedModel(model, 100), torch.ones(2, 4, dtype=torch.bool)
    places = [torch.arange(4).expand(2, -1) + song for song in range(2)]
    batches = [*(TokenBatch(torch.ones(2, 4, 3), there, each) for each in places), TokenBatch(torch.ones(2, 4, 3), there)]
    found = shared.run_together([lambda one=one: shared.encode_text(one) for one in batches])
    assert sorted(model.calls) == [2, 4]
    assert [answer.tolist() for answer in found] == [[6, 6], [10, 10], [12, 12]]


def test_operations_are_counted_for_the_song_they_are_for():
    weights = torch.randn(5, 7)

    def model(audio: Tensor) -> Tensor:
        return audio @ weights

    shared = SharedModel(model, 100)
    calls = [lambda rows=rows: count_flops(lambda: shared(torch.zeros(rows, 5)))[1] for rows in (1, 2, 6)]
    assert shared.run_together(calls) == [rows * 2 * 5 * 7 for rows in (1, 2, 6)]


def test_it_declares_what_the_model_does():
    for model in (load_demo_model(), Counting()):
        given = {"sample_rate": None, "classes": None, "output_kind": None, "modalities": None}
        own, shared = describe_model(model, **given), describe_model(SharedModel(model, 8), **given)
        for name in ("module", "name", "sample_rate", "classes", "modalities", "text_form", "late_fusion", "output_kind"):
            assert getattr(own, name) == getattr(shared, name)


@pytest.mark.slow
def test_a_shard_is_the_same_in_shared_batches(tmp_path):
    entries = read_manifest(write_catalogue(tmp_path / "songs", TOGETHER + 2, 0, tuple(TAGS)))
    entries = (*entries, Entry("broken"))
    # Of one length, as windows of real models are.
    songs = [(one, load_track(one.audio, lyrics=one.lyrics, separator="none", end=8.0)) for one in entries[:-1]]
    songs.insert(3, (entries[-1], "it has no audio"))
    tables, calls = [], []
    for batch_size in (64, 1024):
        model = load_demo_model()
        counted: list[int] = []
        model.register_forward_hook(lambda *call, counted=counted: counted.append(1))
        encode = model.encode_audio
        model.encode_audio = lambda audio, encode=encode, counted=counted: counted.append(1) or encode(audio)
        options = {"n_samples": 64, "segments": 4, "batch_size": batch_size}
        job = begin_job(entries, tmp_path / str(batch_size), options=options, controls=0.5)
        tables.append(explain_shard(model, job, songs).tables)
        calls.append(len(counted))
    assert calls[1] < 0.75 * calls[0]
    for name in ("attributions", "controls", "songs", "failures"):
        assert [row["id"] for row in tables[0][name]] == [row["id"] for row in tables[1][name]]
    for name in ("attributions", "controls"):
        numbers = [torch.tensor([row["attribution"] for row in one[name]]) for one in tables]
        assert torch.allclose(*numbers, rtol=1e-5, atol=1e-5)
