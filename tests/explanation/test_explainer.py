"""Laws of the whole pipeline, on models whose answer is known in closed form."""

from pathlib import Path

import numpy as np
import pytest
import torch
from models import RATE, Additive, ById, Late
from passes import Noting
from warm import run_warm

from musiclime_torch.basics.arguments import read_integer
from musiclime_torch.basics.errors import InputError
from musiclime_torch.basics.progress import Forecast, Stages
from musiclime_torch.explanation.answers import Answers
from musiclime_torch.explanation.explainer import explain, explain_with
from musiclime_torch.explanation.explanation import Explanation
from musiclime_torch.explanation.settings import PAPER, Settings
from musiclime_torch.faithfulness.checking import check
from musiclime_torch.models.contract import TokenBatch
from musiclime_torch.song.track import Track
from musiclime_torch.surrogate.sides import CELLS
from musiclime_torch.views.exports.files import to_record
from musiclime_torch.views.page.song import to_html


def level(track: Track, stem: int, segment: int, segments: int) -> float:
    borders = [round(index * track.stems.shape[-1] / segments) for index in range(segments + 1)]
    return float(track.stems[stem, 0, borders[segment] : borders[segment + 1]].sum() / track.stems.shape[-1])


def test_an_additive_model_gives_its_own_terms_back(track: Track):
    model = Additive()
    explanation = explain(model, track, segments=4, n_samples=1)
    assert explanation.attributions.shape == (3, 8 + 7)
    for stem in range(2):
        for segment in range(4):
            expected = 100 * model.gain.detach() * level(track, stem, segment, 4)
            # Cross-fades move a few frames of each segment to its neighbour.
            assert torch.allclose(explanation.attributions[:, 4 * stem + segment].float(), expected, atol=0.25)
    tokens = model.tokenize(track.lyrics.text).ids
    for column, token in enumerate(tokens[1:-1].tolist()):
        expected = (model.table[token] - model.table[30]).detach()
        assert torch.allclose(explanation.attributions[:, 8 + column].float(), expected, atol=1e-4)
    assert (explanation.fidelity > 1 - 1e-6).all()


def test_song_minus_empty_song_is_the_sum_of_an_additive_models_attributions(track: Track):
    explanation = explain(Additive(), track, segments=3)
    moved = explanation.output_song - explanation.output_empty
    assert torch.allclose(explanation.attributions.sum(1), moved, atol=1e-3)
    assert torch.allclose(explanation.intercept, explanation.output_empty, atol=1e-3)


@pytest.mark.parametrize(("shortest", "segments"), [(None, 10), (0.3, 6), (0.05, 10), (60.0, 1)])
def test_segments_are_no_shorter_than_the_model_says(track: Track, shortest: float | None, segments: int):
    model = Additive()
    model.shortest_seconds = shortest
    assert track.seconds == 2
    assert explain(model, track, n_samples=1).components.n_segments == segments
    assert explain(model, track, n_samples=1, segments=12).components.n_segments == 12
    model.shortest_seconds = 0.0
    with pytest.raises(InputError, match="must be positive"):
        explain(model, track)


@pytest.mark.parametrize("space", ["logit", "log-odds", "probability"])
def test_batch_size_changes_nothing(track: Track, space: str):
    runs = [explain(Additive(), track, n_samples=200, space=space, batch_size=size) for size in (1, 7, 1000)]
    for run in runs[1:]:
        assert torch.allclose(run.attributions, runs[0].attributions, rtol=1e-5, atol=1e-6)


def test_song_and_empty_song_are_what_the_model_says_of_them(track: Track):
    model = Additive().eval()
    explanation = explain(model, track)
    tokens = model.tokenize(track.lyrics.text)
    words = TokenBatch(model.embed_text(tokens.ids)[None], torch.ones(1, 9, dtype=torch.bool))
    assert torch.allclose(model(track.stems.sum(0)[None], words)[0].double(), explanation.output_song, atol=1e-5)
    assert explanation.target == int(explanation.output_song.argmax())


