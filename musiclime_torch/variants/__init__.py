"""What of a song is switched on and off, how a variant is rendered, and how the model is run on it.

`components` lays the columns out. `sound` and `words` render masks of them. `probe` makes a model and a track ready to be
run; `asking` and `fusing` run it, and `scale` turns its outputs into values.
"""

from typing import TYPE_CHECKING

from musiclime_torch.basics.faces import lazy

if TYPE_CHECKING:
    from musiclime_torch.basics.arguments import Segments as Segments
    from musiclime_torch.basics.choices import (
        LyricsBaseline as LyricsBaseline,
        Space as Space,
        Timeline as Timeline,
        Units as Units,
    )
    from musiclime_torch.variants.asking import (
        encode_audio as encode_audio,
        encode_lyrics as encode_lyrics,
        run_joint as run_joint,
    )
    from musiclime_torch.variants.components import (
        Component as Component,
        Components as Components,
        list_components as list_components,
    )
    from musiclime_torch.variants.fusing import fuse as fuse
    from musiclime_torch.variants.probe import (
        Probe as Probe,
        Sources as Sources,
        prepare_sources as prepare_sources,
        probing as probing,
    )
    from musiclime_torch.variants.renderings import Encoded as Encoded, Kept as Kept
    from musiclime_torch.variants.scale import Scale as Scale, to_values as to_values
    from musiclime_torch.variants.sound import AudioBaseline as AudioBaseline, gate_stems as gate_stems, mix as mix
    from musiclime_torch.variants.words import mask_lyrics as mask_lyrics

__getattr__, __dir__, __all__ = lazy(__name__)
