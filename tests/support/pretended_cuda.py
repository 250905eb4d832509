"""A CUDA device that is only pretended, and a guard that raises where anything asks the host."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class HostGuard(TorchDispatchMode):
    """Records every operation on a CUDA tensor that would wait for, or talk to, the host; and what a GPU does badly.

    That is products of float64, sums in no fixed order, and work on another card than the one that was asked for.

    `wide` is the size of the largest tensor of float64, `cards` are the numbers of all cards that were touched.
    """

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.sent = 0
        self.forget()

    def forget(self) -> None:
        """Begin again with what a GPU does badly."""
        self.wide, self.products, self.racing, self.cards = 0, set[str](), set[str](), set[int | None]()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func._schema.name.split("::")[1]
        inputs = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        result = func(*args, **kwargs)
        outputs = [leaf for leaf in tree_leaves(result) if isinstance(leaf, torch.Tensor)]
        before, after = {t.device.type for t in inputs}, {t.device.type for t in outputs}
        self._judge(name, args, [t for t in [*inputs, *outputs] if t.device.type == "cuda"])
        if name in ("_to_copy", "copy_"):
            source = inputs[-1].device.type
            if source == "cuda" and "cpu" in after:
                self.seen.append(f"{name}: device to host")
            if source == "cpu" and "cuda" in after:
                self.sent += 1
                if not (kwargs.get("non_blocking") or (name == "copy_" and True in args[2:])):
                    self.seen.append(f"{name}: host to device, and waits for it")
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

    def _judge(self, name: str, args: Any, tensors: list[torch.Tensor]) -> None:
        self.cards |= {t.device.index for t in tensors}
        wide = [t.numel() for t in tensors if t.dtype in (torch.float64, torch.complex128)]
        self.wide = max([self.wide, *wide])
        if wide and name in PRODUCTS:
            self.products.add(name)
        if tensors and (name in RACING or (name.startswith("index_put") and True in args[3:])):
            self.racing.add(name)


class Names(TorchDispatchMode):
    """Records the names of all operations."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.seen.add(func._schema.name.split("::")[1])
        return func(*args, **(kwargs or {}))


def pretend_weights(model: torch.nn.Module, card: str) -> None:
    """Parameters and buffers of a model on a pretended card, for use inside of `pretended_cuda`."""
    for part in model.modules():
        for kept in (part._parameters, part._buffers):
            for name, value in kept.items():
                if value is not None:
                    empty = torch.empty(value.shape, dtype=value.dtype, device=card)
                    is_parameter = isinstance(value, torch.nn.Parameter)
                    kept[name] = torch.nn.Parameter(empty, requires_grad=False) if is_parameter else empty


@contextmanager
def pretended_cuda() -> Iterator[HostGuard]:
    with FakeTensorMode(allow_non_fake_inputs=False), torch.no_grad(), HostGuard() as guard:
        yield guard


#: What takes a consumer's card thirty to sixty-four times as long in float64.
PRODUCTS = {"mm", "addmm", "bmm", "baddbmm", "mv", "addmv", "dot", "convolution", "linalg_cholesky_ex", "cholesky_solve",
            "_fft_r2c", "_fft_c2c"}  # fmt: skip
#: Sums by atomic additions, in whatever order threads come to them: see `torch.use_deterministic_algorithms`.
RACING = {"index_add", "index_add_", "scatter_add", "scatter_add_", "scatter_reduce", "scatter_reduce_", "index_reduce",
          "index_reduce_", "put_", "cumsum", "histc", "bincount", "kthvalue", "median",
          "_adaptive_avg_pool2d", "embedding_bag", "max_pool3d"}  # fmt: skip

SYNCHRONISING = {
    "_local_scalar_dense", "nonzero", "masked_select", "_unique2", "unique_dim", "unique_consecutive", "equal", "is_nonzero",
    "allclose", "_linalg_check_errors", "linalg_lstsq", "_linalg_eigh", "_linalg_svd", "linalg_eig", "linalg_cholesky",
    "linalg_inv", "linalg_solve", "linalg_pinv", "multinomial", "repeat_interleave", "bincount", "histc",
}  # fmt: skip