def test_ids_and_embeddings_agree(track: Track):
    one, other = explain(Additive(), track, n_samples=200), explain(ById(), track, n_samples=200)
    assert torch.allclose(one.attributions, other.attributions, atol=1e-4)


def test_a_bare_callable_reads_strings_with_words_cut_out(track: Track):
    seen = set()

    def count_love(audio: torch.Tensor, text: list[str]) -> torch.Tensor:
        seen.update(text)
        return torch.tensor([float(line.count("love")) for line in text])

    explanation = explain(count_love, track, sample_rate=RATE, n_samples=100)
    assert track.lyrics.text in seen
    assert [component.word for component, _, _ in explanation.top(5)] == ["love", "love"]
    assert explanation.attributions[0, -1].item() == pytest.approx(1)
    assert explanation.classes == ("output",)


def test_audio_only_and_lyrics_only_models(track: Track):
    heard = explain(lambda audio: audio.mean((1, 2)), track, sample_rate=RATE, modalities=("audio",), segments=5)
    assert len(heard.components) == heard.components.n_audio == 10
    read = explain(lambda text: torch.tensor([float(len(line)) for line in text]), track, modalities=("lyrics",))
    assert read.components.n_audio == 0
    assert [item.word for item in read.components.items][:3] == ["hold", "me", "now"]


def test_an_instrumental_has_audio_components_only(track: Track):
    instrumental = Track(track.stems, track.stem_names, track.sample_rate)
    assert len(explain(Additive(), instrumental, segments=5).components) == 10


def test_audio_reaches_the_model_at_its_rate_and_channels(track: Track):
    stereo = Track(track.stems.expand(-1, 2, -1), track.stem_names, 16000, track.lyrics)
    model = Additive()
    explain(model, stereo, n_samples=1, batch_size=50)
    assert {shape[1:] for shape in model.heard} == {(1, RATE)}
    assert max(shape[0] for shape in model.heard) <= 50


def test_long_songs_are_heard_whole_in_windows(track: Track):
    class Short(Additive):
        max_seconds = 0.8

    model = Short()
    explanation = explain(model, track, segments=4, n_samples=1)
    assert {shape[2] for shape in model.heard} == {round(0.8 * RATE)}
    assert (explanation.attributions[0, :8].abs() > 0).all()
    assert torch.allclose(explanation.attributions.sum(1), explanation.output_song - explanation.output_empty, atol=1e-3)


def test_words_past_the_token_limit_are_unseen_and_exactly_zero(track: Track):
    explanation = explain(Additive(limit=4), track, segments=2)
    assert [explanation.components.items[column].name for column in explanation.unseen] == [
        "is (line 2)",
        "my (line 2)",
        "love (line 2, word 4)",
    ]
    assert not explanation.attributions[:, list(explanation.unseen)].any()
    assert not explanation.standard_errors[:, list(explanation.unseen)].any()
    assert to_record(explanation)["components"][-1]["unseen"]


def test_silent_cells_are_unseen_and_a_silent_song_is_flagged(track: Track):
    stems = track.stems.clone()
    stems[1, :, 8000:] = 0
    explanation = explain(Additive(), Track(stems, track.stem_names, RATE), segments=4)
    assert list(explanation.unseen) == [7]  # the third segment of four still holds a few frames of the fade
    silent = explain(Additive(), Track(torch.zeros(2, 1, 8000), ("a", "b"), RATE))
    assert not silent.attributions.any()
    assert "silent" in silent.warnings[0]
    assert len(silent.unseen) == len(silent.components)
    assert silent.top(5) == []


def test_fewer_masks_than_a_block_are_rounded_up_and_reported(track: Track):
    explanation = explain(Additive(), track, segments=10, n_samples=5)
    assert explanation.n_variants == 56
    assert "5 masks are fewer than one block for 27 components: rounded up to 56" in explanation.warnings[0]


