"""Many songs explained: a job in shards, here, in several processes or on Ray."""

from typing import TYPE_CHECKING

from musiclime_torch.basics.faces import lazy

if TYPE_CHECKING:
    from musiclime_torch.corpus.runs.job import Job as Job, begin_job as begin_job
    from musiclime_torch.corpus.runs.on_ray import run_on_ray as run_on_ray
    from musiclime_torch.corpus.runs.running import run_here as run_here
    from musiclime_torch.corpus.runs.shards import Place as Place, claim_folder as claim_folder
    from musiclime_torch.corpus.runs.tables import SCHEMAS as SCHEMAS

__getattr__, __dir__, __all__ = lazy(__name__)
