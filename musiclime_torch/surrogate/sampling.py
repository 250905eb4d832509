"""Designs and row weights by the names that users give them."""

from dataclasses import dataclass

from musiclime_torch.basics.arguments import check_name
from musiclime_torch.basics.choices import DesignName, WeightsName
from musiclime_torch.basics.errors import InputError
from musiclime_torch.surrogate.blocks import draw_blocks, draw_foldover, draw_kerdock, draw_unfolded
from musiclime_torch.surrogate.design import Design
from musiclime_torch.surrogate.kernels import PAPER_WIDTH, weigh, weigh_by_proximity
from musiclime_torch.surrogate.rows import draw_bernoulli, draw_bernoulli_with_song

# "auto" is settled before anything is drawn.
_DRAWS = {
    "joint": draw_blocks,
    "crossed": draw_blocks,
    "foldover": draw_foldover,
    "kerdock": draw_kerdock,
    "unfolded": draw_unfolded,
    "bernoulli": draw_bernoulli,
    "bernoulli+song": draw_bernoulli_with_song,
}

#: Seeds are below it: torch's generators take as many, with one more for the lyrics.
SEED_END = 2**63

#: More masks than this are a typing error: at a millisecond a variant they would take from a quarter of an hour to days.
MOST = 1_000_000

#: What the coefficients are called under each row weighting.
VALUES: dict[WeightsName, str] = {
    "uniform": "Banzhaf value",
    "lime": "LIME coefficient",
    "paper": "LIME coefficient (MusicLIME's kernel)",
    "shapley": "Shapley value",
}


@dataclass(frozen=True)
class Sampling:
    """How masks are to be drawn and weighted; `n_samples` counts masks, or those of the audio and of the lyrics."""

    design: DesignName
    weights: WeightsName
    kernel_width: float
    n_samples: int | tuple[int, int]
    seed: int

    def __post_init__(self) -> None:
        check_name(self.design, DesignName, "design")
        check_name(self.weights, WeightsName, "row weights")
        counts = (self.n_samples,) if isinstance(self.n_samples, int) else tuple(self.n_samples)
        if len(counts) not in (1, 2):
            raise InputError(f"n_samples must be one number, or one for each side, got {self.n_samples}.")
        for count in counts:
            if count < 1:
                raise InputError(f"n_samples must be at least 1, got {count}.")
            if count > MOST:
                raise InputError(f"n_samples must be at most {MOST}, got {count}.")

    @property
    def total(self) -> int:
        """Masks of all sides together."""
        return self.n_samples if isinstance(self.n_samples, int) else sum(self.n_samples)


def draw_design(sampling: Sampling, name: DesignName, d: int, n_samples: int) -> Design:
    """Masks and row weights, of one side or of both together."""
    return weigh_design(sampling, _DRAWS[name](d, n_samples, sampling.seed))


def weigh_design(sampling: Sampling, design: Design) -> Design:
    """The design with the row weights that were asked for."""
    if sampling.weights == "uniform":
        return design
    width = PAPER_WIDTH if sampling.weights == "paper" else sampling.kernel_width
    return weigh(design, lambda masks: weigh_by_proximity(masks, width))