def test_the_seed_decides_and_nothing_else(track: Track):
    runs = [explain(Additive(), track, n_samples=100, space="probability", seed=seed) for seed in (1, 1, 2)]
    assert torch.equal(runs[0].attributions, runs[1].attributions)
    assert not torch.equal(runs[0].attributions, runs[2].attributions)


def test_permuted_stems_permute_the_attributions(track: Track):
    swapped = Track(track.stems.flip(0), track.stem_names[::-1], RATE, track.lyrics)
    one, other = explain(Additive(), track, segments=3), explain(Additive(), swapped, segments=3)
    by_name = [{c.name: a for c, a in zip(e.components.items, e.attributions.T, strict=True)} for e in (one, other)]
    assert all(torch.allclose(by_name[0][name], by_name[1][name], atol=1e-3) for name in by_name[0])


def test_a_model_in_train_mode_is_explained_in_eval_mode_and_left_as_it_was(track: Track):
    model = Additive().train()
    model.noise.eval()
    flags = [part.training for part in model.modules()]
    before = {name: value.clone() for name, value in model.state_dict().items()}
    trained = explain(model, track, n_samples=100)
    assert flags == [part.training for part in model.modules()]
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert torch.equal(trained.attributions, explain(Additive().eval(), track, n_samples=100).attributions)
    assert model.table.grad is None
    model(torch.randn(1, 1, 10), _empty_words()).sum().backward()


def _empty_words():
    return TokenBatch(torch.zeros(1, 1, 3), torch.ones(1, 1, dtype=torch.bool))


def test_probabilities_regressions_and_embeddings(track: Track):
    def squash(audio: torch.Tensor, text: list[str]) -> torch.Tensor:
        return torch.stack([audio.abs().mean((1, 2)), 1 - audio.abs().mean((1, 2))], 1)

    shares = explain(squash, track, sample_rate=RATE, output_kind="probabilities", n_samples=100)
    assert shares.space == "probability"
    odds = explain(squash, track, sample_rate=RATE, output_kind="probabilities", space="log-odds", n_samples=100)
    share = shares.output_song[0]
    assert odds.output_song[0].item() == pytest.approx(float((share / (1 - share)).log()), rel=1e-4)
    assert explain(squash, track, sample_rate=RATE, output_kind="regression", n_samples=100).space == "raw"
    likeness = explain(
        lambda audio, text: audio.flatten(1)[:, :64], track, sample_rate=RATE, output_kind="embedding", n_samples=100
    )
    assert likeness.classes == ("similarity to the song",)
    assert likeness.output_song.tolist() == pytest.approx([1.0])


def test_log_odds_of_logits_are_those_of_their_softmax(track: Track):
    logits = explain(Additive(), track, n_samples=1).output_song
    shares = logits.softmax(0)
    odds = explain(Additive(), track, n_samples=1, space="log-odds").output_song
    assert torch.allclose(odds, (shares / (1 - shares)).log(), atol=1e-6)


def test_log_odds_of_a_sure_softmax_are_finite(track: Track):
    def sure(audio: torch.Tensor, text: list[str]) -> torch.Tensor:
        return torch.tensor([[100.0, 0.0, -50.0]]).expand(len(audio), 3)

    odds = explain(sure, track, sample_rate=RATE, space="log-odds", n_samples=1).output_song
    assert odds.tolist() == pytest.approx([100.0, -100.0, -150.0])


def test_a_model_may_write_into_what_it_is_given(track: Track):
    class Careless(Additive):
        max_seconds = 0.8

        def forward(self, audio, text):
            result = super().forward(audio, text)
            text.embeddings.mul_(2)
            return result

    class Careful(Additive):
        max_seconds = 0.8

    assert torch.allclose(
        explain(Careless(), track, n_samples=1).attributions, explain(Careful(), track, n_samples=1).attributions
    )


