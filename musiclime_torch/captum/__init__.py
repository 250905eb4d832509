"""Captum's attributions, batched: `MusicLIME`, and `Lime` and `KernelShap` that take the place of Captum's own."""

from musiclime_torch.captum.explained import Explained
from musiclime_torch.captum.kernel_shap import KernelShap
from musiclime_torch.captum.kernels import MaskKernel
from musiclime_torch.captum.lime import Lime
from musiclime_torch.captum.music_lime import MusicLIME

__all__ = ["Explained", "KernelShap", "Lime", "MaskKernel", "MusicLIME"]
