"""Explains what music models hear and read: LIME over stems, moments and words, batched in PyTorch.

`load_track` takes a song apart, `explain` asks a model about thousands of its variants and returns an `Explanation`,
`to_html` makes a page of it; `MusicLIME` is the same surrogate as a Captum attribution.

Folders, each importing only from those left of it:

basics < models, surrogate < song < variants < explanation < captum, faithfulness, views < corpus, training < demo < commands
"""

from typing import TYPE_CHECKING

from musiclime_torch.basics.faces import lazy

if TYPE_CHECKING:
    from musiclime_torch.basics.errors import InputError as InputError
    from musiclime_torch.captum.music_lime import MusicLIME as MusicLIME
    from musiclime_torch.commands.models import load_model as load_model
    from musiclime_torch.explanation.explainer import explain as explain
    from musiclime_torch.explanation.explanation import Explanation as Explanation
    from musiclime_torch.explanation.prediction import predict as predict
    from musiclime_torch.explanation.settings import PAPER as PAPER
    from musiclime_torch.song.lyrics.lyrics import Lyrics as Lyrics
    from musiclime_torch.song.track import Track as Track, load_track as load_track
    from musiclime_torch.variants.components import list_components as list_components
    from musiclime_torch.views.page.song import to_html as to_html

__getattr__, __dir__, __all__ = lazy(__name__)
