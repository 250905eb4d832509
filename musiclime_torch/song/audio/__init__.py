"""Sound from files: decoded, resampled, and checked for files that were cut short."""

from typing import TYPE_CHECKING

from musiclime_torch.basics.faces import lazy

if TYPE_CHECKING:
    from musiclime_torch.song.audio.recording import Recording as Recording, read_audio as read_audio, resample as resample

__getattr__, __dir__, __all__ = lazy(__name__)
