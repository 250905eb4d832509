"""What an explanation was asked, read back from it: the same model can be asked again, and the song explained again."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, cast

import torch

from musiclime_torch.basics.errors import InputError
from musiclime_torch.explanation.explainer import explain_with
from musiclime_torch.explanation.explanation import Explanation
from musiclime_torch.explanation.provenance import find_baseline_song, hash_inputs
from musiclime_torch.explanation.settings import Settings, read_settings
from musiclime_torch.models.subject import Subject, describe_model
from musiclime_torch.song.track import Track
from musiclime_torch.surrogate.design import mask_ends
from musiclime_torch.variants.asking import run_joint
from musiclime_torch.variants.components import Components, list_components
from musiclime_torch.variants.probe import Probe, pick_device, probing
from musiclime_torch.variants.scale import Scale, settle_scale
from musiclime_torch.variants.sound import fit_stems, make_noise

#: What a model says of itself, where the caller said it.
_DECLARED = ("sample_rate", "classes", "output_kind", "modalities")

#: What another hash tells, and to which side of a model it matters.
_HASHES = (
    ("audio_hash", "another song", "audio"),
    ("lyrics_hash", "other lyrics", "lyrics"),
    ("model_hash", "another model", ""),
)


@dataclass(frozen=True)
class Question:
    """A model and a track, described, and the settings that it was explained with."""

    subject: Subject
    track: Track
    components: Components
    settings: Settings = field(repr=False)

    @property
    def model(self) -> Callable[..., Any]:
        """The model as it was given."""
        return cast(Callable[..., Any], self.subject.model)

    def explain_again(self, **changes: Any) -> Explanation:
        """The explanation with some settings changed. Another seed draws other masks, before the same noise."""
        return explain_with(self.model, self.track, replace(self.settings, **changes))


def recall(
    model: Callable[..., Any],
    track: Track,
    explanation: Explanation,
    baseline: Track | None,
    device: torch.device | str | None,
) -> Question:
    """The question behind an explanation; `baseline` is the song whose stems stood in, where it was one.

    InputError where the explanation doesn't tell all of it, or is of another model or song.
    """
    record = explanation.provenance.get("settings", {})
    if "confidence" not in record:
        raise InputError("the explanation was saved by a version that kept less of its question: explain the song again.")
    _check_baseline(explanation.provenance, baseline)
    stand_in = record["baseline"] if baseline is None else baseline
    settings = read_settings({**record, "baseline": stand_in, "evidence": False, "device": device})
    assert settings.segments is not None, "what is recorded is what None came to mean"
    subject = describe_model(model, **{name: getattr(settings, name) for name in _DECLARED})
    components = list_components(track, settings.segments, settings.units, subject.modalities)
    if components != explanation.components:
        raise InputError("the explanation has other components than this model and song: give those that it was made of.")
    _check_hashes(explanation.provenance, subject, track)
    if stand_in == "noise" and "audio" in subject.modalities:
        settings = replace(settings, baseline=_hold_noise(subject, track, settings.seed))
    return Question(subject, track, components, settings)


def _check_baseline(provenance: dict[str, Any], baseline: Track | None) -> None:
    """InputError where a song stood in and isn't given, or is another one, or where none did."""
    name, song = provenance["settings"]["baseline"], find_baseline_song(provenance)
    if song is None:
        if baseline is not None:
            raise InputError(f"{name} stood in for removed stems, not the song {baseline.title!r}: leave baseline out.")
    elif baseline is None:
        raise InputError(f"the stems of {name!r} stood in for removed ones: give that track as baseline.")
    elif _differ(song["audio_hash"], baseline.audio_hash):
        raise InputError(f"the stems of {name!r} stood in for removed ones, and this is another song: give that track.")


def _check_hashes(provenance: dict[str, Any], subject: Subject, track: Track) -> None:
    """InputError where the model, or what it is given of the track, isn't what was explained."""
    found = hash_inputs(subject, track)
    for key, what, side in _HASHES:
        if side in ("", *subject.modalities) and _differ(provenance.get(key, ""), found[key]):
            raise InputError(
                f"the explanation is of {what} ({key} {provenance[key][:8]}, not {found[key][:8]}): give the one explained, "
                "or explain this one."
            )


def _differ(known: str, own: str) -> bool:
    """Whether two hashes say so; one that is empty says nothing."""
    return bool(known and own and known != own)


def _hold_noise(subject: Subject, track: Track, seed: int) -> Track:
    """The noise that a seed draws, as the song that stands in: it then stays when the seed of the masks changes."""
    rate = subject.sample_rate
    assert rate is not None, "describe_model refuses a hearing model without a rate"
    noise = make_noise(fit_stems(track, rate, subject.channels), seed)
    return Track(noise, track.stem_names, rate, title="noise", source="drawn")


@contextmanager
def asking(question: Question, advance: Callable[[int], object]) -> Iterator[tuple[Probe, Scale]]:
    """A probe that gives every variant the outputs that the explanation saw, and the explanation's scale."""
    settings, subject = question.settings, question.subject
    with probing(
        subject,
        question.track,
        question.components,
        settings.baseline,
        settings.lyrics_baseline,
        settings.seed,
        pick_device(subject, settings.device),
        settings.batch_size,
        settings.precision,
        advance,
    ) as probe:
        ends = run_joint(probe, mask_ends(len(probe.seen)))
        assert settings.space is not None, "likewise"
        yield probe, settle_scale(subject, ends, settings.space, settings.target, settings.foil)
