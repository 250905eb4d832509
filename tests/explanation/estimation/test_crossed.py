"""Crossed masks end to end, on a late-fusion model: its passes, its settings, what it refuses."""

from dataclasses import replace

import pytest
import torch
from models import RATE, Late

from musiclime_torch.basics.errors import InputError
from musiclime_torch.explanation.estimation import crossed as crossing
from musiclime_torch.explanation.explainer import explain
from musiclime_torch.explanation.explanation import Explanation
from musiclime_torch.models.contract import TokenBatch
from musiclime_torch.song.lyrics.lyrics import parse_lyrics
from musiclime_torch.song.track import Track
from musiclime_torch.views.exports.files import to_record
from musiclime_torch.views.terminal import to_text


def exact(model: Late, track: Track, **options) -> Explanation:
    """Every joint mask: four cells and seven words make 2,048."""
    return explain(model, track, segments=2, design="joint", n_samples=2**11, **options)


def test_encoders_see_every_mask_once_and_the_head_sees_all_pairs(track: Track):
    model = Late()
    explanation = explain(model, track, segments=4, n_samples=(72, 40))
    assert (explanation.audio_passes, explanation.lyrics_passes) == (72 + 2, 48 + 2)
    assert model.encoded == {"audio": 74, "lyrics": 50}
    assert explanation.n_variants == 72 * 48
    assert explanation.design == "crossed, 72 masks of the sound × 48 of the lyrics"


def test_numbers_of_each_side_are_met_by_blocks_of_another_length(track: Track):
    """Eight cells: two blocks of 12 rows and their complements hold 48 masks, three 72, and two of 16 rows 64."""
    assert explain(Late(), track, segments=4, n_samples=(60, 40)).audio_passes == 64 + 2


def test_a_budget_is_what_half_as_many_joint_masks_would_cost(track: Track):
    """These ears multiply a million times as much as these eyes, which read at most as many masks as the budget says."""
    model = Late()
    explanation = explain(model, track, segments=5, n_samples=512)
    assert model.encoded == {"audio": explanation.audio_passes, "lyrics": explanation.lyrics_passes}
    assert 256 - 16 <= explanation.audio_passes - 2 <= 256
    assert 256 <= explanation.lyrics_passes - 2 <= 512


def test_attributions_and_interactions_are_those_of_all_masks(track: Track):
    """Eight standard errors: none of 11 + 28 numbers a class, three classes, misses by so much."""
    model = Late()
    whole, sampled = exact(model, track), explain(model, track, segments=2, design="crossed", n_samples=(64, 64))
    assert whole.design == "every one of the 2048 masks"
    assert not whole.half_width.any()
    missed = (sampled.attributions - whole.attributions).abs()
    assert (missed <= 8 * sampled.standard_errors + 1e-5).all()
    assert whole.interactions is not None
    assert sampled.interactions is not None
    for space in ("logit", "log-odds", "probability"):
        there, here = whole.interactions.find_space(space), sampled.interactions.find_space(space)
        pairs = {tuple(pair): number for number, pair in enumerate(whole.interactions.columns.tolist())}
        same = [pairs[tuple(pair)] for pair in sampled.interactions.columns.tolist()]
        assert len(same) == 4 * 7
        missed = (sampled.interactions.values[here] - whole.interactions.values[there][:, same]).abs()
        assert (missed <= 8 * sampled.interactions.standard_errors[here] + 1e-5).all()


