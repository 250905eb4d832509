"""An explanation's lyrics as Captum's `VisualizationDataRecord`, for `captum.attr.visualization.visualize_text`."""

from typing import Any

from musiclime_torch.explanation import Explanation
from musiclime_torch.failures import InputError
from musiclime_torch.spaces import to_probabilities


def to_visualization_record(explanation: Explanation, true_class: str = "", target: int | str | None = None) -> Any:
    """Words in their order with attributions scaled to the largest one's size, as Captum's colours expect.

    What can't be told from zero is 0 and stays white. The score is the sum of all words; the convergence score is the remainder
    that the whole explanation leaves. InputError without lyrics.
    """