def test_paper_preset_is_the_papers_settings(track: Track):
    explanation = explain(Additive(), track, **PAPER)
    assert explanation.n_variants == 5000
    assert explanation.space == "probability"
    assert [item.word for item in explanation.components.items if item.word] == ["hold", "me", "now", "love", "is", "my"]
    assert explanation.provenance["settings"]["weights"] == "paper"
    from sklearn.linear_model import Ridge

    from musiclime_torch.surrogate.design import draw_bernoulli_with_song
    from musiclime_torch.surrogate.sampling import PAPER_WIDTH, weigh_by_proximity

    masks = draw_bernoulli_with_song(26, 5000, 0).masks
    assert masks[0].all()
    seen = []

    def record(audio: torch.Tensor, text: list[str]) -> torch.Tensor:
        seen.append(torch.stack([audio.mean((1, 2)), torch.tensor([float(len(t)) for t in text])], 1))
        return seen[-1] / 30

    recorded = explain(record, track, sample_rate=RATE, **PAPER)
    outputs = (torch.cat(seen)[2:] / 30).double().softmax(1)
    oracle = Ridge(alpha=1.0).fit(
        masks.numpy(), outputs.numpy(), sample_weight=weigh_by_proximity(masks, PAPER_WIDTH).numpy()
    )
    assert torch.allclose(recorded.attributions, torch.from_numpy(oracle.coef_), atol=1e-9)


def test_other_songs_and_noise_take_the_place_of_stems(track: Track):
    other = Track(torch.ones(1, 1, 4000), ("vocals",), RATE, title="other")
    borrowed = explain(lambda a: a.mean((1, 2)), track, sample_rate=RATE, modalities=("audio",), baseline=other)
    assert borrowed.output_empty.item() == pytest.approx(1.0, abs=1e-5)
    assert borrowed.provenance["settings"]["baseline"] == "other"
    noisy = explain(lambda a: a.square().mean((1, 2)), track, sample_rate=RATE, modalities=("audio",), baseline="noise")
    assert noisy.output_empty.item() > 0


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (lambda a, t: torch.full((len(a), 2), torch.nan), {}, "returned nan for class 'output 0' on the song itself"),
        (lambda a, t: torch.zeros(len(a), 2, 2), {}, "must return floats of shape"),
        (lambda a, t: torch.zeros(len(a), 0), {}, "must return floats of shape"),
        (lambda a, t: torch.zeros(len(a), 1 + (len(a) < 64)), {}, "2 outputs at first and 1 later"),
        (lambda a, t: torch.zeros(len(a), 1), {"space": "log-odds"}, "one logit has no other to compete with"),
        (lambda a, t: torch.zeros(len(a), 2), {"classes": ["x", "x"]}, "not all different"),
        (lambda a, t: torch.zeros(1, 2), {}, "must return floats of shape"),
        (lambda a, t: torch.zeros(len(a), 2, dtype=torch.long), {}, "must return floats of shape"),
        (lambda a, t: [0.0] * len(a), {}, "returned a list, not a tensor"),
        (lambda a, t: torch.zeros(len(a), 3), {"classes": ["x", "y"]}, "3 outputs for 2 class names"),
        (lambda a, t: torch.zeros(len(a), 2), {"target": 2}, "no class 2"),
        (lambda a, t: torch.zeros(len(a), 2), {"target": "rock", "classes": ["sad", "glad"]}, "choose one of sad, glad"),
        (lambda a, t: a @ torch.zeros(3, 3), {}, "failed on a batch of"),
        (lambda a, t: torch.zeros(len(a)), {"sample_rate": None}, "which sample rate it takes: give sample_rate"),
        (lambda a, t: {}["key"], {}, "with KeyError: 'key'"),
        (lambda a, t: torch.zeros(len(a)), {"batch_size": 0}, "batch_size must be at least 1"),
        (lambda a, t: torch.zeros(len(a)), {"sample_rate": -1}, "between 100 and 384000 Hz, got -1"),
        (lambda a, t: torch.zeros(len(a)), {"ridge": -1.0}, "ridge must be zero or positive, got -1"),
        (lambda a, t: torch.zeros(len(a)), {"seed": 2**70}, "seed must be between"),
        (lambda a, t: torch.zeros(len(a)), {"n_samples": 0}, "n_samples must be between 1 and 1000000, got 0"),
        (lambda a, t: torch.zeros(len(a)), {"n_samples": 10**11}, "n_samples must be between 1 and 1000000"),
        (lambda a, t: torch.zeros(len(a)), {"confidence": 1.5}, "confidence must be between 0 and 1"),
        (lambda a, t: torch.zeros(len(a)), {"design": "bernoulli", "n_samples": 10}, "at least 29"),
        (lambda a, t: torch.zeros(len(a)), {"space": "raw"}, "can't be shown as raw"),
        (lambda a, t: torch.zeros(len(a)), {"lyrics_baseline": "mask"}, "reads strings: use gone"),
        (lambda a, t: torch.zeros(len(a)), {"device": "warp"}, "can't be used here"),
        (ById(), {"lyrics_baseline": "gone"}, "use mask or pad"),
    ],
)  # fmt: skip
def test_what_cannot_be_explained_is_one_sentence(track: Track, model, options, message):
    with pytest.raises(InputError, match=message) as caught:
        explain(model, track, **{"sample_rate": RATE, **options})
    assert "\n" not in str(caught.value)


