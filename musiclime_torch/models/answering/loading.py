"""Music language models from a folder or the hub, by what the checkpoint says it is."""

from collections.abc import Sequence
from importlib import import_module

from musiclime_torch.basics.errors import InputError
from musiclime_torch.models.answering.answering import Answering
from musiclime_torch.models.answering.families import FAMILIES
from musiclime_torch.models.answering.prompt import Order
from musiclime_torch.models.hub import load_part, load_weights


def load_answering(
    name: str, question: str, answers: Sequence[str], order: Order = "sound first", by_token: bool = False
) -> Answering:
    """The model asked `question`, in eval mode. Weights come from safetensors, never code from the checkpoint.

    InputError for a model of a family that isn't known, one that doesn't hear among them.
    """
    from transformers import AutoConfig, AutoProcessor

    config = load_part(AutoConfig, name)
    kind = (config.architectures or [type(config).__name__])[0]
    if kind not in FAMILIES:
        raise InputError(
            f"{name!r} is a {kind}, which can't be asked about a song: known are {', '.join(FAMILIES)}; another family "
            "needs a class like those in musiclime_torch.models.answering.families."
        )
    model = load_weights(getattr(import_module("transformers"), kind), name).eval()
    model.config.name_or_path = name
    return Answering(model, load_part(AutoProcessor, name), question, answers, order, by_token).eval()
