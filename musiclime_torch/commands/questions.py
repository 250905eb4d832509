"""Which model is asked, and what: for its classes, an answer (--ask), or how near a song or text is (--like, --query)."""

from collections.abc import Mapping, Sequence
from os.path import exists
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from musiclime_torch.basics.errors import InputError
from musiclime_torch.commands.models import transcribes
from musiclime_torch.commands.options import pop_given, split

if TYPE_CHECKING:
    from musiclime_torch.song.track import Track

#: In place of an answer: the one that the model gives by itself.
AUTO = "auto"

#: Saved tastes, all others being songs.
_TASTE = ".npz"

#: Settings that say how to sample: where one is given, Shapley values aren't chosen unasked.
_SAMPLING = ("weights", "design", "until", "ridge", "kernel_width", "preset")


def prefer_sums(options: dict[str, Any]) -> None:
    """Shapley values for similarities, where no other way of sampling was asked for: they add up to the similarity."""
    if _compares(options) and all(options.get(name) is None for name in _SAMPLING):
        options["weights"] = "shapley"


def refuse_both(options: Mapping[str, Any]) -> None:
    """InputError where there isn't one other song to explain too."""
    like: Sequence[str] = options.get("like") or ()
    if len(like) != 1 or like[0].endswith(_TASTE) or options.get("query") or options.get("foil"):
        raise InputError(
            "--both explains two songs, each beside the other: give one song as --like, and no --query or --foil."
        )


def load_models(options: dict[str, Any], device: str, knows_song: bool = False) -> Any:
    """The one model, or the sum of the two, that --model, --audio-model and --text-model name; or the one to --ask.

    With `knows_song` the caller settles an answer that the model is to give by itself.
    """
    from musiclime_torch.commands.models import load_ensemble, load_model

    given = pop_given(options, "model", "audio_model", "text_model", "model_weights")
    options["ask"] = options["ask"] or None
    asked = pop_given(options, "ask", "answer", "answer_tokens", "ask_words", "order")
    compared = {name: options.pop(name, None) or () for name in ("like", "query")}
    if asked or any(compared.values()):
        return _load_asked(given, asked, compared, options, device, knows_song)
    # A zero-shot model chooses from the class names; any other model has its own.
    labels = None if options["classes"] is None else split(options["classes"])
    if "model" in given and len(given) > 1:
        raise InputError("--model is the whole model: leave --audio-model, --text-model and --model-weights out.")
    if "audio_model" in given and "text_model" in given:
        weights = _read_weights(given.get("model_weights", "1,1"))
        return load_ensemble(given["audio_model"], given["text_model"], weights, device, labels)
    if "model_weights" in given:
        raise InputError("--model-weights needs two models: give --audio-model and --text-model.")
    return load_model(next(iter(given.values()), "demo"), device, labels)


def _load_asked(
    given: dict[str, Any],
    asked: dict[str, Any],
    compared: Mapping[str, Sequence[Any]],
    options: dict[str, Any],
    device: str,
    knows_song: bool,
) -> Any:
    """The model that answers a question, or that compares songs; options are read and settled as it needs them.

    `given` are the options that name models, `asked` those of --ask, `compared` those of --like and --query.
    """
    if not asked:
        return _load_similarity(given, options, device, compared["like"], compared["query"])
    if any(compared.values()):
        raise InputError("--ask wants an answer, --like and --query a similarity: leave one of them out.")
    return _load_answering(given, asked, options, knows_song)


def _load_answering(given: dict[str, Any], asked: dict[str, Any], options: dict[str, Any], knows_song: bool) -> Any:
    """The music language model that is asked a question; its first answer is explained unless another class is."""
    from musiclime_torch.models.answering.answering import find_kind, load_answering
    from musiclime_torch.models.answering.asked import load_reading, reads_alone

    if "ask" not in asked and "answer" in asked and set(given) == {"model"} and transcribes(given["model"]):
        return _load_transcribing(given["model"], asked["answer"], options, knows_song)
    if "ask" not in asked:
        raise InputError(f"--{next(iter(asked)).replace('_', '-')} needs a question: give --ask 'Is this song sad?'.")
    if set(given) != {"model"}:
        raise InputError("--ask needs a music language model alone: give it as --model, by folder or hub id.")
    if "answer" not in asked:
        raise InputError("--ask needs an answer to explain: give --answer Yes --foil No, or --answer auto.")
    answers, questions = split(asked["answer"]), tuple(asked["ask"])
    if options["foil"] == AUTO:
        raise InputError("--foil auto names no answer: give the foil itself, such as No.")
    if AUTO in answers and not knows_song:
        raise InputError("--answer auto is for one song: use explain, or give the answers.")
    if AUTO in answers and len(questions) > 1:
        raise InputError("--answer auto is the answer to one question: give --ask once, or the answers.")
    if options["target"] is None and len(answers) == 1 and answers != (AUTO,):
        options["target"] = answers[0]
    foil = _take_answer(options["foil"], questions)
    if foil is not None and foil not in answers:
        answers = (*answers, foil)
    if len(questions) > 1:
        _name_outputs(options, questions, answers)
    order = asked.get("order", "sound first")
    told = bool(asked.get("answer_tokens")), bool(asked.get("ask_words"))
    if reads_alone(find_kind(given["model"])):
        return load_reading(given["model"], questions, answers, *told)
    return load_answering(given["model"], questions, answers, order, *told)


