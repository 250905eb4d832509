"""Masks that are looked up: the same values for fewer passes, and models that aren't as local as they say."""

from dataclasses import replace

import pytest
import torch
from local import FIELD, HOP, Local, LocalLate
from models import RATE

from musiclime_torch.basics.errors import InputError
from musiclime_torch.basics.progress import Stages, State
from musiclime_torch.demo import load_demo_model, load_demo_track
from musiclime_torch.explanation.answers import Answers
from musiclime_torch.explanation.estimation import crossed
from musiclime_torch.explanation.estimation.loop import count_effort, count_passes
from musiclime_torch.explanation.explainer import explain, explain_with
from musiclime_torch.explanation.explanation import Explanation
from musiclime_torch.explanation.settings import read_settings
from musiclime_torch.models.subject import describe_model
from musiclime_torch.song.lyrics.lyrics import parse_lyrics
from musiclime_torch.song.track import Track
from musiclime_torch.surrogate.sampling import Sampling
from musiclime_torch.variants import look_ups
from musiclime_torch.variants.asking import encode_audio, run_groups, run_joint
from musiclime_torch.variants.components import list_components
from musiclime_torch.variants.local_maps import LocalMaps
from musiclime_torch.variants.probe import Probe, edit_probe, prepare_sources

SEGMENTS = 6

#: Three stems: 64 variants in a table, and 8 to check it.
TABLE = 64 + 8


def make_track(seconds: float = 3.0, lyrics: bool = False) -> Track:
    stems = torch.randn(3, 1, round(seconds * RATE), generator=torch.Generator().manual_seed(3)) * 0.3
    words = parse_lyrics("sun and moon\nrain on sea") if lyrics else None
    return Track(stems, ("drums", "bass", "vocals"), RATE, words, title="noise", source="made by hand")


def make_probe(model: Local, longest: float | None = None, baseline: str = "silence") -> Probe:
    model.max_seconds = longest
    subject = describe_model(model, sample_rate=None, classes=None, output_kind=None, modalities=None)
    track = make_track(lyrics=subject.late_fusion)
    components = list_components(track, SEGMENTS, "word", subject.modalities)
    sources = prepare_sources(subject, track, components, baseline, None, 0, torch.device("cpu"))
    seen = components.seen(sources.unseen)
    return Probe(subject, sources, seen, len(components), torch.device("cpu"), 16)


def hide(probe: Probe) -> Probe:
    """The same model, that offers no maps."""
    return replace(probe, subject=replace(probe.subject, receptive_field=None), local=LocalMaps())


def draw(count: int, columns: int) -> torch.Tensor:
    return torch.rand(count, columns, generator=torch.Generator().manual_seed(4)) < 0.5


def explain_plainly(model: torch.nn.Module, track: Track, monkeypatch: pytest.MonkeyPatch, **asked: object) -> Explanation:
    """Without tables."""
    with monkeypatch.context() as patched:
        patched.setattr(look_ups, "MOST", 0)
        patched.setattr("musiclime_torch.variants.asking.pays", lambda *_: False)
        patched.setattr(look_ups, "pays", lambda *_: False)
        return explain(model, track, **asked)


@pytest.mark.parametrize("baseline", ["silence", "noise", "low-pass 1000 Hz"])
def test_outputs_of_many_masks_are_those_of_the_model(baseline):
    model = Local()
    probe, masks = make_probe(model, baseline=baseline), draw(200, 3 * SEGMENTS)
    said = run_joint(probe, masks)
    assert model.rows == {"whole": 8, "local": 64}
    assert probe.tally["variants"] == TABLE
    torch.testing.assert_close(said, run_joint(hide(probe), masks), atol=1e-5, rtol=1e-5)
    assert model.rows["whole"] == 8 + 200
    # Once there is a table, whatever is asked is looked up.
    assert torch.equal(run_joint(probe, masks[:3]), said[:3])
    assert probe.tally["variants"] == TABLE + 200


def test_few_masks_are_run():
    model = Local()
    probe = make_probe(model)
    run_joint(probe, draw(TABLE, 3 * SEGMENTS))
    assert model.rows == {"whole": TABLE, "local": 0}
    run_joint(probe, draw(TABLE + 1, 3 * SEGMENTS))
    assert model.rows == {"whole": TABLE + 8, "local": 64}


