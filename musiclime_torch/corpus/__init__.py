"""A catalogue explained song by song, in shards, and what all its explanations say together."""

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
    from musiclime_torch.corpus.runs.ahead import prepare_readers as prepare_readers
    from musiclime_torch.corpus.runs.job import Job as Job, begin_job as begin_job
    from musiclime_torch.corpus.runs.on_ray import run_on_ray as run_on_ray
    from musiclime_torch.corpus.runs.running import (
        WORKERS as WORKERS,
        Loaded as Loaded,
        explain_shard as explain_shard,
        run_here as run_here,
    )
    from musiclime_torch.corpus.runs.shards import Place as Place, claim_folder as claim_folder
    from musiclime_torch.corpus.runs.tables import SCHEMAS as SCHEMAS

__getattr__, __dir__, __all__ = lazy(__name__)
