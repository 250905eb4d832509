"""What many explanations say together: aggregated, audited, compared."""

from typing import TYPE_CHECKING

from musiclime_torch.basics.faces import lazy

if TYPE_CHECKING:
    from musiclime_torch.corpus.findings.aggregation import aggregate as aggregate
    from musiclime_torch.corpus.findings.auditing import Finding as Finding, audit as audit
    from musiclime_torch.corpus.findings.comparing import Comparison as Comparison, compare as compare
    from musiclime_torch.corpus.findings.parts import read_run as read_run
    from musiclime_torch.corpus.findings.summaries import (
        ClassSummary as ClassSummary,
        Feature as Feature,
        Global as Global,
        Pair as Pair,
        Run as Run,
    )

__getattr__, __dir__, __all__ = lazy(__name__)