def test_sound_beside_lyrics_is_looked_up():
    model = LocalLate()
    probe = make_probe(model)
    masks = draw(300, 3 * SEGMENTS)
    (said,) = encode_audio(probe, masks)
    assert model.encoded["audio"] == probe.tally["encode_audio"] == TABLE
    (own,) = encode_audio(hide(probe), masks)
    torch.testing.assert_close(said.spread(), own.spread(), atol=1e-5, rtol=1e-5)
    both = draw(20, len(probe.seen))
    torch.testing.assert_close(run_joint(probe, both), run_joint(hide(probe), both), atol=1e-5, rtol=1e-5)


def test_windows_of_a_longer_song_have_tables_of_their_own():
    model = Local()
    # Windows of 1.6 s over segments of half a second: 2 windows of 4 segments or so, each with thousands of renderings.
    probe, masks = make_probe(model, longest=1.6), draw(150, 3 * SEGMENTS)
    assert len(probe.sources.windows) == 2
    said = run_joint(probe, masks)
    assert probe.tally["variants"] == 2 * TABLE
    plain = replace(hide(make_probe(Local(), longest=1.6)))
    torch.testing.assert_close(said, run_joint(plain, masks), atol=1e-5, rtol=1e-5)
    # The same answers serve groups of windows.
    groups = [((0,), masks[:90]), ((1,), masks[20:])]
    for here, there in zip(run_groups(probe, groups), run_groups(plain, groups), strict=True):
        torch.testing.assert_close(here, there, atol=1e-5, rtol=1e-5)
    assert probe.tally["variants"] == 2 * TABLE


class Greedy(Local):
    """Hears more than it says: a frame depends on a sound's level half a second away."""

    def hear(self, audio: torch.Tensor) -> torch.Tensor:
        later = torch.nn.functional.pad(audio, (0, RATE))[..., RATE:]
        return super().hear(audio + 0.05 * later)


class Normalised(Local):
    """Divides its maps by what is heard over the entire song."""

    def hear(self, audio: torch.Tensor) -> torch.Tensor:
        maps = super().hear(audio)
        return maps / (1 + maps.std((1, 2), keepdim=True))


class Otherwise(Local):
    """Its own outputs aren't those of its maps."""

    def forward(self, audio: torch.Tensor) -> torch.Tensor:
        return 1.001 * super().forward(audio)


@pytest.mark.parametrize("kind", [Greedy, Normalised, Otherwise])
def test_a_model_that_lies_is_caught_and_run(kind):
    probe, masks = make_probe(kind()), draw(200, 3 * SEGMENTS)
    assert torch.equal(run_joint(probe, masks), run_joint(hide(probe), masks))
    (note,) = probe.local.notes
    assert note.startswith(f"every mask of the sound took a pass: {kind.__name__} isn't as local as it declares; its table")
    # What was tried was work too, and it isn't tried again.
    assert probe.tally["variants"] == TABLE + 2 * 200
    run_joint(probe, masks)
    assert probe.tally["variants"] == TABLE + 3 * 200


def test_segments_shorter_than_the_field_are_told():
    model, track = Local(), make_track(0.6)
    assert track.seconds / SEGMENTS * RATE > FIELD
    assert explain(model, track, segments=SEGMENTS, n_samples=256).provenance["local_maps"]["looked_up"] >= 256
    found = explain(model, track, segments=2 * SEGMENTS, n_samples=256)
    assert (
        "every mask of the sound took a pass: a frame of Local hears 0.05 s, and so more than two segments; with longer "
        "segments its passes would be fewer."
    ) in found.warnings
    assert "local_maps" not in found.provenance


def test_nothing_is_told_where_a_table_would_not_pay():
    probe = make_probe(Local())
    wide = replace(probe, subject=replace(probe.subject, receptive_field=(20 * FIELD, HOP)))
    run_joint(wide, draw(TABLE, 3 * SEGMENTS))
    assert wide.local.notes == []
    run_joint(wide, draw(TABLE + 1, 3 * SEGMENTS))
    assert len(wide.local.notes) == 1


