"""An explanation for other tools: labels, annotations, tables, sounds, and Captum's records."""

from typing import TYPE_CHECKING

from musiclime_torch.basics.faces import lazy

if TYPE_CHECKING:
    from musiclime_torch.views.exports.annotations import (
        to_audacity as to_audacity,
        to_jams as to_jams,
        to_sonic_visualiser as to_sonic_visualiser,
        to_visualization_record as to_visualization_record,
    )
    from musiclime_torch.views.exports.files import (
        list_rows as list_rows,
        to_csv as to_csv,
        write_exports as write_exports,
        write_mixes as write_mixes,
        write_parquet as write_parquet,
    )

__getattr__, __dir__, __all__ = lazy(__name__)
