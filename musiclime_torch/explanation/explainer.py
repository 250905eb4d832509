"""explain(): the pipeline from model and track to explanation, each stage in its own module."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, SupportsIndex

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from musiclime_torch.basics.arguments import Segments
from musiclime_torch.basics.choices import DesignName, Precision, Space, Units, WeightsName
from musiclime_torch.basics.errors import InputError
from musiclime_torch.basics.progress import Stages, open_stages
from musiclime_torch.explanation.answers import Answers, check_answers, describe_question, record_provenance
from musiclime_torch.explanation.composing import collect_warnings, compose, tell_of_no_lyrics
from musiclime_torch.explanation.edits import look_for_edit
from musiclime_torch.explanation.estimation.crossed import estimate_crossed
from musiclime_torch.explanation.estimation.groups import adds_up, run_all, split_song
from musiclime_torch.explanation.estimation.joint import estimate_joint
from musiclime_torch.explanation.estimation.loop import Estimate, count_effort, estimate_nothing
from musiclime_torch.explanation.estimation.proxies import Guide
from musiclime_torch.explanation.estimation.shapley import estimate_shapley
from musiclime_torch.explanation.estimation.windows import LOOK_UPS, estimate_shapley_windows, estimate_windows
from musiclime_torch.explanation.evidence import Evidence, look_for_evidence, makes_decision
from musiclime_torch.explanation.explanation import Explanation
from musiclime_torch.explanation.guides import guiding, note_guidance, read_proxy, tell_guidance
from musiclime_torch.explanation.interactions import choose_classes
from musiclime_torch.explanation.lessons import Lesson, recall_lesson
from musiclime_torch.explanation.planning import (
    Plan,
    count_expected,
    describe_asked,
    keep_worthwhile_end,
    place_components,
    plan_sampling,
    share_sounds,
    takes_all,
)
from musiclime_torch.explanation.prediction import ask_ends, refuse_deaf
from musiclime_torch.explanation.settings import SETTINGS, Settings, read_settings
from musiclime_torch.models.students import Student
from musiclime_torch.song.track import Track, fold_quiet
from musiclime_torch.surrogate.sampling import VALUES
from musiclime_torch.variants.components import Components
from musiclime_torch.variants.look_ups import describe_look_ups
from musiclime_torch.variants.probe import Probe, describe_swaps, edit_probe, pick_device, probing
from musiclime_torch.variants.scale import Scale, settle_scale, to_values
from musiclime_torch.variants.sound import describe_fit


def explain(
    model: Callable[..., Any],
    track: Track,
    *,
    target: SupportsIndex | str | None = Settings.target,
    foil: SupportsIndex | str | None = Settings.foil,
    segments: Segments | None = Settings.segments,
    units: Units = Settings.units,
    baseline: str | Track | Mapping[str, str | Track] = Settings.baseline,
    residual: bool = Settings.residual,
    lyrics_baseline: str | Mapping[str, str] | None = Settings.lyrics_baseline,
    design: DesignName = Settings.design,
    n_samples: SupportsIndex | tuple[SupportsIndex, SupportsIndex] | None = Settings.n_samples,
    until: str | None = Settings.until,
    weights: WeightsName = Settings.weights,
    kernel_width: float = Settings.kernel_width,
    ridge: float = Settings.ridge,
    space: Space | None = Settings.space,
    confidence: float = Settings.confidence,
    evidence: bool = Settings.evidence,
    edits: bool = Settings.edits,
    interactions: str | Sequence[SupportsIndex | str] = Settings.interactions,
    seed: SupportsIndex = Settings.seed,
    batch_size: SupportsIndex = Settings.batch_size,
    precision: Precision = Settings.precision,
    device: torch.device | str | None = Settings.device,
    sample_rate: int | None = Settings.sample_rate,
    channels: int | None = Settings.channels,
    classes: Sequence[str] | None = Settings.classes,
    output_kind: str | None = Settings.output_kind,
    modalities: Sequence[str] | None = Settings.modalities,
    answers: Answers | None = None,
    proxy: Callable[..., Any] | Student | None = None,
    proxy_samples: int | None = None,
    progress: bool = False,
) -> Explanation:
    """Explain what a model makes of a track: every component's attribution to every class, with its standard error.

    Args:
        model: any callable `model(audio, text) -> (batch, class)`; see `musiclime_torch.models.contract` for what it may
            declare.
        track: the song, from `load_track` or made by hand.
        target: class that the views show, by name or number; None takes the predicted one. All classes are solved anyway.
        foil: another class, for the contrast "why the target and not this one", which is added as one more class.
        segments: number of equal time segments, "3s" for a length, or cut points in seconds; None makes ten, or fewer where
            they would be shorter than the model's `shortest_seconds`. Musical ones: "beats", "bars", "4bars" or "sections",
            in groups where they would be more than ten; "lyrics" for the headings of timed lyrics; a file of labels; a
            `Timeline`.
        units: unit of the lyrics that is switched: "word", "type", "line" or "section".
        baseline: what a removed stem becomes. "silence", "noise" or another track's stem; or an edit of itself: a gain
            ("-12 dB"), a filter ("low-pass 1000 Hz", "high-pass 200 Hz"), a shift of pitch ("+3 semitones"), or "median"
            ("median 0.5 s"), which keeps what stays the same over that time. A mapping gives each stem its own, such as
            {"vocals": "-12 dB", "drums": another_track}; stems it doesn't name become silence. Attributions then say what
            a part does as it is, compared with what stands in for it.
        residual: stems 30 dB or more below the song, such as what separation leaves, are components too; without, they are
            added to the loudest stem and switched with it, and a warning says so.
        lyrics_baseline: what a removed word's tokens become: "mask", "zero", "pad" or "gone"; None takes the mask token
            where the model has one. Or another word: {"sad": "happy"}, or "guess:MODEL" for the best other word of a masked
            language model, by folder or hub id. Words without another one stay as they are.
        design: "auto" crosses masks of the sound with masks of the lyrics where a model offers `encode_audio`,
            `encode_text` and `fuse` and the weights allow it, and draws joint masks otherwise. "crossed" and "joint" force
            one of them. Both draw fold-over blocks and may drop complements after a pilot; "foldover", "kerdock",
            "unfolded", "bernoulli" and "bernoulli+song" are fixed joint designs.
        n_samples: number of masks, in whole blocks; every mask, where there are no more than that. A crossed design spends
            what n_samples / 2 joint masks would cost the model's encoders; (sound, lyrics) gives the masks of each side.
            None takes as many as the song needs: sampling stops once every half interval is at most a tenth of the largest
            attribution to the target, and after 2,048 masks in any case; where there are no more than 256 masks, each is
            taken. Shapley values, and fits under LIME's kernels or a ridge penalty, get all 2,048.
        until: stop before that budget is spent once "top 5" (the order of the 5 largest is settled), "width 0.1" (every
            half interval is that narrow, in the units of `space`) or "width 10%" (as a share of the largest attribution)
            holds for the target.
        weights: "uniform" (Banzhaf values), "shapley", "lime" or "paper" (MusicLIME's).
        kernel_width: width of LIME's kernel, on distances in [0, 1].
        ridge: penalty on squared slopes, added to the weighted sum of squared errors: the more masks, the less it weighs.
        space: "logit", "log-odds", "probability" or "raw"; None takes the outputs' own scale.
        confidence: confidence of the intervals, of significance, and of stopping.
        evidence: also search for components that alone keep the decision, and for components whose removal flips it.
        edits: search for the smallest edit that flips the decision too: of as few components as possible, and as mild as
            possible. Levels, filters, shifts of pitch and other words are tried; see `musiclime_torch.explanation.edits`.
        interactions: classes whose interactions, with their errors and shares of the variance, are solved: "target" for the
            target, the foil and the largest outputs, ten classes in all; "all"; or more of them by name or number. Main
            effects are solved for all classes anyway.
        seed: seed of the masks and of noise; no global random state is read or changed.
        batch_size: variants per forward pass.
        precision: "bfloat16" for faster encoders, where a model has separate ones; see `musiclime_torch.models.care`. Its
            effect on the outputs is among the warnings.
        device: where masks, mixing and solving happen; None takes the model's device.
        sample_rate: the model's sample rate in Hz. This and the next four override what the model declares.
        channels: 1 or 2 channels of sound; None takes those of the track where the model declares none.
        classes: names of the model's outputs.
        output_kind: "logits", "multilabel", "probabilities", "regression", "similarity" or "embedding".
        modalities: what it takes: ("audio", "lyrics"), ("audio",) or ("lyrics",).
        answers: what the model answered about this song so far. It is filled, and whatever it has costs no pass: a foil,
            another space, Shapley values beside Banzhaf values, more masks, evidence.
        proxy: a cheap stand-in for the model, which answers very many masks and so lowers the errors of what the model
            answers on few: a student (`load_student`), or any model with the same outputs. Estimates stay unbiased, and a
            bad one costs next to nothing; see `musiclime_torch.surrogate.control`.
        proxy_samples: masks that the proxy answers; None takes 16,384 for a student and 4,096 for another model.
        progress: show a bar for each stage on standard error, if that is a terminal.

    Raises:
        InputError: anything that can't be explained, in one sentence.
    """
    given = locals()  # all arguments by name; nothing else is local yet
    settings = read_settings({name: given[name] for name in SETTINGS})
    return explain_with(model, track, settings, progress, answers, proxy=proxy, proxy_samples=proxy_samples)


def explain_with(
    model: Callable[..., Any],
    track: Track,
    settings: Settings,
    progress: bool | Stages = False,
    answers: Answers | None = None,
    evidence_in_passing: bool = False,
    proxy: Callable[..., Any] | Student | None = None,
    proxy_samples: int | None = None,
    teach: Callable[[Lesson], object] | None = None,
) -> Explanation:
    """`explain` with its arguments in one value, for callers that keep them, pass them on, or explain twice.

    `progress` may be stages that go on with this explanation's. With `evidence_in_passing` evidence is looked for where it
    was not asked for, but costs little: no more passes than the sampling did, and none where the decision stays with
    everything removed or the outputs make none. `teach` is given what a student can learn from the masks, if that is enough.
    """
    _check_track(track)
    check_answers(answers)
    track = track if settings.residual else fold_quiet(track)
    # What the model's declarations alone can refuse is refused here, before stems are resampled or lyrics are tokenized.
    subject, space = describe_asked(model, settings)
    cheap = read_proxy(proxy, proxy_samples, subject, settings)
    segments, components = place_components(subject, track, settings)
    # Settings are refused here, before anything is prepared. The plan is made again once it is known which components the
    # model can notice.
    plan_sampling(subject, (components.n_audio, len(components) - components.n_audio), settings)
    device = pick_device(subject, settings.device)
    with (
        open_stages(progress) as stages,
        probing(
            subject,
            track,
            components,
            settings.baseline,
            settings.lyrics_stand_in,
            settings.seed,
            device,
            settings.batch_size,
            settings.precision,
            stages,
            None if answers is None else answers.kept,
        ) as probe,
    ):
        plan = plan_sampling(subject, (len(probe.seen_audio), len(probe.seen_lyrics)), settings)
        plan = share_sounds(probe, keep_worthwhile_end(probe, plan))
        count = None if subject.classes is None else len(subject.classes)
        asked = settings.evidence or settings.edits
        in_passing = evidence_in_passing and not asked and makes_decision(subject.output_kind, count)
        every_mask = takes_all(probe, plan)
        if in_passing and every_mask:
            # What is run then answers the search too, whichever sets it asks about.
            probe.kept.everything = True
        if answers is not None:
            answers.admit(describe_question(subject, track, components, settings, probe.sources), model)
        known = probe.kept.count("")
        stages.begin(
            f"asking {subject.name}", count_expected(probe, plan), at_most=plan.until is not None and not every_mask
        )
        ends, warnings = ask_ends(probe)
        refuse_deaf(subject, ends)
        scale = settle_scale(subject, ends, space, settings.target, settings.foil)
        scale = replace(scale, kept=choose_classes(settings.interactions, scale, to_values(scale, ends)[0]))
        with guiding(cheap, probe, track, components, scale, plan, settings) as guide:
            estimate = _estimate(probe, scale, ends, plan, settings, guide)
        check_rank(estimate.dependent, components, probe.seen, settings.ridge)
        if teach is not None and (lesson := recall_lesson(probe, estimate, track)) is not None:
            teach(lesson)
        attributions = estimate.coefficients.values[scale.column]
        evidence: Evidence | None = None
        failed: tuple[str, ...] = ()
        if settings.evidence or settings.edits or in_passing:
            # Of a second question about a song the sampling may have taken none: what it was spared counts too.
            most = max(count_effort(probe), known) if in_passing else None
            evidence, failed = look_for_evidence(probe, scale, attributions, ends[1], most)
        if settings.edits and evidence is not None:

            def make(edit: str) -> Probe:
                return probe if edit == settings.baseline else edit_probe(probe, track, components, edit, settings.seed)

            evidence, stopped = look_for_edit(probe, scale, attributions, evidence, make)
            failed += stopped
    # The record keeps what None was resolved to for this model and song.
    settled = replace(
        settings,
        target=scale.target,
        foil=scale.foil,
        segments=segments,
        space=space,
        lyrics_baseline=probe.sources.lyrics_baseline,
    )
    provenance = record_provenance(subject, track, settled, device) | {"given": settings.list_given()}
    if cheap is not None:
        provenance["proxy"] = cheap.describe() | tell_guidance(estimate.guidance)
    provenance |= describe_look_ups(probe)
    if probe.sources.swaps:
        provenance["swaps"] = describe_swaps(components, probe.sources)
    timed = () if components.timeline is None else components.timeline.notes
    warnings = (
        collect_warnings(track)
        + tell_of_no_lyrics(subject, track)
        + (describe_fit(track, settings.baseline) if components.n_audio else ())
        + timed
        + warnings
        + estimate.notes
        + (() if cheap is None else note_guidance(cheap, estimate.guidance, scale.column, track))
        + plan.notes
        + failed
        + probe.room.describe()
        + tuple(probe.local.notes)
    )
    value = VALUES[settings.weights]
    return compose(components, probe, scale, estimate, evidence, value, settings.confidence, warnings, provenance)


def _check_track(track: object) -> None:
    """InputError for anything but a `Track`, above all a path."""
    if isinstance(track, str | Path):
        raise InputError(f"the track is a path: give load_track({str(track)!r}).")
    if not isinstance(track, Track):
        raise InputError(f"expected a Track from load_track(path) or made by hand, got {track!r}.")


def _estimate(
    probe: Probe, scale: Scale, ends: Float[Tensor, "2 class"], plan: Plan, settings: Settings, guide: Guide | None
) -> Estimate:
    if plan.kind == "nothing":
        return estimate_nothing(probe, scale, ends)
    if plan.kind == "crossed coalitions":
        return estimate_shapley(probe, scale, ends, plan.sampling, cross=True)
    if plan.kind == "crossed":
        return estimate_crossed(probe, scale, ends, plan.sampling, plan.until, settings.confidence, guide)
    return _estimate_together(probe, scale, ends, plan, settings, guide)


def _estimate_together(
    probe: Probe, scale: Scale, ends: Float[Tensor, "2 class"], plan: Plan, settings: Settings, guide: Guide | None
) -> Estimate:
    """Masks over all columns; what a longer song's windows allow, where nothing else was asked for."""
    sampling, coalitions = plan.sampling, plan.kind == "coalitions"
    exact, sampled = split_song(probe, sampling.every_mask) if plan.free and not settings.ridge else ((), ())
    known = bool(exact) and not sampled
    if known and coalitions and adds_up(scale):
        return estimate_shapley_windows(probe, scale, ends, exact)
    if (exact or sampled) and not coalitions and adds_up(scale):
        return estimate_windows(probe, scale, ends, sampling, plan.until, settings.confidence)
    if known:
        # The song's answer to every mask is known once its windows' are: more masks cost no pass.
        run_all(probe, exact)
        sampling = replace(sampling, n_samples=max(sampling.total, LOOK_UPS))
    if coalitions:
        return estimate_shapley(probe, scale, ends, sampling, cross=False)
    return estimate_joint(probe, scale, ends, sampling, settings.ridge, plan.until, settings.confidence, guide)


def check_rank(dependent: Bool[Tensor, " d"], components: Components, seen: Sequence[int], ridge: float) -> None:
    """InputError that names a component whose mask column is a combination of others, unless a ridge penalty allows it."""
    columns = dependent.nonzero().flatten().tolist()
    if columns and ridge == 0:
        raise InputError(
            f"the masks can't tell {components.items[seen[columns[0]]].name!r} from other components "
            f"({len(columns)} of {len(seen)} columns): ask for more masks, or set a ridge penalty."
        )
