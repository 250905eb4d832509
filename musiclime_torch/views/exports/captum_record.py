"""An explanation's lyrics as Captum's `VisualizationDataRecord`, for `captum.attr.visualization.visualize_text`."""

import html

import torch
from captum.attr import visualization

from musiclime_torch.basics.errors import InputError
from musiclime_torch.explanation.explanation import Explanation


def to_visualization_record(
    explanation: Explanation, true_class: str = "", target: int | str | None = None
) -> visualization.VisualizationDataRecord:
    """The lyrics' components in their order, scaled to the largest one's size as Captum's colours expect.

    What is not significant is 0 and stays white. `pred_prob` is the model's output in the explained space,
    `attr_score` the sum over the lyrics, `convergence_score` the remainder of the whole explanation. Words are escaped,
    which Captum's page doesn't do. InputError without lyrics.
    """
    row, first = explanation.class_index(target), explanation.components.n_audio
    items = explanation.components.items[first:]
    if not items:
        raise InputError("this explanation has no lyrics: Captum's record shows words alone.")
    values = explanation.attributions[row, first:]
    shown = torch.where(explanation.significant[row, first:], values, 0.0)
    predicted = int(explanation.output_song.argmax())
    return visualization.VisualizationDataRecord(
        word_attributions=shown / shown.abs().max().clamp_min(torch.finfo(shown.dtype).tiny),
        pred_prob=float(explanation.output_song[predicted]),
        pred_class=html.escape(explanation.classes[predicted]),
        true_class=html.escape(true_class),
        attr_class=html.escape(explanation.classes[row]),
        attr_score=float(values.sum()),
        raw_input_ids=[html.escape(item.word or item.name) for item in items],
        convergence_score=float(explanation.remainder[row]),
    )
