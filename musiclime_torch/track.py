"""A song taken apart: stems that sum to it exactly, and its lyrics."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from musiclime_torch.lyrics import Lyrics


@dataclass(frozen=True)
class Track:
    """One song, or the part of it between ``--start`` and ``--end``.

    ``stems`` sum to the song (max abs error under 1e-6): what a separator loses is a stem named "residual".
    ``offset`` is where the first frame lies in the recording, in seconds, so that names show the recording's times.
    ``source`` says where the stems come from, in words; ``audio_hash`` identifies the decoded samples.
    """

    stems: Float[Tensor, "stem channel frame"]
    stem_names: tuple[str, ...]
    sample_rate: int
    lyrics: Lyrics | None = None
    offset: float = 0.0
    title: str = ""
    source: str = ""
    audio_hash: str = ""
    warnings: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return self.stems.shape[-1] / self.sample_rate