@pytest.mark.parametrize("n_samples", [24, 2048])
def test_every_mask_of_both_sides_is_taken_where_they_are_few(track: Track, n_samples: int):
    """Four cells and three words have 16 and 8 masks: 24 passes, and the two ends."""
    few = replace(track, lyrics=parse_lyrics("hold me now"))
    model = Late()
    taken = explain(model, few, segments=2, n_samples=n_samples)
    assert taken.design == "crossed, all 16 masks of the sound × all 8 of the lyrics"
    assert model.encoded == {"audio": 16 + 2, "lyrics": 8 + 2}
    assert taken.stopped == "every mask was taken"
    assert not taken.half_width.any()
    whole = explain(Late(), few, segments=2, design="joint")
    assert whole.design == "every one of the 128 masks"
    for name in ("attributions", "intercept", "fidelity"):
        assert torch.allclose(getattr(taken, name), getattr(whole, name), atol=1e-5), name
    for space in ("logit", "probability"):
        pairs = {(one.name, two.name): value for one, two, value, _ in whole.top_pairs(99, None, space)}
        crossed = taken.top_pairs(99, None, space)
        assert crossed
        assert all(value == pytest.approx(pairs[one.name, two.name], abs=1e-5) for one, two, value, _ in crossed)
    sampled = explain(Late(), few, segments=2, n_samples=(512, 512))
    for exact_share, share in zip(taken.shares(), sampled.shares(), strict=True):
        assert exact_share[2] == 0
        assert exact_share[1] == pytest.approx(share[1], abs=max(3 * share[2], 0.03))
    assert explain(Late(), few, segments=2, n_samples=23).design.startswith("crossed, 16 masks")


@pytest.mark.parametrize("space", ["logit", "log-odds", "probability"])
def test_batch_size_changes_nothing(track: Track, space: str):
    runs = [explain(Late(), track, n_samples=(88, 32), space=space, batch_size=size) for size in (1, 7, 1000)]
    for run in runs[1:]:
        assert torch.allclose(run.attributions, runs[0].attributions, rtol=1e-5, atol=1e-6)
        assert torch.allclose(run.interactions.values, runs[0].interactions.values, rtol=1e-5, atol=1e-6)


def test_the_seed_is_all_that_is_random(track: Track):
    one, same, other = (explain(Late(), track, n_samples=300, seed=seed) for seed in (4, 4, 5))
    assert torch.equal(one.attributions, same.attributions)
    assert not torch.equal(one.attributions, other.attributions)


def test_long_songs_are_heard_whole_in_windows(track: Track):
    class Short(Late):
        max_seconds = 0.8

    model = Short()
    crossed = explain(model, track, segments=2, n_samples=(64, 64))
    # Two windows in each segment, of two stems: four renderings of each window, song and empty song among them.
    assert model.encoded["audio"] == 4 * 4
    whole = exact(Short(), track)
    assert ((crossed.attributions - whole.attributions).abs() <= 8 * crossed.standard_errors + 1e-5).all()
    assert torch.allclose(crossed.output_song, whole.output_song)


def test_what_the_model_cannot_notice_is_zero_and_has_no_interactions(track: Track):
    stems = track.stems.clone()
    stems[1, :, 8000:] = 0
    explanation = explain(Late(), Track(stems, track.stem_names, RATE, track.lyrics), segments=4, n_samples=300)
    assert list(explanation.unseen) == [7]
    assert not explanation.attributions[:, 7].any()
    assert explanation.interactions is not None
    assert 7 not in explanation.interactions.columns
    assert explanation.interactions.columns.shape == (7 * 7, 2)
    assert set(explanation.interactions.columns[:, 1].tolist()) == set(range(8, 15))


def test_a_foil_is_a_class_of_its_own(track: Track):
    crossed = explain(Late(), track, segments=2, n_samples=(32, 32), target="calm", foil="sad")
    assert crossed.classes[-1] == "calm rather than sad"
    assert torch.allclose(crossed.attributions[3], crossed.attributions[0] - crossed.attributions[2], atol=1e-5)
    assert crossed.interactions is not None
    logit = crossed.interactions.values[crossed.interactions.find_space("logit")]
    assert torch.allclose(logit[3], logit[0] - logit[2], atol=1e-5)


