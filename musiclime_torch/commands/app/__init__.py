"""`musiclime app`: a song and its lyrics in, an explanation that sharpens, and its report, in a browser."""

from typing import TYPE_CHECKING

from musiclime_torch.basics.faces import lazy

if TYPE_CHECKING:
    from musiclime_torch.commands.app.serving import app as app, serve as serve

__getattr__, __dir__, __all__ = lazy(__name__)
