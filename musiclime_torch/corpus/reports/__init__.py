"""A catalogue as people read it: terminal, page, figures."""

from typing import TYPE_CHECKING

from musiclime_torch.basics.faces import lazy

if TYPE_CHECKING:
    from musiclime_torch.corpus.reports.figures import (
        plot_classes as plot_classes,
        plot_features as plot_features,
        plot_positions as plot_positions,
        plot_shifts as plot_shifts,
    )
    from musiclime_torch.corpus.reports.page import (
        to_corpus_html as to_corpus_html,
        write_corpus_report as write_corpus_report,
    )

__getattr__, __dir__, __all__ = lazy(__name__)
