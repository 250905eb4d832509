"""Where a song is cut for a model, and the components that come of it."""

from typing import Any

from musiclime_torch.explanation.settings import Settings
from musiclime_torch.models.subject import Subject
from musiclime_torch.song.beats import Limits
from musiclime_torch.song.segments import place_segments
from musiclime_torch.song.track import Track
from musiclime_torch.variants.components import Components, list_components

#: Number of equal time segments, unless the model declares that they would be too short.
SEGMENTS = 10


def place_components(subject: Subject, track: Track, settings: Settings) -> tuple[Any, Components]:
    """Segments as they were asked for or, by default, are best for the model, and the components of the song in them.

    The segments are in the form that a record keeps.
    """
    default = _pick_segments(subject, track)
    asked = default if settings.segments is None else settings.segments
    segments = place_segments(track, asked, _limit(subject, track, default)) if "audio" in subject.modalities else asked
    return segments, list_components(track, segments, settings.units, subject.modalities, subject.asked_text)


def _pick_segments(subject: Subject, track: Track) -> int:
    fitting = SEGMENTS if subject.shortest_seconds is None else int(track.seconds / subject.shortest_seconds + 1e-9)
    return max(min(SEGMENTS, fitting), 1)


def _limit(subject: Subject, track: Track, most: int) -> Limits:
    """Limits within which segments made of beats cost no more passes than as many equal ones."""
    # Windows of a longer song lie within segments that are as long: across shorter ones they have more renderings.
    window = subject.max_seconds if subject.max_seconds is not None and subject.max_seconds < track.seconds else 0.0
    equal = track.seconds / most
    return Limits(most, max(min(window, equal), subject.shortest_seconds or 0.0, Limits.shortest))
