"""A model's answers about one song, kept between questions: in memory, or in a file of plain tensors.

The answers are the model's outputs and encodings, a row for each distinct rendering. A rendering is known by the bits of the
columns that it contains, so that answers hold for one model, song, segmentation and baseline alone: `describe_question`
lists them, and other ones are refused by name. The same description, with versions and settings, is an explanation's
provenance.
"""

import hashlib
import json
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from musiclime_torch.basics.edits import split_stems
from musiclime_torch.basics.errors import InputError
from musiclime_torch.basics.files import writing_atomically
from musiclime_torch.explanation.baselines import name_baseline, read_baseline
from musiclime_torch.explanation.settings import Settings
from musiclime_torch.models.answering.asked import Asked
from musiclime_torch.models.answering.transcribing import Transcribing
from musiclime_torch.models.care import hash_weights
from musiclime_torch.models.subject import Subject
from musiclime_torch.song.track import Track, fold_quiet
from musiclime_torch.variants.components import Components
from musiclime_torch.variants.probe import Sources
from musiclime_torch.variants.renderings import Kept


def record_provenance(subject: Subject, track: Track, settings: Settings, device: torch.device) -> dict[str, Any]:
    """Model, files, inputs, settings and versions, as JSON takes them. `start` and `end` are seconds in the recording.
    `baseline_song` is None for edits; a song used as baseline is identified by its hash, for titles aren't unique.
    """
    return {
        "title": track.title,
        "file": track.file,
        "lyrics_file": track.lyrics_file,
        "start": track.offset,
        "end": track.offset + track.seconds,
        "stems": track.source,
        "model": subject.name,
        "output_kind": subject.output_kind,
        **record_question(subject.model),
        **hash_inputs(subject, track),
        "baseline_song": identify_songs(settings.baseline),
        "stand_ins": list_stand_ins(settings.baseline),
        "settings": settings.to_record(),
        "device": str(device),
        "versions": {name: version(name) for name in ("musiclime_torch", "torch", "numpy")},
    }


def record_question(model: Any) -> dict[str, Any]:
    """What a language model was asked, in which order, and the tokens that its answers were cut into."""
    return model.describe_question() if isinstance(model, Asked | Transcribing) else {}


def identify_songs(baseline: Any) -> dict[str, str] | None:
    """Title and hash of the song that stands in for removed stems, or of all takes that do; None where none does."""
    if isinstance(baseline, Track):
        return {"title": baseline.title, "audio_hash": baseline.audio_hash}
    takes = {} if isinstance(baseline, str) else {name: take for name, take in baseline.items() if isinstance(take, Track)}
    if not takes:
        return None
    known = all(take.audio_hash for take in takes.values())
    digest = hashlib.sha256("".join(f"{name}={take.audio_hash} " for name, take in sorted(takes.items())).encode())
    return {"title": name_baseline(baseline), "audio_hash": digest.hexdigest() if known else ""}


def list_stand_ins(baseline: Any) -> dict[str, str]:
    """The edit of each stem that has its own, "" for another take's."""
    baseline = read_baseline(baseline)
    if isinstance(baseline, Track) or (isinstance(baseline, str) and "=" not in baseline):
        return {}
    stems = split_stems(baseline) if isinstance(baseline, str) else baseline
    return {stem: edit if isinstance(edit, str) else "" for stem, edit in stems.items()}


def find_baseline_song(provenance: dict[str, Any]) -> dict[str, str] | None:
    """Title and hash of the song whose stems replaced removed ones, or of several takes; None for edits.

    Older versions kept only its title, in the place of "silence" or "noise".
    """
    name = provenance["settings"]["baseline"]
    guess = None if name in (None, "silence", "noise") else {"title": name, "audio_hash": ""}
    song: dict[str, str] | None = provenance.get("baseline_song", guess)
    return song


def recall_track(provenance: dict[str, Any], track: Track) -> Track:
    """The track as it was explained: with quiet stems in the loudest one, unless they were asked for."""
    # Older versions explained every stem, and recorded nothing of it.
    return track if provenance["settings"].get("residual", True) else fold_quiet(track)


def hash_inputs(subject: Subject, track: Track) -> dict[str, str]:
    """SHA-256 of the weights, the audio and the lyrics; empty where there are none."""
    return {
        "model_hash": hash_weights(subject.module),
        "audio_hash": track.audio_hash,
        "lyrics_hash": "" if track.lyrics is None else hashlib.sha256(track.lyrics.text.encode()).hexdigest(),
    }


#: What each entry of a question is called where it differs.
_NAMES = {
    "version": "another version of musiclime_torch",
    "model": "another model",
    "model_hash": "other weights of the model",
    "audio_hash": "another song",
    "lyrics_hash": "other lyrics",
    "stems": "other stems",
    "edges": "other segments",
    "words": "other lyric units",
    "baseline": "another baseline",
    "lyrics_baseline": "another lyrics baseline",
    "form": "another sample rate, other channels or another window length",
    "asked": "another question, other answers or another order of the prompt",
}


@dataclass(eq=False)
class Answers:
    """Answers to every rendering that was run; `explain(..., answers=answers)` fills and uses them.

    >>> answers = Answers()
    >>> answers.count
    0
    """

    question: dict[str, Any] = field(default_factory=dict)
    #: The callable itself, where it has no weights that would tell it from another one.
    model: Any = field(default=None, repr=False)
    kept: Kept = field(default_factory=lambda: Kept(everything=True))

    @property
    def count(self) -> int:
        """Number of renderings with an answer."""
        return self.kept.count("")

    def admit(self, question: dict[str, Any], model: Any) -> None:
        """Take the first question as one's own; InputError that names what differs in a later one."""
        if not self.question:
            self.question, self.model = question, model
        if not question["model_hash"] and self.model is not model:
            raise InputError(
                f"these answers belong to another model: {question['model']} has no weights, so that only the same object "
                "is known to be the same model.",
                argument="answers",
            )
        differing = [name for key, name in _NAMES.items() if self.question[key] != question[key]]
        if differing:
            raise InputError(
                f"these answers belong to {', '.join(differing)}: begin new answers for this question.",
                argument="answers",
            )


