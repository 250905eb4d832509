"""An explanation as a JAMS annotation (Humphrey et al., ISMIR 2014), beside whatever else is known of a song."""

from typing import Any

from musiclime_torch.basics.extras import needing
from musiclime_torch.explanation.explanation import Explanation


def to_jams(explanation: Explanation, seconds: float, target: int | str | None = None) -> Any:
    """A `jams.JAMS` with one annotation in the namespace `tag_open`: an observation for every component with a time.

    Its value is the component's name; its confidence the attribution, which is no probability: the annotation's sandbox says
    on which scale, and has the standard errors and which of them are significant. `seconds` is the song's length.
    InputError where jams isn't installed.
    """
    with needing("musiclime_torch[jams]"):
        import jams
    row = explanation.class_index(target)
    annotation = jams.Annotation(namespace="tag_open", duration=seconds)
    annotation.annotation_metadata = jams.AnnotationMetadata(
        annotation_tools="musiclime_torch",
        data_source="program",
        version=explanation.provenance["versions"]["musiclime_torch"],
    )
    errors, told = [], []
    for column, item in enumerate(explanation.components.items):
        if item.start is None:
            continue
        length = 0.0 if item.end is None else item.end - item.start
        value = float(explanation.attributions[row, column])
        annotation.append(time=item.start, duration=length, value=item.name, confidence=value)
        errors.append(float(explanation.standard_errors[row, column]))
        told.append(bool(explanation.significant[row, column]))
    annotation.sandbox.update(
        target=explanation.classes[row],
        confidence_is=f"{explanation.value} ({explanation.space})",
        standard_errors=errors,
        significant=told,
        fidelity=float(explanation.fidelity[row]),
    )
    found = jams.JAMS(annotations=[annotation])
    found.file_metadata.duration = seconds
    found.file_metadata.title = explanation.provenance["title"]
    return found
