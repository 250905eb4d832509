"""One song's explanation as a page: to look at, to listen to, and to check."""

from typing import TYPE_CHECKING

from musiclime_torch.basics.faces import lazy

if TYPE_CHECKING:
    from musiclime_torch.views.page.song import to_html as to_html, write_report as write_report

__getattr__, __dir__, __all__ = lazy(__name__)
