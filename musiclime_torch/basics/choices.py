"""Names to choose from, each list written down once: signatures, checks, options and their help read it here. Segments that
were chosen, with their names.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from musiclime_torch.basics.errors import InputError

#: What of the lyrics is switched on and off.
Units = Literal["word", "type", "line", "section"]

#: What a removed stem becomes, where it isn't another song's.
StandIn = Literal["silence", "noise"]

#: What the tokens of a removed word become.
LyricsBaseline = Literal["mask", "zero", "pad", "gone"]

#: How masks are drawn.
DesignName = Literal["auto", "crossed", "joint", "foldover", "kerdock", "unfolded", "bernoulli", "bernoulli+song"]

#: How rows are weighted, and so what the coefficients estimate.
WeightsName = Literal["uniform", "lime", "paper", "shapley"]

#: Scales on which outputs can be explained.
Space = Literal["logit", "log-odds", "probability", "cosine", "raw"]

#: Floating-point precision of encoders.
Precision = Literal["float32", "bfloat16"]

#: What a model's outputs are.
OutputKind = Literal["logits", "multilabel", "probabilities", "regression", "similarity", "embedding"]

#: What a model takes.
Modality = Literal["audio", "lyrics"]


#: In place of a file of labels: beats by the trained network of that package ("bars:beatnet").
NEURAL = "beatnet"


@dataclass(frozen=True)
class Timeline:
    """Segments that have names. `edges` are seconds in the recording, one more than there are `names`; "" stands for none.

    `source` says where they come from: "bars", or a file. `beats` and `bars` (their first beats) are seconds too, `tempo`
    beats per minute; they are empty where the sound wasn't searched for beats. `notes` go to the explanation's warnings.
    """

    edges: tuple[float, ...]
    names: tuple[str, ...]
    source: str = "a timeline"
    beats: tuple[float, ...] = ()
    bars: tuple[float, ...] = ()
    tempo: float | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.names or len(self.edges) != len(self.names) + 1 or any(a >= b for a, b in pairwise(self.edges)):
            raise InputError(
                f"a timeline of {len(self.names)} names needs {len(self.names) + 1} rising edges, got "
                f"{', '.join(f'{edge:g}' for edge in self.edges) or 'none'}.",
                argument="segments",
            )