def _take_answer(name: str | None, questions: Sequence[str]) -> str | None:
    """The answer in the name of an output, which begins with its question where there are several."""
    begin = next((f"{each} " for each in questions if name is not None and name.startswith(f"{each} ")), "")
    return name if name is None or len(questions) == 1 else name.removeprefix(begin)


def _name_outputs(options: dict[str, Any], questions: Sequence[str], answers: Sequence[str]) -> None:
    """Let target and foil name outputs: an answer alone is that to the first question, or to the target's."""
    asked = questions[0]
    for name in ("target", "foil"):
        if options[name] in answers:
            options[name] = f"{asked} {options[name]}"
        elif options[name] is not None:
            asked = next((each for each in questions if options[name].startswith(f"{each} ")), asked)


def _load_transcribing(name: str, line: str, options: dict[str, Any], knows_song: bool) -> Any:
    """Whisper with a line that it may have heard; a foil is another one. Lines may have commas."""
    from musiclime_torch.models.answering.transcribing import load_transcribing

    if line == AUTO and not knows_song:
        raise InputError("--answer auto is for one song: use explain, or give the line.")
    foil = options["foil"]
    options["target"] = options["target"] or (None if line == AUTO else line)
    return load_transcribing(name, (line,) if foil is None or foil == line else (line, foil))


def settle_answers(model: Any, track: "Track", options: dict[str, Any]) -> Any:
    """The model, with its own answer to the whole song in the place of "auto"."""
    if AUTO not in getattr(model, "answers", ()):
        return model
    import torch

    from musiclime_torch.variants.sound import fit_stems

    hears = "audio" in model.modalities
    sound = fit_stems(track, model.sample_rate, 1).sum(0)[None].to(next(model.parameters()).device) if hears else None
    seconds = track.seconds if hears else 0.0
    if hears and seconds > model.max_seconds:
        raise InputError(
            f"--answer auto needs the whole song at once, and {model.name} takes {model.max_seconds:g} s of {seconds:.0f}: "
            "give --start and --end, or the answer itself."
        )
    lyrics = track.lyrics.text if track.lyrics is not None else ""
    with torch.inference_mode():
        own = model.answer_by_itself(sound, lyrics)
    if not own:
        raise InputError(f"{model.name} answers the question with nothing: give --answer.")
    click.echo(f"The model's own answer: {own}", err=True)
    options["target"] = own if options["target"] is None else options["target"]
    try:
        return model.with_answers([own, *(answer for answer in model.answers if answer not in (AUTO, own))])
    except InputError as error:
        raise InputError(f"the model's own answer can't be explained ({error}): give --answer.") from error


def _load_similarity(
    given: Mapping[str, Any], options: dict[str, Any], device: str, like: Sequence[Any], query: Sequence[str]
) -> Any:
    """The similarity to songs and texts in the embeddings of the model that is named; a foil may be one more song.

    Songs are read from their files, unless they are tracks already.
    """
    from musiclime_torch.commands.models import load_model
    from musiclime_torch.explanation.similarity import compare

    if len(given) > 1 or set(given) - {"model", "audio_model", "text_model"}:
        raise InputError("--like and --query need one model that embeds songs: give it as --model.")
    songs, foil = list(like), options["foil"]
    if foil is not None:
        # Another song by its file, unless it is one of these by its name.
        if Path(foil).stem not in [*map(_name, songs), *query]:
            if not exists(foil):
                raise InputError(
                    f"--foil {foil!r} is none of the songs and texts compared with, and no file: give one of them."
                )
            songs.append(foil)
        options["foil"] = foil if foil in query else Path(foil).stem
        # What the foil is the other one of.
        options["target"] = options["target"] or _name(songs[0] if like else query[0])
    model = load_model(next(iter(given.values()), "demo"), device, embedding=True)
    references = [_load(song, device) for song in songs]
    declared = {name: options[name] for name in ("sample_rate", "channels") if options.get(name) is not None}
    if options.get("modalities") is not None:
        declared["modalities"] = split(options["modalities"])
    names = [*map(_name, songs), *query]
    return compare(model, [*references, *query], names, **declared).to(device)


def _compares(options: Mapping[str, Any]) -> bool:
    return bool(options.get("like") or options.get("query"))


def _name(song: Any) -> str:
    """What a song is called: by its file, or, where it is a track already, by its title."""
    return Path(song).stem if isinstance(song, str) else str(song.title)


def _load(song: Any, device: str) -> Any:
    from musiclime_torch.explanation.similarity import read_taste
    from musiclime_torch.song.track import load_track

    if not isinstance(song, str):
        return song
    # Nothing of it is removed, so that no stems are needed.
    return read_taste(song) if song.endswith(_TASTE) else load_track(song, separator="none", device=device)


def _read_weights(text: str) -> tuple[float, float]:
    try:
        first, second = (float(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"--model-weights {text!r} can't be read: give two numbers (1,0.5).") from None
    return first, second
