"""A model asked about a song, `explain`, and the value that comes of it, an `Explanation`."""

from typing import TYPE_CHECKING

from musiclime_torch.basics.faces import lazy

if TYPE_CHECKING:
    from musiclime_torch.explanation.answers import (
        Answers as Answers,
        load_answers as load_answers,
        save_answers as save_answers,
    )
    from musiclime_torch.explanation.evidence import Evidence as Evidence
    from musiclime_torch.explanation.explainer import explain as explain, explain_with as explain_with
    from musiclime_torch.explanation.explanation import Explanation as Explanation
    from musiclime_torch.explanation.interactions import Interactions as Interactions
    from musiclime_torch.explanation.prediction import Prediction as Prediction, predict as predict
    from musiclime_torch.explanation.sentences import to_sentences as to_sentences
    from musiclime_torch.explanation.settings import PAPER as PAPER, Settings as Settings
    from musiclime_torch.explanation.similarity import (
        compare as compare,
        embed as embed,
        explain_both as explain_both,
        read_taste as read_taste,
    )
    from musiclime_torch.explanation.streaming import explain_in_steps as explain_in_steps

__getattr__, __dir__, __all__ = lazy(__name__)