def test_without_both_sides_it_falls_back_to_joint_masks(track: Track):
    alone = explain(Late(), Track(track.stems, track.stem_names, RATE), segments=4, n_samples=200)
    assert alone.design.startswith("joint") or alone.design.startswith("every")
    assert alone.interactions is None or not len(alone.interactions.parts)
    with pytest.raises(InputError, match="components on both sides"):
        explain(Late(), Track(track.stems, track.stem_names, RATE), segments=4, design="crossed")
    plain = explain(lambda audio, text: audio.mean((1, 2)), track, sample_rate=RATE, n_samples=200)
    assert plain.design.startswith("joint")
    with pytest.raises(InputError, match="encode_audio, encode_text and fuse"):
        explain(lambda audio, text: audio.mean((1, 2)), track, sample_rate=RATE, design="crossed")


def test_kernels_on_the_joint_mask_say_where_they_are_solved(track: Track):
    for options in ({"weights": "lime", "kernel_width": 0.75}, {"weights": "paper"}, {"ridge": 1.0}):
        explanation = explain(Late(), track, segments=2, n_samples=300, **options)
        assert explanation.design.startswith("joint")
        assert any("on joint masks, though" in warning for warning in explanation.warnings)
    assert not explain(Late(), track, segments=2, n_samples=300).warnings
    a_side = explain(Late(), track, segments=2, n_samples=300, weights="lime", kernel_width=0.75, design="crossed")
    assert any("each have their own kernel" in warning for warning in a_side.warnings)
    for options, message in (({"ridge": 1.0}, "ridge"), ({"weights": "paper"}, "MusicLIME's kernel")):
        with pytest.raises(InputError, match=message):
            explain(Late(), track, design="crossed", **options)


def test_a_budget_below_one_block_is_rounded_up_and_says_so(track: Track):
    one = explain(Late(), track, segments=2, n_samples=3)
    blocks = "fewer than a block of the sound (16) and one of the lyrics (16)"
    assert f"3 masks are {blocks}: rounded up to 16 and 16." in one.warnings
    two = explain(Late(), track, segments=2, n_samples=(3, 64))
    assert any(f"3 and 64 masks are {blocks}" in warning for warning in two.warnings)


def test_a_single_component_a_side(track: Track):
    one = explain(Late(), Track(track.stems[:1], ("all",), RATE, track.lyrics), segments=1, units="section", n_samples=64)
    whole = explain(
        Late(), Track(track.stems[:1], ("all",), RATE, track.lyrics), segments=1, units="section", design="joint"
    )
    assert len(one.components) == 2
    assert torch.allclose(one.attributions, whole.attributions, atol=1e-5)
    assert one.interactions is not None
    assert whole.interactions is not None
    assert torch.allclose(one.interactions.values[0], whole.interactions.values[0], atol=1e-5)


def test_stopping_says_why(track: Track):
    loose = explain(Late(), track, segments=2, n_samples=4096, until="width 1000")
    assert loose.stopped.startswith("half widths of at most 1000 settled")
    tight = explain(Late(), track, segments=8, n_samples=256, until="width 0.000001")
    assert "budget was spent before" in tight.stopped
    assert tight.looks > 1
    assert tight.risk == pytest.approx(0.05 / tight.looks)
    assert loose.audio_passes < 200


def test_interactions_shares_and_evidence_survive_saving(track: Track, tmp_path):
    explanation = explain(Late(), track, segments=2, n_samples=300, evidence=True, foil="sad", target="calm")
    explanation.save(tmp_path / "e.safetensors")
    loaded = Explanation.load(tmp_path / "e.safetensors")
    assert to_record(loaded) == to_record(explanation)
    assert loaded.interactions is not None
    assert explanation.interactions is not None
    assert torch.equal(loaded.interactions.values, explanation.interactions.values)
    assert loaded.top_pairs(3) == explanation.top_pairs(3)
    assert loaded.shares() == explanation.shares()
    assert loaded.evidence == explanation.evidence
    assert loaded.stopped == explanation.stopped


