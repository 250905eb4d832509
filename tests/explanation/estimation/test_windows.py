"""Songs of several windows: values are exact where every window is run on all of its masks, and honest where it isn't."""

import pytest
import torch
from models import RATE

from musiclime_torch.basics.progress import Stages
from musiclime_torch.explanation.estimation.windows import EXACT
from musiclime_torch.explanation.explainer import explain
from musiclime_torch.explanation.explanation import Explanation
from musiclime_torch.models.subject import describe_model
from musiclime_torch.song.track import Track
from musiclime_torch.surrogate.design import enumerate_masks
from musiclime_torch.surrogate.intervals import quantile
from musiclime_torch.surrogate.shapley.levels import solve_exact
from musiclime_torch.variants.components import list_components
from musiclime_torch.variants.probe import probing
from musiclime_torch.variants.sound import mix

SEGMENTS = 4


class Short:
    """Two classes from windows of the song, with interactions of all orders; counts its rows."""

    sample_rate, classes, modalities = RATE, ("a", "b"), ("audio",)

    def __init__(self, max_seconds: float | None, output_kind: str = "logits") -> None:
        self.max_seconds, self.output_kind, self.rows = max_seconds, output_kind, 0
        self.weights = torch.randn(2 * RATE, 2, generator=torch.Generator().manual_seed(0))

    def __call__(self, audio: torch.Tensor) -> torch.Tensor:
        self.rows += len(audio)
        signal = audio.mean(1)
        first, second = self.weights[: signal.shape[-1]], self.weights[-signal.shape[-1] :]
        return (0.3 * signal @ first).tanh() + (0.2 * signal @ second).cos()


def run_every_mask(track: Track, model: Short) -> tuple[torch.Tensor, torch.Tensor]:
    """All masks of the song and the outputs on them, window by window as the model gets them."""
    subject = describe_model(model, sample_rate=None, classes=None, output_kind=None, modalities=None)
    components = list_components(track, SEGMENTS, "word", subject.modalities)
    with probing(subject, track, components, "silence", None, 0, torch.device("cpu"), 64, "float32", Stages()) as probe:
        masks = enumerate_masks(len(probe.seen)).masks
        full = torch.ones(len(masks), probe.columns, dtype=torch.bool)
        full[:, list(probe.seen)] = masks
        gates = full.unflatten(1, (probe.sources.n_stems, SEGMENTS))
        outputs = torch.stack([model(mix(window, gates)).double() * window.weight for window in probe.sources.windows])
        return masks, outputs.sum(0) / sum(window.weight for window in probe.sources.windows)


# 0.5 s: one window a segment. 0.4: two. 0.6: windows straddle cuts, and share columns with the next ones.
@pytest.mark.parametrize("max_seconds", [0.5, 0.4, 0.6])
def test_values_are_those_of_every_mask_of_the_song(track: Track, max_seconds: float):
    masks, outputs = run_every_mask(track, Short(max_seconds))
    explanation = explain(Short(max_seconds), track, segments=SEGMENTS, n_samples=128)
    assert explanation.design == EXACT
    assert not explanation.standard_errors.any()
    coded = masks.double() - 0.5
    torch.testing.assert_close(explanation.attributions, 4 * (coded.T @ outputs).T / len(masks), atol=1e-6, rtol=1e-6)
    shapley = explain(Short(max_seconds), track, segments=SEGMENTS, n_samples=128, weights="shapley")
    torch.testing.assert_close(shapley.attributions, solve_exact(masks, outputs).values, atol=1e-6, rtol=1e-6)
    assert not shapley.standard_errors.any()
    whole = explain(Short(max_seconds), track, segments=SEGMENTS, n_samples=128, space="logit").interactions
    every = 16 * torch.einsum("ni,nj,nc->cij", coded, coded, outputs) / len(masks)
    first, second = whole.columns.T
    logit = whole.spaces.index("logit")
    torch.testing.assert_close(whole.values[logit], every[:, first, second], atol=1e-6, rtol=1e-6)
    assert not whole.standard_errors[logit].any()
    assert whole.standard_errors[whole.spaces.index("probability")].any()  # looked up, and so it says


