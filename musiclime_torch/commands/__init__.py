"""The command line and the app: the only room that knows options and the names that people type."""

from typing import TYPE_CHECKING

from musiclime_torch.basics.faces import lazy

if TYPE_CHECKING:
    from musiclime_torch.commands.cli import main as main
    from musiclime_torch.commands.models import load_model as load_model

__getattr__, __dir__, __all__ = lazy(__name__)
