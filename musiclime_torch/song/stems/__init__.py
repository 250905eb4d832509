"""A song taken apart: stems from files or from a separator, and the residual."""

from typing import TYPE_CHECKING

from musiclime_torch.basics.faces import lazy

if TYPE_CHECKING:
    from musiclime_torch.song.stems.files import StemSet as StemSet, read_stems as read_stems
    from musiclime_torch.song.stems.separation import separate as separate

__getattr__, __dir__, __all__ = lazy(__name__)
