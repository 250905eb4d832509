"""Explains what music models hear and read: LIME over stems, moments and words, batched in PyTorch.

`load_track` takes a song apart, `explain` watches a model on thousands of its variants and returns an `Explanation`,
`to_html` makes a page of it; `MusicLIME` is the same surrogate as a Captum attribution. Names are imported on first use:
torch takes seconds.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from musiclime_torch.basics.errors import InputError
    from musiclime_torch.captum import MusicLIME
    from musiclime_torch.explanation.explainer import PAPER, explain
    from musiclime_torch.explanation.explanation import Explanation
    from musiclime_torch.song.lyrics.lyrics import Lyrics
    from musiclime_torch.song.track import Track, load_track
    from musiclime_torch.views.page.song import to_html

_HOMES = {
    "PAPER": "explainer",
    "Explanation": "explanation",
    "InputError": "failures",
    "Lyrics": "reading.lyrics",
    "MusicLIME": "captum",
    "Track": "track",
    "explain": "explainer",
    "load_track": "track",
    "to_html": "views.page.song",
}

__all__ = ["PAPER", "Explanation", "InputError", "Lyrics", "MusicLIME", "Track", "explain", "load_track", "to_html"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