def test_views_name_value_remainder_interactions_and_shares(track: Track):
    explanation = explain(Late(), track, segments=5, n_samples=512, evidence=True)
    text = " ".join(to_text(explanation, None, 10, positive_only=False).split())
    assert "Banzhaf value (logit)" in text
    assert "remain for interactions" in text
    assert "Interactions (probability):" in text
    assert "Share of the decision (95%): sound alone" in text
    assert "the error of sampling masks for this song, not of the model or over other songs" in text
    assert "false discovery rate 5%" in text
    assert "Decision:" in text
    record = to_record(explanation)
    shares = [part["share"] for part in record["interactions"]["logit"]["parts"]]
    assert sum(shares) == pytest.approx(1, abs=1e-6)
    assert record["encoder_passes"] == {"audio": explanation.audio_passes, "lyrics": explanation.lyrics_passes}


def test_shapley_values_add_up_on_crossed_levels(track: Track):
    explanation = explain(Late(), track, segments=8, n_samples=800, weights="shapley")
    assert "inclusion levels" in explanation.design
    assert explanation.value == "Shapley value"
    moved = explanation.output_song - explanation.output_empty
    assert torch.allclose(explanation.attributions.sum(1), moved, atol=1e-5 * float(moved.abs().max()))
    assert "Shapley values add up to" in " ".join(to_text(explanation, None, 5, positive_only=False).split())
    with pytest.raises(InputError, match="sampled without stopping"):
        explain(Late(), track, weights="shapley", until="top 2")


class FusesWrong(Late):
    def __init__(self, outputs) -> None:
        super().__init__()
        self.outputs = outputs

    def fuse(self, heard: torch.Tensor, read: torch.Tensor) -> torch.Tensor:
        return self.outputs(super().fuse(heard, read))

    def forward(self, audio: torch.Tensor, text: TokenBatch) -> torch.Tensor:
        return super().fuse(self.encode_audio(audio), self.encode_text(text))


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        (lambda found: found[:1], "must return floats of shape"),
        (lambda found: found[:, :2], "3 outputs at first and 2 later"),
        (lambda found: found.masked_fill(torch.arange(len(found))[:, None] == 5, float("nan")), "no finite outputs"),
        (lambda found: found.long(), "must return floats"),
    ],
)
def test_heads_that_fuse_wrong_are_one_sentence(track: Track, outputs, message: str):
    with pytest.raises(InputError, match=message):
        explain(FusesWrong(outputs), track, segments=2, n_samples=100)


@pytest.mark.parametrize("part", ["encode_audio", "encode_text"])
def test_encoders_that_lose_rows_are_one_sentence(track: Track, part: str):
    model = Late()
    whole = getattr(model, part)
    setattr(model, part, lambda batch: whole(batch)[1:])
    model.forward = lambda audio, text: torch.zeros(len(audio), 3)
    with pytest.raises(InputError, match=f"{part} returned .* must return one row a variant"):
        explain(model, track, segments=2, n_samples=100)


@pytest.mark.parametrize("part", ["encode_audio", "encode_text"])
def test_encodings_of_another_shape_later_are_one_sentence(track: Track, part: str):
    """One that would fit by being spread too."""
    model = Late()
    whole = getattr(model, part)
    setattr(model, part, lambda batch: whole(batch)[:, : 1 if 2 < len(getattr(batch, "embeddings", batch)) < 24 else None])
    with pytest.raises(InputError, match=rf"{part} returned encodings of shape \(4,\) at first and \(1,\) later"):
        explain(model, track, segments=2, n_samples=(32, 32), batch_size=24)


def test_pairs_fused_at_once_are_checked_and_agree(track: Track):
    class AtOnce(Late):
        def fuse_pairs(self, heard: torch.Tensor, read: torch.Tensor) -> torch.Tensor:
            return self.fuse(heard[:, None].expand(-1, len(read), -1).flatten(0, 1),
                             read.repeat(len(heard), 1)).unflatten(0, (len(heard), len(read)))  # fmt: skip

    one, other = (explain(model, track, segments=2, n_samples=(32, 32)) for model in (Late(), AtOnce()))
    assert torch.allclose(one.attributions, other.attributions, atol=1e-6)
    wrong = AtOnce()
    wrong.fuse_pairs = lambda heard, read: torch.zeros(len(read), len(heard) + 1, 3)
    with pytest.raises(InputError, match=r"must return \(sound, lyrics, class\)"):
        explain(wrong, track, segments=2, n_samples=(32, 32))


