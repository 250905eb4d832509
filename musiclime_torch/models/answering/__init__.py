"""Music language models asked a question: the log-probabilities of given answers, from a song and its lyrics."""

from typing import TYPE_CHECKING

from musiclime_torch.basics.faces import lazy

if TYPE_CHECKING:
    from musiclime_torch.models.answering.answering import Answering as Answering, load_answering as load_answering

__getattr__, __dir__, __all__ = lazy(__name__)
