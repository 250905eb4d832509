"""Captum's attributions, batched: `MusicLIME`, and `Lime` and `KernelShap` that take the place of Captum's own."""

from typing import TYPE_CHECKING

from musiclime_torch.basics.faces import lazy

if TYPE_CHECKING:
    from musiclime_torch.captum.inputs import CaptumInputs as CaptumInputs, lay_out as lay_out
    from musiclime_torch.captum.kernel_shap import KernelShap as KernelShap
    from musiclime_torch.captum.lime import Lime as Lime
    from musiclime_torch.captum.music_lime import MusicLIME as MusicLIME
    from musiclime_torch.captum.request import Explained as Explained
    from musiclime_torch.captum.surrogates import MaskKernel as MaskKernel

__getattr__, __dir__, __all__ = lazy(__name__)