def test_every_rendering_is_run_once(track: Track):
    model = Short(0.5)
    explanation = explain(model, track, segments=SEGMENTS)
    # Four segments of a window each, two stems.
    assert model.rows == explanation.n_variants == explanation.audio_passes == 4 * 4


def test_in_another_space_masks_are_looked_up(track: Track):
    model = Short(0.5)
    explanation = explain(model, track, segments=SEGMENTS, n_samples=32, space="probability")
    assert model.rows == 4 * 4
    masks, outputs = run_every_mask(track, Short(0.5))
    values = outputs.softmax(1)
    expected = 4 * ((masks.double() - 0.5).T @ values).T / len(masks)
    # Eight components: all of the song's masks are looked up, and nothing is left to chance.
    torch.testing.assert_close(explanation.attributions, expected, atol=1e-6, rtol=1e-6)
    assert not explanation.standard_errors.any()


def test_a_song_of_many_components_is_looked_up_on_thousands_of_masks(track: Track):
    runs = [
        explain(model, track, segments=10, n_samples=32, space="probability", seed=seed, design=design)
        for model in [Short(0.2)]
        for seed, design in ((0, "auto"), (1, "auto"), (0, "foldover"))
    ]
    assert runs[1].audio_passes == 10 * 4
    assert runs[0].n_variants >= 16_384
    assert runs[2].n_variants < 100
    assert ((runs[0].attributions - runs[1].attributions).abs() <= 8 * runs[0].standard_errors).all()
    assert float((runs[0].standard_errors / runs[2].standard_errors).max()) < 0.1


def gather_runs(model: Short, track: Track, n_samples: int, seeds: range, **given) -> list[Explanation]:
    return [explain(model, track, segments=SEGMENTS, n_samples=n_samples, seed=seed, **given) for seed in seeds]


@pytest.mark.parametrize("max_seconds", [0.6, 1.2])
def test_windows_with_too_many_masks_are_sampled_honestly(track: Track, max_seconds: float):
    masks, outputs = run_every_mask(track, Short(max_seconds))
    truth = 4 * ((masks.double() - 0.5).T @ outputs).T / len(masks)
    runs = gather_runs(Short(max_seconds), track, 32, range(40), design="auto")
    errors = torch.stack([run.attributions - truth for run in runs])
    stated = torch.stack([run.standard_errors for run in runs])
    assert runs[0].design.endswith("each window solved in its own columns")
    widths = quantile(torch.stack([run.degrees_of_freedom for run in runs]), 0.95) * stated
    assert 0.92 <= float((errors.abs() <= widths).double().mean()) <= 0.99
    # The errors are those of the same masks solved over all columns at most.
    plain = gather_runs(Short(max_seconds), track, 32, range(40), design="foldover")
    other = torch.stack([run.attributions - truth for run in plain])
    assert float(errors.square().mean()) <= 1.05 * float(other.square().mean())
    assert stated.min() > 0


def test_a_song_may_have_windows_of_both_kinds(track: Track):
    """A stem that plays in the second half alone: its windows have twice the columns."""
    stems = torch.cat([track.stems, track.stems.flip(-1)])
    stems[2:, :, : stems.shape[-1] // 2] = 0.0
    song = Track(stems, ("a", "b", "c", "d"), RATE)
    model = Short(0.4)
    masks, outputs = run_every_mask(song, model)
    truth = 4 * ((masks.double() - 0.5).T @ outputs).T / len(masks)
    explanation = explain(Short(0.4), song, segments=SEGMENTS, n_samples=8, design="auto")
    seen = [column for column in range(16) if column not in explanation.unseen]
    exact = explanation.standard_errors[0, seen] == 0
    early = torch.tensor([column % SEGMENTS < 2 for column in seen])
    assert torch.equal(exact, early)
    torch.testing.assert_close(explanation.attributions[:, seen][:, exact], truth[:, exact], atol=1e-6, rtol=1e-6)
