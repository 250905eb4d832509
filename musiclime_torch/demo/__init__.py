"""Songs with known causes, small models trained on them, and such songs to explain offline."""

from typing import TYPE_CHECKING

from musiclime_torch.basics.faces import lazy

if TYPE_CHECKING:
    from musiclime_torch.demo.bundle import (
        demo_song as demo_song,
        describe_causes as describe_causes,
        load_demo_model as load_demo_model,
        load_demo_track as load_demo_track,
    )
    from musiclime_torch.demo.catalogue import write_catalogue as write_catalogue
    from musiclime_torch.demo.checks import HELD_OUT as HELD_OUT, measure_exact as measure_exact
    from musiclime_torch.demo.plan import (
        HALF_BARS as HALF_BARS,
        SAMPLE_RATE as SAMPLE_RATE,
        STEMS as STEMS,
        TAGS as TAGS,
        Cause as Cause,
        SongPlan as SongPlan,
        find_causes as find_causes,
        find_column as find_column,
        plan_song as plan_song,
        spawn as spawn,
    )
    from musiclime_torch.demo.questions import (
        MOMENTS as MOMENTS,
        QUESTIONS as QUESTIONS,
        find_model as find_model,
        find_reasons as find_reasons,
        find_short_column as find_short_column,
        load_demo_answering as load_demo_answering,
        make_short_track as make_short_track,
        plan_fresh as plan_fresh,
        plan_short_song as plan_short_song,
        render_short as render_short,
    )
    from musiclime_torch.demo.song import make_track as make_track, render_stems as render_stems
    from musiclime_torch.demo.training import (
        RECIPE as RECIPE,
        DamagedSongs as DamagedSongs,
        Example as Example,
        list_words as list_words,
        make_example as make_example,
        make_model as make_model,
        train as train,
    )

__getattr__, __dir__, __all__ = lazy(__name__)