def test_masks_that_cannot_tell_components_apart_are_named(track: Track):
    """Five independent masks of three components: sooner or later two columns are the same, or one never changes."""
    mean = lambda audio: audio.mean((1, 2))  # noqa: E731
    said = []
    for seed in range(30):
        try:
            explain(mean, Track(track.stems[:1], ("all",), RATE), sample_rate=RATE, modalities=("audio",), segments=3,
                    design="bernoulli", n_samples=5, seed=seed)  # fmt: skip
        except InputError as error:
            said.append(str(error))
    assert said
    assert all("can't tell 'all 0:0" in sentence for sentence in said)


def test_names_that_are_not_known_are_answered_with_those_that_are(tmp_path: Path):
    """In a process of its own, where beartype doesn't refuse them first."""
    script = """
import torch
from musiclime_torch import InputError, Track, explain
track = Track(torch.ones(1, 1, 800), ("a",), 800)
for options in ({"units": "syllable"}, {"design": "sobol"}, {"weights": "heavy"}, {"baseline": "birds"}, {"space": "inner"},
                {"output_kind": "poem"}, {"modalities": ("smell",)}):
    try:
        explain(lambda *inputs: inputs[0].mean((1, 2)), track, **{"sample_rate": 800, "modalities": ("audio",), **options})
    except InputError as error:
        assert "use " in str(error), error
    else:
        raise AssertionError(options)
try:
    explain("not a model", track)
except InputError as error:
    assert "can't be called" in str(error)
"""
    run_warm([], tmp_path, script).check_returncode()


def test_numbers_may_be_numpys(track: Track, tmp_path):
    """They come out of sweeps; files and generators take Python's own alone."""
    model = Additive()
    given = {"seed": 3, "n_samples": 60, "target": 0, "foil": 1, "batch_size": 16}
    found = explain(model, track, segments=2, **{name: np.int64(value) for name, value in given.items()})
    found.save(tmp_path / "e.safetensors")
    assert Explanation.load(tmp_path / "e.safetensors").provenance["settings"].items() >= given.items()
    assert torch.equal(found.attributions, explain(model, track, segments=2, **given).attributions)
    sides = explain(Late(), track, segments=2, n_samples=(np.int64(16), np.int32(16)))
    assert sides.provenance["settings"]["n_samples"] == (16, 16)
    with pytest.raises(InputError, match=r"seed 2.5 is not a whole number"):
        read_integer(2.5, "seed")


