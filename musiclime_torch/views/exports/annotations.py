"""An explanation as labels and annotations for other tools: Audacity, Sonic Visualiser, JAMS, Captum.

Cells of sound have their segment's times; words and lines those of the lyrics file, and are left out where it has none.
Audacity and Sonic Visualiser get what is significant. JAMS (Humphrey et al., ISMIR 2014) gets every component with a
time. Captum's `VisualizationDataRecord` gets the lyrics, for `captum.attr.visualization.visualize_text`.
"""

import csv
import html
from collections.abc import Iterator
from io import StringIO
from typing import Any

import torch
from captum.attr import visualization

from musiclime_torch.basics.errors import InputError, needing
from musiclime_torch.explanation.explanation import Explanation

#: Seconds of a moment with a start but no end, such as the last line.
INSTANT = 0.0


def to_audacity(explanation: Explanation, target: int | str | None = None) -> str:
    """A label track (File > Import > Labels): one line each of start, end and text, separated by tabs, in order of time.

    Source: the label track format of Audacity's manual, seconds with six decimals.
    """
    moments = _list_moments(explanation, target)
    return "".join(f"{start:.6f}\t{end:.6f}\t{_clean(name)} {value:+.3g}\n" for start, end, name, value in moments)


def to_sonic_visualiser(explanation: Explanation, target: int | str | None = None) -> str:
    """A region layer as CSV (File > Import Annotation Layer): time, value, duration and label, times in seconds."""
    buffer = StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(("TIME", "VALUE", "DURATION", "LABEL"))
    for start, end, name, value in _list_moments(explanation, target):
        writer.writerow((f"{start:.6f}", f"{value:.9g}", f"{end - start:.6f}", _clean(name)))
    return buffer.getvalue()


def _list_moments(explanation: Explanation, target: int | str | None) -> Iterator[tuple[float, float, str, float]]:
    """(start, end, name, attribution) of the significant components that have a time."""
    row = explanation.class_index(target)
    moments = [
        (item.start, item.start + INSTANT if item.end is None else item.end, item.name, column)
        for column, item in enumerate(explanation.components.items)
        if item.start is not None and explanation.significant[row, column]
    ]
    for start, end, name, column in sorted(moments):
        yield start, end, name, float(explanation.attributions[row, column])


def _clean(name: str) -> str:
    """The name on one line and without tabs: labels of both programs are plain text."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in name).split())


def to_jams(
    explanation: Explanation, seconds: float, target: int | str | None = None, *, offset: float | None = None
) -> Any:
    """A `jams.JAMS` with one annotation in the namespace `tag_open`: an observation for every component with a time.

    Its value is the component's name; its confidence the attribution, which is not a probability: the annotation's sandbox
    holds the scale, the standard errors and which attributions are significant. `seconds` is the length of the part that
    was explained, and `offset` its start in the recording, by default that of the first segment. InputError where jams
    isn't installed.
    """
    with needing("musiclime_torch[jams]"):
        import jams
    row = explanation.class_index(target)
    if offset is None:
        offset = explanation.components.items[0].start or 0.0 if explanation.components.n_audio else 0.0
    # Times in JAMS are those of the recording, whose end isn't known here: it reaches to the end of the part at least.
    annotation = jams.Annotation(namespace="tag_open", time=offset, duration=seconds)
    annotation.annotation_metadata = jams.AnnotationMetadata(
        annotation_tools="musiclime_torch",
        data_source="program",
        version=explanation.provenance["versions"]["musiclime_torch"],
    )
    errors, significant = [], []
    for column, item in enumerate(explanation.components.items):
        if item.start is None:
            continue
        length = 0.0 if item.end is None else item.end - item.start
        value = float(explanation.attributions[row, column])
        annotation.append(time=item.start, duration=length, value=item.name, confidence=value)
        errors.append(float(explanation.standard_errors[row, column]))
        significant.append(bool(explanation.significant[row, column]))
    annotation.sandbox.update(
        target=explanation.classes[row],
        confidence_is=f"{explanation.value} ({explanation.space})",
        standard_errors=errors,
        significant=significant,
        fidelity=float(explanation.fidelity[row]),
    )
    record = jams.JAMS(annotations=[annotation])
    record.file_metadata.duration = offset + seconds
    record.file_metadata.title = explanation.provenance["title"]
    return record


def to_visualization_record(
    explanation: Explanation, true_class: str = "", target: int | str | None = None
) -> visualization.VisualizationDataRecord:
    """The lyrics' components in their order, scaled to the largest absolute value, as Captum's colours expect.

    What is not significant is 0 and stays white. `pred_prob` is the model's output in the explained space,
    `attr_score` the sum over the lyrics, `convergence_score` the remainder of the whole explanation. Words are escaped,
    which Captum's page doesn't do. InputError without lyrics.
    """
    row, first = explanation.class_index(target), explanation.components.n_audio
    items = explanation.components.items[first:]
    if not items:
        raise InputError("this explanation has no lyrics, and Captum's record shows only words.")
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
