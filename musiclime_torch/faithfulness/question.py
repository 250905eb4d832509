"""The question behind an explanation, read back from it, so that the model can be run and the song explained again."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, cast

import torch

from musiclime_torch.basics.errors import InputError
from musiclime_torch.basics.progress import Stages
from musiclime_torch.explanation.answers import (
    Answers,
    describe_question,
    find_baseline_song,
    hash_inputs,
    identify_songs,
    recall_track,
    record_question,
)
from musiclime_torch.explanation.baselines import name_baseline
from musiclime_torch.explanation.explainer import explain_with
from musiclime_torch.explanation.explanation import Explanation
from musiclime_torch.explanation.planning import describe_asked
from musiclime_torch.explanation.settings import Settings, read_settings
from musiclime_torch.models.subject import Subject
from musiclime_torch.song.track import Track
from musiclime_torch.surrogate.design import mask_ends
from musiclime_torch.variants.asking import run_joint
from musiclime_torch.variants.components import Components, list_components
from musiclime_torch.variants.probe import Probe, pick_device, probing
from musiclime_torch.variants.scale import Scale, settle_scale
from musiclime_torch.variants.sound import fit_stems, make_noise, spread_baseline

#: What a different hash means, and the side of the model that it matters to.
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
        """The model as it was passed in."""
        return cast(Callable[..., Any], self.subject.model)

    def explain_again(self, answers: Answers | None = None, progress: bool | Stages = False, **changes: Any) -> Explanation:
        """The explanation with some settings changed. Another seed draws other masks but keeps the noise.

        `answers` are those of this model with the weights it has now.
        """
        return explain_with(self.model, self.track, replace(self.settings, **changes), progress, answers)


def recall(
    model: Callable[..., Any],
    track: Track,
    explanation: Explanation,
    baseline: Track | Mapping[str, Any] | None,
    device: torch.device | str | None,
) -> Question:
    """The question behind an explanation; `baseline` is the song whose stems replaced removed ones, or the mapping with
    takes, if one was used.

    InputError where the explanation doesn't record all of it, or is of another model or song.
    """
    record = explanation.provenance.get("settings", {})
    if "confidence" not in record:
        raise InputError("the explanation was saved by a version that recorded fewer settings: explain the song again.")
    _check_baseline(explanation.provenance, baseline)
    track = recall_track(explanation.provenance, track)
    # A song is recorded by its title; its stems must come from the caller.
    stand_in = record["baseline"] if baseline is None else baseline
    # Labels may be gone, and beats take time: segments with names are part of the explanation.
    segments = explanation.components.timeline or record["segments"]
    given = {**record, "residual": True, "segments": segments, "baseline": stand_in, "evidence": False, "edits": False}
    given["device"] = device
    settings = read_settings(given)
    assert settings.segments is not None, "None was resolved before it was recorded"
    subject, _ = describe_asked(model, settings)
    components = list_components(track, settings.segments, settings.units, subject.modalities, subject.asked_text)
    if components != explanation.components:
        raise InputError("the explanation has other components than this model and song: give those it was made from.")
    _check_hashes(explanation.provenance, subject, track)
    _check_question(explanation.provenance, subject)
    if "audio" in subject.modalities:
        settings = replace(settings, baseline=_hold_noise(subject, track, settings))
    return Question(subject, track, components, settings)


def _check_baseline(provenance: dict[str, Any], baseline: Track | Mapping[str, Any] | None) -> None:
    """InputError where the baseline song isn't given, is another one, or wasn't used."""
    name, song = provenance["settings"]["baseline"], find_baseline_song(provenance)
    if song is None:
        if baseline is not None:
            raise InputError(
                f"removed stems were replaced by {name}, not by the song {name_baseline(baseline)!r}: leave baseline out.",
                argument="baseline",
            )
    elif baseline is None:
        raise InputError(
            f"removed stems were replaced by those of {name!r}: give that track as baseline.", argument="baseline"
        )
    elif _differ(song["audio_hash"], (identify_songs(baseline) or {"audio_hash": "none"})["audio_hash"]):
        raise InputError(
            f"removed stems were replaced by those of {name!r}, and this is another song: give that track as baseline.",
            argument="baseline",
        )


def _check_hashes(provenance: dict[str, Any], subject: Subject, track: Track) -> None:
    """InputError where the model, or what it is given of the track, isn't what was explained."""
    hashes = hash_inputs(subject, track)
    for key, what, side in _HASHES:
        if side in ("", *subject.modalities) and _differ(provenance.get(key, ""), hashes[key]):
            raise InputError(
                f"the explanation is of {what} ({key} {provenance[key][:8]}, not {hashes[key][:8]}): give the one "
                "explained, or explain this one."
            )


def _check_question(provenance: dict[str, Any], subject: Subject) -> None:
    """InputError where a language model was asked something else."""
    now = record_question(subject.model)
    if any(provenance.get(name) != value for name, value in now.items()):
        raise InputError(
            f"the explanation is of another question, {provenance.get('asked', 'none')!r}, or of other answers: give the "
            "model as it was asked."
        )


def _differ(known: str, other: str) -> bool:
    """Whether two hashes are known and differ; an empty hash is unknown."""
    return bool(known and other and known != other)


def _hold_noise(subject: Subject, track: Track, settings: Settings) -> Any:
    """The baseline, with the noise that the seed draws as a song: so it stays when the seed of the masks changes."""
    if isinstance(settings.baseline, Track):
        return settings.baseline
    asked = spread_baseline(settings.baseline, track.stem_names)
    if "noise" not in [other for other in asked if isinstance(other, str)]:
        return settings.baseline
    rate = subject.sample_rate
    assert rate is not None, "describe_model refuses an audio model without a sample rate"
    noise = make_noise(fit_stems(track, rate, subject.channels), settings.seed)
    drawn = Track(noise, track.stem_names, rate, title="noise", source="drawn")
    if settings.baseline == "noise":
        return drawn
    return {name: drawn if other == "noise" else other for name, other in zip(track.stem_names, asked, strict=True)}


@contextmanager
def asking(question: Question, stages: Stages, answers: Answers) -> Iterator[tuple[Probe, Scale]]:
    """A probe under the explanation's settings, so that each variant gets the same outputs, and the explanation's scale."""
    settings, subject = question.settings, question.subject
    with probing(
        subject,
        question.track,
        question.components,
        settings.baseline,
        settings.lyrics_stand_in,
        settings.seed,
        pick_device(subject, settings.device),
        settings.batch_size,
        settings.precision,
        stages,
        answers.kept,
    ) as probe:
        described = describe_question(subject, question.track, question.components, settings, probe.sources)
        answers.admit(described, question.model)
        ends = run_joint(probe, mask_ends(len(probe.seen)))
        assert settings.space is not None, "None was resolved before it was recorded"
        yield probe, settle_scale(subject, ends, settings.space, settings.target, settings.foil)