def check_answers(answers: object) -> None:
    """InputError for anything but `Answers`, above all a path."""
    if isinstance(answers, str | Path):
        raise InputError(f"answers is a path: give load_answers({str(answers)!r}).", argument="answers")
    if answers is not None and not isinstance(answers, Answers):
        raise InputError(f"expected Answers() or load_answers(path), got {answers!r}.", argument="answers")


def describe_question(
    subject: Subject, track: Track, components: Components, settings: Settings, sources: Sources
) -> dict[str, Any]:
    """All that a rendering's answer depends on besides its bits, as JSON takes it."""
    hears = "audio" in subject.modalities
    text = track.lyrics.text if track.lyrics is not None and "lyrics" in subject.modalities else None
    other = f" {sorted(sources.swaps)}" if sources.swaps else ""
    return {
        "version": version("musiclime_torch"),
        "model": subject.name,
        "model_hash": hash_inputs(subject, track)["model_hash"],
        "stems": list(track.stem_names) if hears else [],
        # Of the stems themselves: the file's own hash doesn't say how they were separated.
        "audio_hash": _hash({"stems": track.stems}, str(track.sample_rate)) if hears else "",
        "lyrics_hash": "" if text is None else hashlib.sha256(text.encode()).hexdigest(),
        "edges": list(components.edges) if hears else [],
        "words": [list(map(list, spans)) for spans in components.lyric_spans],
        "baseline": _describe_baseline(settings),
        # What a language model guessed is part of what was asked.
        "lyrics_baseline": f"{sources.lyrics_baseline}{other}" if other else sources.lyrics_baseline,
        "asked": record_question(subject.model),
        "form": [subject.sample_rate, subject.channels, subject.max_seconds],
    }


def _describe_baseline(settings: Settings) -> str:
    """What removed stems became, songs by the hashes of their samples."""
    baseline = read_baseline(settings.baseline)
    if isinstance(baseline, str):
        # Noise is drawn from the seed, all else from nothing.
        return f"{baseline} {settings.seed}" if "noise" in baseline else baseline
    takes = {"": baseline} if isinstance(baseline, Track) else baseline
    return " ".join(
        f"{name}={_hash({'stems': take.stems}, f'{take.stem_names} {take.sample_rate}')}"
        if isinstance(take, Track)
        else f"{name}={take} {settings.seed if take == 'noise' else ''}"
        for name, take in takes.items()
    ).removeprefix("=")


def save_answers(answers: Answers, path: str | Path) -> None:
    """Write answers as safetensors.

    InputError for answers of a model without weights, which nothing would tell from another model's, and for a path that
    can't be written.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    if not answers.question:
        raise InputError("there are no answers yet: explain a song with them first.", argument="answers")
    if not answers.question["model_hash"]:
        raise InputError(
            f"{answers.question['model']} has no weights that would tell its answers from another model's: keep them in "
            "memory.",
            argument="answers",
        )
    names = list(answers.kept.tables)
    tensors: dict[str, Tensor] = {}
    for number, name in enumerate(names):
        tensors[f"{number} answers"] = answers.kept.tables[name].detach().cpu().contiguous()
        tensors[f"{number} renderings"] = _pack(answers.kept.places[name])
    text = json.dumps({"question": answers.question, "parts": names, "choices": answers.kept.choices})
    try:
        with writing_atomically(Path(path)) as partial:
            save_file(tensors, str(partial), {"question": text, "sha256": _hash(tensors, text)})
    # ValueError is pathlib's, for a path without a name.
    except (OSError, SafetensorError, ValueError) as error:
        raise InputError(f"answers can't be written to {str(path)!r}: {error}.", argument="answers") from error


def load_answers(path: str | Path, device: torch.device | str = "cpu") -> Answers:
    """Read answers back; InputError for a file that isn't one, or that was changed since it was written."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), "pt", device=str(device)) as file:
            said = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, a file is no mapping
    except (OSError, SafetensorError) as error:
        raise InputError(f"answers can't be read from {str(path)!r}: {error}.", argument="answers") from error
    text = said.get("question", "")
    if said.get("sha256") != _hash(tensors, text):
        raise InputError(
            f"{str(path)!r} holds no answers, or they were changed after they were written: leave it out.",
            argument="answers",
        )
    written = json.loads(text)
    answers = Answers(written["question"])
    answers.kept.choices.update(written["choices"])
    for number, (part, window) in enumerate(written["parts"]):
        answers.kept.tables[part, window] = tensors[f"{number} answers"]
        rows = tensors[f"{number} renderings"].cpu().numpy()
        answers.kept.places[part, window] = {row.tobytes(): place for place, row in enumerate(rows)}
    return answers


def _pack(places: dict[bytes, int]) -> Tensor:
    """Renderings as rows of bytes, in the order of their answers."""
    rows = sorted(places, key=places.__getitem__)
    return torch.from_numpy(np.frombuffer(b"".join(rows), dtype=np.uint8).reshape(len(rows), -1).copy())


def _hash(tensors: dict[str, Tensor], text: str) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        part = tensors[name].cpu().contiguous()
        digest.update(f"{name} {tuple(part.shape)} {part.dtype}".encode())
        digest.update(part.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