@pytest.mark.parametrize(("weights", "n_samples"), [("uniform", 40), ("shapley", 40), ("shapley", 200)])
def test_passes_are_those_that_ran(track: Track, weights: str, n_samples: int):
    """Seven words: 40 masks are some of them, 200 are all."""
    rows = []

    def read(text: list[str]) -> torch.Tensor:
        rows.extend(text)
        return torch.tensor([[float(len(set(line.split())))] for line in text])

    found = explain(read, track, modalities=("lyrics",), output_kind="regression", weights=weights, n_samples=n_samples)
    assert (found.audio_passes, found.lyrics_passes) == (0, len(rows))


def test_passes_of_nothing_to_switch_are_those_of_the_two_ends(track: Track):
    silent = Track(torch.zeros_like(track.stems), track.stem_names, RATE, None)
    found = explain(lambda audio: audio.mean((1, 2)), silent, sample_rate=RATE, modalities=("audio",))
    assert (found.audio_passes, found.lyrics_passes) == (2, 0)


#: glibc's M_MMAP_THRESHOLD: freed blocks of a megabyte go back to the system. By itself it keeps those of a batch or
#: doesn't, from run to run, and a peak says more of that than of what was asked for.
GIVEN_BACK = """
import ctypes
getattr(ctypes.CDLL(None), "mallopt", lambda *_: None)(-3, 1 << 20)
"""


#: Peak memory of a process, KiB; the sound is 30 s long, so that stored audio would be gigabytes.
JOINT_PEAK = """
import resource, sys, torch
from musiclime_torch import Track, explain
track = Track(torch.randn(4, 1, 16000 * 30), ("a", "b", "c", "d"), 16000)
n_samples = int(sys.argv[1])
thin = lambda audio: audio[:, :, ::100].mean((1, 2))
explain(thin, track, sample_rate=16000, modalities=("audio",), n_samples=n_samples, batch_size=16)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


CROSSED_PEAK = """
import resource, sys, torch
sys.path.insert(0, sys.argv[2])
from models import Late
from musiclime_torch import Track, explain
from musiclime_torch.song.lyrics.lyrics import parse_lyrics
track = Track(torch.randn(4, 1, 8000 * 60), ("a", "b", "c", "d"), 8000, parse_lyrics("hold me now\\nlove me"))
found = explain(Late(), track, n_samples=(int(sys.argv[1]), 256), design="crossed", batch_size=16)
assert found.audio_passes >= int(sys.argv[1]) and found.lyrics_passes < 300, (found.audio_passes, found.lyrics_passes)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "kept"),
    [
        (JOINT_PEAK, 0),
        # Outputs are kept, one a class and pair; while they are solved, some tensors of so many cells pass by.
        (CROSSED_PEAK, ((4096 - 512) * 256 * 3 * 4 * 2 + 8 * CELLS * 8) // 1024),
    ],
    ids=["joint", "crossed"],
)
def test_memory_does_not_grow_with_the_number_of_variants(tmp_path: Path, script: str, kept: int):
    """From 512 to 4,096 variants of the sound; stored, they would take 6.9 GB more."""
    folder = str(Path(__file__).parents[1] / "support")
    peaks = [int(run_warm([n, folder], tmp_path, GIVEN_BACK + script).stdout) for n in (512, 4096)]
    assert peaks[1] - peaks[0] < 50_000 + kept  # KiB


