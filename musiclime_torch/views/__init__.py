"""One explanation as people and programs read it: terminal, page, figures, exports."""

from typing import TYPE_CHECKING

from musiclime_torch.basics.faces import lazy

if TYPE_CHECKING:
    from musiclime_torch.views.dossier import write_dossier as write_dossier
    from musiclime_torch.views.exports.annotations import (
        to_audacity as to_audacity,
        to_jams as to_jams,
        to_sonic_visualiser as to_sonic_visualiser,
        to_visualization_record as to_visualization_record,
    )
    from musiclime_torch.views.exports.files import (
        to_csv as to_csv,
        to_json as to_json,
        to_record as to_record,
        write_exports as write_exports,
        write_mixes as write_mixes,
        write_parquet as write_parquet,
    )
    from musiclime_torch.views.figures import (
        plot_heatmap as plot_heatmap,
        plot_interactions as plot_interactions,
        plot_lyrics as plot_lyrics,
        plot_waterfall as plot_waterfall,
    )
    from musiclime_torch.views.page.song import to_html as to_html, write_report as write_report
    from musiclime_torch.views.terminal import print_table as print_table, to_text as to_text

__getattr__, __dir__, __all__ = lazy(__name__)
