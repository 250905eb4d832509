"""Models trained on songs and lyrics, and training runs watched by their explanations."""

from typing import TYPE_CHECKING

from musiclime_torch.basics.faces import lazy

if TYPE_CHECKING:
    from musiclime_torch.training.callbacks import (
        make_lightning_callback as make_lightning_callback,
        make_trainer_callback as make_trainer_callback,
    )
    from musiclime_torch.training.distilling import Training as Training, distill as distill
    from musiclime_torch.training.figures import plot_readings as plot_readings
    from musiclime_torch.training.fitting import Recipe as Recipe, fit as fit
    from musiclime_torch.training.monitor import Monitor as Monitor, Reading as Reading, add_scalars as add_scalars
    from musiclime_torch.training.recipes import Trained as Trained, train as train
    from musiclime_torch.training.songs import Batch as Batch, draw_rates as draw_rates, join as join

__getattr__, __dir__, __all__ = lazy(__name__)