@pytest.mark.parametrize("design", ["crossed", "joint"])
def test_intervals_that_stopped_sampling_are_as_narrow_as_asked_and_pay_for_every_look(track: Track, design: str):
    stopped = 0
    for width in torch.logspace(-1.5, 0.7, 14).tolist():
        found = explain(Late(), track, segments=4, design=design, n_samples=1000, until=f"width {width}")
        if found.stopped.startswith("half widths"):
            stopped += 1
            assert found.looks > 1
            assert found.risk == pytest.approx(0.05 / found.looks)
            assert float(found.half_width[found.target].max()) <= width * (1 + 1e-6)
    assert stopped > 3


def test_sides_with_as_many_columns_get_other_masks(track: Track, monkeypatch: pytest.MonkeyPatch):
    seen = {}
    for side in ("encode_audio", "encode_lyrics"):
        whole = getattr(crossing, side)
        monkeypatch.setattr(
            crossing, side, lambda probe, masks, side=side, whole=whole: seen.update({side: masks}) or whole(probe, masks)
        )
    one_stem = Track(track.stems[:1], ("all",), RATE, track.lyrics)
    explain(Late(), one_stem, segments=7, n_samples=(32, 32))
    assert seen["encode_audio"].shape == seen["encode_lyrics"].shape
    assert not torch.equal(seen["encode_audio"], seen["encode_lyrics"])


class Odd(Late):
    """The audio's first encoding is a sum of products of three cells' signs, which are read off stems of 1, 2, 4 and 8."""

    def encode_audio(self, audio: torch.Tensor) -> torch.Tensor:
        terms = torch.stack([torch.randperm(24, generator=torch.Generator().manual_seed(k))[:3] for k in range(60)])
        parts = torch.stack(audio[:, 0].chunk(6, -1), 1).mean(2).round().long()
        signs = 2.0 * torch.stack([(parts >> stem) & 1 for stem in range(4)], 1).flatten(1) - 1
        return signs[:, terms].prod(2).sum(1, keepdim=True).expand(-1, 4)

    def fuse(self, heard: torch.Tensor, read: torch.Tensor) -> torch.Tensor:
        return heard[:, :3] + read[:, :3]


@pytest.mark.parametrize(
    ("design", "n_samples", "unfolds"), [("auto", 700, True), ("auto", 1200, False), ("crossed", 1200, False)]
)
def test_a_side_with_odd_terms_gives_complements_up_after_the_pilot(
    track: Track, design: str, n_samples: int, unfolds: bool, monkeypatch
):
    """Not where nested blocks leave less than half of the odd terms' error, as those of 1,200 masks do."""
    asked: list[torch.Tensor] = []
    encode = crossing.encode_audio
    monkeypatch.setattr(crossing, "encode_audio", lambda probe, masks: asked.append(masks) or encode(probe, masks))
    bits = Track(2.0 ** torch.arange(4)[:, None, None].expand(4, 1, 1200), ("a", "b", "c", "d"), RATE, track.lyrics)
    explain(Odd(), bits, segments=6, n_samples=n_samples, design=design)
    pilot, more = asked
    assert torch.equal(pilot[0::2], ~pilot[1::2])
    assert torch.equal(more[0::2], ~more[1::2]) is not unfolds


def test_the_device_is_read_once_all_scales_are_queued(track: Track, monkeypatch: pytest.MonkeyPatch):
    """Each reading waits for what is queued: one after every scale would leave a GPU idle."""
    order: list[str] = []
    solve, check = crossing.solve_crossed, crossing.check_means
    monkeypatch.setattr(crossing, "solve_crossed", lambda *given: order.append("solve") or solve(*given))
    monkeypatch.setattr(crossing, "check_means", lambda *given: order.append("check") or check(*given))
    explain(Late(), track, segments=4, n_samples=(72, 40))
    assert order == ["solve"] * 3 + ["check"] * 3