@pytest.mark.parametrize(
    ("model", "options"),
    [
        (Additive(), {"segments": 2, "n_samples": 4096}),
        (Additive(), {"segments": 8, "n_samples": 288}),
        (Late(), {"segments": 2, "n_samples": 2048}),
        (Late(), {"segments": 2, "n_samples": (64, 48)}),
    ],
    ids=["every joint mask", "blocks", "every crossed mask", "given numbers"],
)
def test_a_forecast_has_the_passes_that_are_then_made(track: Track, model: torch.nn.Module, options: dict):
    """Whole blocks may have more masks than were asked for."""
    seen: list[Forecast] = []

    def say(forecast: Forecast) -> str:
        seen.append(forecast)
        return ""

    explanation = explain_with(model, track, Settings(batch_size=8, **options), Stages(say=say))
    passes = explanation.audio_passes + (explanation.lyrics_passes if isinstance(model, Late) else 0)
    assert len(seen) == 1
    assert seen[0].seconds >= 0
    # The ends are a pass of each side, and the bar counts them once.
    assert 0.9 * passes <= seen[0].passes + 2 <= 1.1 * passes + 2


def test_a_model_of_lyrics_says_that_a_song_has_none(track: Track):
    wordless = Track(track.stems, track.stem_names, track.sample_rate)
    both = explain(Additive(), wordless, segments=2)
    assert "no lyrics were found: Additive is given an empty text, and the sound alone is explained." in both.warnings
    read = explain(lambda text: torch.tensor([float(len(line)) for line in text]), wordless, modalities=("lyrics",))
    assert any("no lyrics were found" in warning and "nothing to explain" in warning for warning in read.warnings)
    assert not any("no lyrics" in warning for warning in explain(Additive(), track, segments=2).warnings)


def test_provenance_names_files_part_and_model(track: Track):
    part = Track(
        track.stems, track.stem_names, track.sample_rate, track.lyrics, offset=30.0, file="a.flac", lyrics_file="a.lrc"
    )
    origin = explain(Additive(), part, segments=2).provenance
    assert (origin["file"], origin["lyrics_file"], origin["start"], origin["end"]) == ("a.flac", "a.lrc", 30.0, 32.0)


def test_a_quiet_stem_is_no_component_unless_it_is_asked_for(track: Track):
    """Forty decibels below the song: a third of the components, and a hundredth of the level."""
    quiet = 0.01 * torch.randn(1, 1, 16000, generator=torch.Generator().manual_seed(3)) * track.stems.sum(0).std()
    three = Track(torch.cat([track.stems, quiet]), (*track.stem_names, "residual"), 8000, track.lyrics, title="three")
    plain = explain(Additive(), three, segments=2)
    asked = explain(Additive(), three, segments=2, residual=True)
    stems = [item.stem for item in plain.components if item.stem]
    assert stems == ["drums", "drums", "vocals", "vocals"]
    assert plain.components.n_audio == 4
    assert asked.components.n_audio == 6
    said = [warning for warning in plain.warnings if warning.startswith("residual (40 dB below the song) is too quiet")]
    assert len(said) == 1
    assert not [warning for warning in asked.warnings if "too quiet" in warning]
    assert "residual (40 dB below the song) with" in plain.provenance["stems"]
    # The song is the song, whatever it is cut into.
    assert torch.allclose(plain.output_song, asked.output_song, atol=1e-5)
    for explanation in (plain, asked):
        assert "drums" in to_html(explanation, three)
        checked = check(Additive(), three, explanation, seeds=0, shuffled=())
        assert checked.components == len(explanation.components)


@pytest.mark.parametrize("asked", [False, True])
def test_evidence_takes_no_longer_than_the_sampling_unless_asked(track: Track, asked: bool):
    """Also where an earlier question left nothing to sample."""
    stages, answers = Noting(), Answers()
    settings = Settings(segments=6, n_samples=64, design="joint", evidence=asked)
    explain_with(Late(), track, settings, stages, answers, evidence_in_passing=True)
    names = [name for name, _ in stages.begun]
    assert len(names) <= 2
    again = Noting()
    second = explain_with(Late(), track, settings, again, answers, evidence_in_passing=True)
    assert sum(again.done) == 0
    assert not [warning for warning in second.warnings if "stopped after 0" in warning]
