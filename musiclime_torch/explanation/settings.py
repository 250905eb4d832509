"""All settings of `explain`, and the only place of their defaults.

The command line derives its options from these fields. Catalogues and checks pass a `Settings` on, and explanations keep
theirs.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Union

from musiclime_torch.basics.arguments import (
    check_name,
    read_batch_size,
    read_channels,
    read_confidence,
    read_counts,
    read_integer,
    read_kernel_width,
    read_ridge,
    read_seed,
    read_segments,
    read_until,
)
from musiclime_torch.basics.choices import (
    DesignName,
    Precision,
    Space,
    Timeline,
    Units,
    WeightsName,
)
from musiclime_torch.basics.edits import read_lyrics_baseline
from musiclime_torch.basics.errors import InputError
from musiclime_torch.explanation.baselines import name_baseline, read_baseline

if TYPE_CHECKING:
    from musiclime_torch.song.track import Track

#: MusicLIME's own settings (Sotirou et al. 2025 and its code): `explain(model, track, **PAPER)`. Its explanations show the
#: predicted class and positive attributions only; preparing the lyrics (lower case, no punctuation) is up to the model.
PAPER: Mapping[str, Any] = MappingProxyType(
    {
        "segments": 10,
        "units": "type",
        "design": "bernoulli+song",
        "n_samples": 5000,
        "weights": "paper",
        "ridge": 1.0,
        "space": "probability",
        "baseline": "silence",
        "lyrics_baseline": "gone",
    }
)

#: Where no number of masks is given: at most so many, and fewer once this holds. Every mask is taken where there are no more
#: than `ENUMERATED`: exact values, at what two or three blocks of a sample cost.
BUDGET, SETTLED, ENUMERATED = 2048, "width 10%", 256

#: The arguments whose names are chosen from a list, with what an error calls them.
_CHOSEN = (
    ("units", Units, "lyric unit"),
    ("design", DesignName, "design"),
    ("weights", WeightsName, "row weights"),
    ("space", Space, "space"),
    ("precision", Precision, "precision"),
)


def _read_class(target: Any) -> int | str:
    return target if isinstance(target, str) else read_integer(target, "class")


def read_asked_classes(asked: Any) -> str | tuple[int | str, ...]:
    """Whose interactions are asked for: "target", "all", or classes by name or number; one of them may stand by itself.

    >>> read_asked_classes("all"), read_asked_classes("sad"), read_asked_classes(["sad", 3])
    ('all', ('sad',), ('sad', 3))
    """
    if asked in ("target", "all"):
        return str(asked)
    names = asked if isinstance(asked, Sequence) and not isinstance(asked, str) else (asked,)
    if not names or any(name is None or isinstance(name, bool | float) for name in names):
        raise InputError(
            f'interactions must be "target", "all" or a list of class names, got {asked!r}.', argument="interactions"
        )
    return tuple(_read_class(name) for name in names)


def _read_names(names: Any) -> Any:
    """Lists of names as tuples; anything else stays as it is and is refused when the model is described."""
    return tuple(names) if isinstance(names, Sequence) and not isinstance(names, str) else names


#: Readers of values: they return Python's own types, which files, JSON and generators take, or raise an InputError.
_READERS: dict[str, Callable[[Any], Any]] = {
    "target": _read_class,
    "foil": _read_class,
    "interactions": read_asked_classes,
    "segments": read_segments,
    "baseline": read_baseline,
    "lyrics_baseline": read_lyrics_baseline,
    "n_samples": read_counts,
    "kernel_width": read_kernel_width,
    "ridge": read_ridge,
    "confidence": read_confidence,
    "seed": read_seed,
    "batch_size": read_batch_size,
    "channels": read_channels,
    "device": str,
    "classes": _read_names,
    "modalities": _read_names,
}


def _say(text: str, instead: str = "", form: str | None = None) -> dict[str, Any]:
    """A field's help on the command line, what is shown in place of its default, and the form of a value."""
    return {"help": text, "instead": instead, "form": form}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Arguments of `explain`, which documents them; checked once, when they are made.

    Raises:
        InputError: with one sentence, for a value that no model and no song could be explained with.

    >>> Settings(n_samples=0)
    Traceback (most recent call last):
    musiclime_torch.basics.errors.InputError: n_samples must be between 1 and 1000000, got 0.
    """

    target: int | str | None = field(
        default=None, metadata=_say("Class to explain, by name or number.", "the predicted one", "CLASS")
    )
    foil: int | str | None = field(default=None, metadata=_say("Contrast: why the target and not this class.", form="CLASS"))
    segments: int | str | Sequence[float] | Timeline | None = field(
        default=None,
        metadata=_say(
            "Equal time segments, their length, or cut points in seconds; beats, bars, 4bars, sections, or headings of "
            "timed lyrics; labels of Audacity, Sonic Visualiser or JAMS, alone or as names (bars:FILE).",
            "10, or as the model says",
            "N|3s|A,B,..|bars|lyrics|FILE",
        ),
    )
    units: Units = field(default="word", metadata=_say("Unit of the lyrics that is switched on and off."))
    baseline: Union[str, "Track", Mapping[str, Any]] = field(
        default="silence",
        metadata=_say(
            "What a removed stem becomes: silence, noise, median, an edit of itself ('-12 dB', 'low-pass 1000 Hz', "
            "'+3 semitones'), or another song's stem; for each stem by 'vocals=-12 dB,drums=take.wav'.",
            form="EDIT|SONG|STEM=..",
        ),
    )
    residual: bool = field(
        default=False,
        metadata=_say("Explain stems 30 dB or more below the song, such as what separation leaves, by themselves."),
    )
    lyrics_baseline: str | Mapping[str, str] | None = field(
        default=None,
        metadata=_say(
            "What a removed word becomes: mask, zero, pad, gone, another word (sad=happy,night=day), or the next best word "
            "of a masked language model (guess:roberta-base).",
            "the mask token, where the model has one",
            "NAME|A=B,..|guess:MODEL",
        ),
    )
    design: DesignName = field(
        default="auto",
        metadata=_say(
            "How masks are drawn.", "auto: crossed where the model encodes audio and lyrics separately, else joint"
        ),
    )
    n_samples: int | tuple[int, int] | None = field(
        default=None,
        metadata=_say(
            "Number of masks, or one each for audio and lyrics; in whole blocks.",
            f"as many as effects need to be known to {SETTLED.removeprefix('width ')} of the largest, at most {BUDGET:,}",
            "N|N,M",
        ),
    )
    until: str | None = field(
        default=None,
        metadata=_say(
            "Stop once the order of the top K is settled, or all interval half widths are at most W, or P% of the largest "
            "effect.",
            form="'top K'|'width W'|'width P%'",
        ),
    )
    weights: WeightsName = field(
        default="uniform",
        metadata=_say(
            "What is estimated: Banzhaf values (uniform), Shapley values, or the fit of LIME or of MusicLIME's paper."
        ),
    )
    kernel_width: float = field(default=0.25, metadata=_say("Width of LIME's kernel, on distances from 0 to 1."))
    ridge: float = field(default=0.0, metadata=_say("Ridge penalty."))
    space: Space | None = field(default=None, metadata=_say("Scale of the explained output.", "that of the model's outputs"))
    confidence: float = field(default=0.95, metadata=_say("Confidence of the intervals."))
    evidence: bool = field(
        default=False, metadata=_say("Also find components that keep the decision alone, and those whose removal flips it.")
    )
    edits: bool = field(
        default=False,
        metadata=_say("Also search for the smallest edit that flips the decision: levels, filters, pitch, other words."),
    )
    interactions: str | Sequence[int | str] = field(
        default="target",
        metadata=_say(
            "Classes whose interactions are solved: target (with the foil and the largest outputs, ten in all), all, or "
            "others too, by name.",
            form="target|all|A,B,..",
        ),
    )
    seed: int = field(default=0, metadata=_say("Seed of the masks."))
    batch_size: int = field(default=64, metadata=_say("Variants per forward pass."))
    precision: Precision = field(
        default="float32", metadata=_say("Precision of encoders; heads and solves stay as they are.")
    )
    device: str | None = field(default=None, metadata=_say("Device: cpu, cuda, cuda:1, ...", "cuda where there is one", ""))
    sample_rate: int | None = field(
        default=None, metadata=_say("Sample rate the model expects in Hz, where it doesn't declare one.")
    )
    channels: int | None = field(
        default=None, metadata=_say("Channels of sound the model expects, 1 or 2, where it doesn't declare them.")
    )
    classes: tuple[str, ...] | None = field(
        default=None, metadata=_say("Names of the model's outputs, where it doesn't declare them.", form="A,B,..")
    )
    output_kind: str | None = field(
        default=None, metadata=_say("What the model's outputs are, where it doesn't declare it.")
    )
    modalities: tuple[str, ...] | None = field(
        default=None, metadata=_say("What the model takes, where it doesn't declare it.")
    )

    def __post_init__(self) -> None:
        for name, choices, what in _CHOSEN:
            if getattr(self, name) is not None or getattr(Settings, name) is not None:
                check_name(getattr(self, name), choices, what)
        for name, read in _READERS.items():
            if getattr(self, name) is not None or getattr(Settings, name) is not None:
                read(getattr(self, name))
        if self.until is not None:
            read_until(self.until)
        _check_weights(self)

    @property
    def lyrics_stand_in(self) -> str | None:
        """`lyrics_baseline` in its one form."""
        return None if self.lyrics_baseline is None else read_lyrics_baseline(self.lyrics_baseline)

    @property
    def total(self) -> int:
        """Masks of all sides together, at most."""
        if self.n_samples is None:
            return BUDGET
        return self.n_samples if isinstance(self.n_samples, int) else sum(self.n_samples)

    def to_record(self) -> dict[str, Any]:
        """All settings as JSON takes them; songs used as baseline are named by their titles."""
        record = {name: getattr(self, name) for name in SETTINGS}
        record["baseline"] = name_baseline(read_baseline(self.baseline))
        record["lyrics_baseline"] = self.lyrics_stand_in
        asked = read_asked_classes(self.interactions)
        record["interactions"] = asked if isinstance(asked, str) else list(asked)
        if isinstance(self.segments, Timeline):
            record["segments"] = self.segments.source
        return record

    def list_given(self) -> list[str]:
        """Names of the settings that differ from the defaults."""
        defaults = Settings().to_record()
        return [name for name, value in self.to_record().items() if value != defaults[name]]


#: Names of the fields, in their order: those of `explain`'s arguments.
SETTINGS = tuple(entry.name for entry in fields(Settings))


def read_settings(arguments: Mapping[str, Any]) -> Settings:
    """Settings from arguments in other types: numpy's numbers, lists for tuples, a `torch.device`.

    >>> import numpy as np
    >>> read_settings({"seed": np.int64(3), "n_samples": [64, 32]}).n_samples
    (64, 32)
    """
    unknown = next((name for name in arguments if name not in SETTINGS), None)
    if unknown is not None:
        raise InputError(f"{unknown!r} is not a setting of explain: choose from {', '.join(SETTINGS)}.")
    read = dict(arguments)
    for name, reader in _READERS.items():
        if name in read and (read[name] is not None or getattr(Settings, name) is not None):
            read[name] = reader(read[name])
    return Settings(**read)


def _check_weights(settings: Settings) -> None:
    """InputError for settings that the row weights rule out with any model."""
    if settings.weights == "shapley":
        if settings.design not in ("auto", "crossed", "joint"):
            raise InputError(
                f"Shapley values have their own designs: use design auto, not {settings.design}.", argument="design"
            )
        if settings.ridge:
            raise InputError(
                f"Shapley values with a ridge penalty of {settings.ridge:g} would not add up: leave ridge out.",
                argument="ridge",
            )
        if settings.until is not None:
            raise InputError(
                f"Shapley values are sampled without stopping: leave until {settings.until!r} out, or use uniform weights.",
                argument="until",
            )
    elif settings.design == "crossed" and (settings.ridge or settings.weights == "paper"):
        what = "a ridge penalty" if settings.ridge else "MusicLIME's kernel"
        raise InputError(f"a crossed design can't be solved with {what}: use design joint.", argument="design")