@pytest.mark.parametrize(
    "asked", [{"n_samples": 512}, {"weights": "shapley"}, {"weights": "lime"}, {"evidence": True, "n_samples": 700}]
)
@pytest.mark.parametrize("kind", [Local, LocalLate])
def test_explanations_keep_their_values(kind, asked, monkeypatch):
    track = make_track(lyrics=kind is LocalLate)
    here = explain(kind(), track, segments=SEGMENTS, **asked)
    there = explain_plainly(kind(), track, monkeypatch, segments=SEGMENTS, **asked)
    assert here.audio_passes < there.audio_passes
    assert (here.design, here.n_variants) == (there.design, there.n_variants)
    for name in ("attributions", "standard_errors", "fidelity"):
        torch.testing.assert_close(getattr(here, name), getattr(there, name), atol=1e-4, rtol=1e-3)
    assert here.evidence is None or here.evidence.variants == there.evidence.variants
    assert here.provenance["local_maps"]["difference"] < 1e-5


def test_passes_are_counted_as_the_encoder_made_them():
    model, track = LocalLate(), make_track(lyrics=True)
    found = explain(model, track, segments=SEGMENTS, n_samples=(512, 64))
    assert found.audio_passes == model.encoded["audio"] == 2 + TABLE
    said = found.provenance["local_maps"]
    assert said["passes"] == TABLE
    assert said["looked_up"] * (found.lyrics_passes - 2) == found.n_variants
    assert said["difference"] < 1e-5


@pytest.mark.parametrize("kind", [Local, LocalLate])
def test_a_second_question_costs_no_pass(kind):
    model, track, answers = kind(), make_track(lyrics=kind is LocalLate), Answers()
    first = explain(model, track, segments=SEGMENTS, n_samples=700, answers=answers)
    second = explain(model, track, segments=SEGMENTS, n_samples=700, answers=answers, space="probability")
    assert 2 + TABLE <= first.audio_passes < 300
    assert second.audio_passes == 0


def test_passes_that_are_spared_are_not_waited_for():
    states: list[State] = []
    probe = replace(make_probe(Local()), stages=Stages(listen=states.append))
    probe.stages.begin("asking", 300)
    run_joint(probe, draw(200, 3 * SEGMENTS))
    assert (states[-1].done, states[-1].total) == (TABLE, TABLE + 100)
    run_joint(probe, draw(100, 3 * SEGMENTS))
    assert (states[-1].done, states[-1].total) == (TABLE, TABLE)


class Heavy(LocalLate):
    """Most of its work is done on the pooled maps."""

    def pool_local(self, maps: torch.Tensor) -> torch.Tensor:
        wide = torch.ones(4, 5000) / 5000
        return torch.tanh(maps.amax(2) @ wide @ wide.T)


def test_what_a_pass_costs_is_that_of_a_pass():
    sampling = Sampling("auto", "uniform", 0.25, 700, 0)
    here, there = (crossed._begin(probe, sampling, 700) for probe in (make_probe(Heavy()), hide(make_probe(Heavy()))))
    assert len(here.sounds[0]) > TABLE
    assert here.costs == there.costs


def test_tables_that_would_fill_memory_are_not_made(monkeypatch):
    monkeypatch.setattr(look_ups, "MOST", 1000)
    probe, masks = make_probe(Local()), draw(200, 3 * SEGMENTS)
    assert torch.equal(run_joint(probe, masks), run_joint(hide(probe), masks))
    assert probe.local.notes == ["every mask of the sound took a pass: the maps of Local would take 0.0 GiB."]


def test_lower_precision_is_run():
    model = LocalLate()
    probe = replace(make_probe(model), precision="bfloat16")
    encode_audio(probe, draw(100, 3 * SEGMENTS))
    assert model.encoded["audio"] == 100


@pytest.mark.parametrize("declared", [None, 400, (400,), (400, 0), (400.0, 100)])
def test_a_field_that_is_none_is_refused(declared):
    model = Local()
    model.receptive_field = declared
    with pytest.raises(InputError, match="it must be field and hop in samples"):
        explain(model, make_track(), segments=SEGMENTS)


class Flat(Local):
    def encode_local(self, audio: torch.Tensor) -> torch.Tensor:
        return super().encode_local(audio).flatten(1)


class Squeezed(Local):
    def pool_local(self, maps: torch.Tensor) -> torch.Tensor:
        return super().pool_local(maps)[:, :2]

    def forward(self, audio: torch.Tensor) -> torch.Tensor:
        return super().pool_local(self.hear(audio))


