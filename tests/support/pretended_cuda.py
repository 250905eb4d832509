"""A CUDA device that is only pretended, and a guard that raises where anything asks the host."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class HostGuard(TorchDispatchMode):
    """Records every operation on a CUDA tensor that would wait for, or talk to, the host."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.sent = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func._schema.name.split("::")[1]
        inputs = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        result = func(*args, **kwargs)
        outputs = [leaf for leaf in tree_leaves(result) if isinstance(leaf, torch.Tensor)]
        before, after = {t.device.type for t in inputs}, {t.device.type for t in outputs}
        if name in ("_to_copy", "copy_"):
            source = inputs[-1].device.type
            if source == "cuda" and "cpu" in after:
                self.seen.append(f"{name}: device to host")
            self.sent += source == "cpu" and "cuda" in after
        elif "cuda" in before:
            if name in SYNCHRONISING:
                self.seen.append(name)
            if len(before) > 1:
                self.seen.append(f"{name}: mixed devices")
            if name in ("index", "index_put", "index_put_", "_unsafe_index") and any(
                t is not None and t.dtype in (torch.bool, torch.uint8) for t in tree_leaves(args[1])
            ):
                self.seen.append(f"{name}: boolean index")
        return result


@contextmanager
def pretended_cuda() -> Iterator[HostGuard]:
    with FakeTensorMode(allow_non_fake_inputs=False), torch.no_grad(), HostGuard() as guard:
        yield guard


SYNCHRONISING = {
    "_local_scalar_dense", "nonzero", "masked_select", "_unique2", "unique_dim", "unique_consecutive", "equal", "is_nonzero",
    "allclose", "_linalg_check_errors", "linalg_lstsq", "_linalg_eigh", "_linalg_svd", "linalg_eig", "linalg_cholesky",
    "linalg_inv", "linalg_solve", "linalg_pinv", "multinomial", "repeat_interleave", "bincount", "histc",
}  # fmt: skip
