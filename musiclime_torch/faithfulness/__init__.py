"""Is an explanation faithful to its model? Each measure with what random attributions would get beside it.

`check` asks the model again; `summarise` gives means over songs.
"""

from typing import TYPE_CHECKING

from musiclime_torch.basics.faces import lazy

if TYPE_CHECKING:
    from musiclime_torch.faithfulness.checking import Check as Check, check as check
    from musiclime_torch.faithfulness.deletion import measure_infidelity as measure_infidelity
    from musiclime_torch.faithfulness.stability import measure_sensitivity as measure_sensitivity
    from musiclime_torch.faithfulness.summary import (
        Mean as Mean,
        Summary as Summary,
        summarise as summarise,
        tabulate as tabulate,
        tabulate_means as tabulate_means,
    )

__getattr__, __dir__, __all__ = lazy(__name__)