@pytest.mark.parametrize("kind", [Flat, Squeezed])
def test_maps_of_another_shape_are_told(kind):
    probe, masks = make_probe(kind()), draw(200, 3 * SEGMENTS)
    plain = run_joint(make_probe(Local()), masks[:8])
    torch.testing.assert_close(run_joint(probe, masks)[:8], plain, atol=1e-5, rtol=1e-5)
    assert len(probe.local.notes) == 1
    assert "_local returned (" in probe.local.notes[0]


class Wavering(Local):
    def pool_local(self, maps: torch.Tensor) -> torch.Tensor:
        return super().pool_local(maps)[:, : 3 if len(maps) == 16 else 1]


def test_pooled_maps_have_one_shape():
    with pytest.raises(InputError, match=r"Wavering.pool_local returned encodings of shape \(3,\) at first"):
        run_joint(make_probe(Wavering()), draw(200, 3 * SEGMENTS))


def test_the_embedded_model_is_local():
    model, track = load_demo_model(), load_demo_track()
    field, hop = model.receptive_field
    audio = track.stems.sum(0)[None, :, : 5 * field]
    place = audio.shape[2] // 2 // hop
    with torch.no_grad():
        maps = model.encode_local(audio)
        torch.testing.assert_close(model.pool_local(maps), model.encode_audio(audio), atol=0.0, rtol=0.0)
        for shift, heard in ((field // 2 + 1, False), (-field // 2 - 1, False), (field // 2 - 250, True)):
            changed = audio.clone()
            changed[0, 0, place * hop + shift] += 5
            moved = (model.encode_local(changed) - maps)[0, :, place].abs().max()
            assert bool(moved > 0) is heard


def test_the_embedded_models_values_are_those_of_its_passes(monkeypatch):
    model, track = load_demo_model(), load_demo_track()
    here = explain(model, track, n_samples=(400, 32))
    there = explain_plainly(model, track, monkeypatch, n_samples=(400, 32))
    torch.testing.assert_close(here.attributions, there.attributions, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(here.standard_errors, there.standard_errors, atol=1e-5, rtol=1e-4)
    assert (here.audio_passes, there.audio_passes) == (2 + 256 + 8, 2 + 384)


@pytest.mark.parametrize("kind", [Local, LocalLate])
def test_evidence_in_passing_is_looked_for_as_long_as_without_tables(kind, monkeypatch):
    track, settings = make_track(lyrics=kind is LocalLate), read_settings({"segments": SEGMENTS, "n_samples": 700})
    here = explain_with(kind(), track, settings, evidence_in_passing=True)
    with monkeypatch.context() as patched:
        patched.setattr("musiclime_torch.variants.asking.pays", lambda *_: False)
        patched.setattr(look_ups, "pays", lambda *_: False)
        there = explain_with(kind(), track, settings, evidence_in_passing=True)
    assert here.audio_passes < there.audio_passes
    assert here.evidence is not None
    assert replace(here.evidence, output_keeping=None, output_flipping=None, chance_keeping=None, chance_flipping=None) == (
        replace(there.evidence, output_keeping=None, output_flipping=None, chance_keeping=None, chance_flipping=None)
    )
    assert here.warnings == there.warnings


def test_the_search_for_evidence_stops_where_it_would_without_tables():
    probe = make_probe(Local())
    masks = draw(500, 3 * SEGMENTS)
    run_joint(probe, masks[:300])
    run_joint(probe, masks[300:])
    assert count_passes(probe) == (TABLE, 0)
    assert count_effort(probe) == 500
    plain = hide(make_probe(Local()))
    run_joint(plain, masks)
    assert count_effort(plain) == count_passes(plain)[0] == 500


def test_another_edit_has_tables_of_its_own():
    probe, masks = make_probe(Local()), draw(200, 3 * SEGMENTS)
    run_joint(probe, masks)
    track = make_track()
    components = list_components(track, SEGMENTS, "word", ("audio",))
    quieter = edit_probe(probe, track, components, "-12 dB", 0)
    torch.testing.assert_close(run_joint(quieter, masks), run_joint(hide(quieter), masks), atol=1e-5, rtol=1e-5)
    assert not torch.allclose(run_joint(quieter, masks), run_joint(probe, masks), atol=0.01)
