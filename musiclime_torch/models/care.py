"""Where a model runs, in which precision, and how it and the process are left as they were found; and which weights it has.

Devices are given by name and refused where they aren't there. Encoders may run in bfloat16; front ends, heads, outputs,
losses and solves don't. Encodings are widened to float32 before anything is made of them. A model without separate
encoders runs in float32 throughout. Weights are hashed, again only when they may have changed, and shuffled for as long as
a context lasts: the same model, which has learned nothing.
"""

import dis
import functools
import hashlib
import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import FunctionType, MethodType
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor, nn

from musiclime_torch.basics.choices import Precision
from musiclime_torch.basics.errors import InputError


def find_device(name: torch.device | str) -> torch.device:
    """The device with its index; InputError for a name torch doesn't know or a device this machine lacks.

    >>> find_device("cpu")
    device(type='cpu')
    """
    try:
        # Only making a tensor shows whether the device is really there, and which one "cuda" means.
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        raise InputError(
            f"device {str(name)!r} can't be used here ({str(error).splitlines()[0].split('. ')[0]}): try cpu."
        ) from error


def encoding(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """The context that an encoder runs in."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")


def in_float32(device: torch.device) -> AbstractContextManager[object]:
    """The context for spectra, heads and losses, whatever context surrounds them."""
    return torch.autocast(device.type, enabled=False)


def is_compiled(function: Any) -> bool:
    """Whether torch.compile made a function, a module or a part of it; each shape it meets may then be compiled again.

    >>> layer = torch.nn.Sequential(torch.nn.Linear(2, 2))
    >>> is_compiled(layer), is_compiled(torch.compile(layer, backend="eager"))
    (False, True)
    """
    if isinstance(function, torch.nn.Module):
        return any(hasattr(part, "_orig_mod") or getattr(part, "_compiled_call_impl", None) for part in function.modules())
    return hasattr(function, "_torchdynamo_orig_callable")


def tries_out_kernels(device: torch.device) -> bool:
    """Whether cuDNN times its kernels at the first batch of each shape (`torch.backends.cudnn.benchmark`)."""
    return device.type == "cuda" and torch.backends.cudnn.benchmark


def widen(encoded: Tensor) -> Tensor:
    """An encoding as heads take it: at least float32."""
    # Heads sum over hundreds of features: in bfloat16's eight bits the sums would lose what a component changes.
    return encoded.float() if encoded.dtype in (torch.bfloat16, torch.float16) else encoded


def module_behind(call: Callable[..., Any]) -> torch.nn.Module | None:
    """The torch module that a callable runs: what is put in eval mode, hashed and shuffled. None without one.

    That is the callable itself, or what it declares as its attribute `module`. Without a declaration it is every module that
    the callable holds: as an attribute, as the object of a bound method, as an argument of a partial, or as a variable that
    a function uses. Several are returned as one `ModuleList`, so that none of them is left in training mode.

    >>> layer = torch.nn.Linear(2, 2)
    >>> all(module_behind(f) is layer for f in (layer, layer.forward, lambda x: layer(x)))
    True
    """
    if isinstance(call, torch.nn.Module):
        return call
    declared = getattr(call, "module", None)
    if isinstance(declared, torch.nn.Module):
        return declared
    held = list(dict.fromkeys(part for part in _list_held(call) if isinstance(part, torch.nn.Module)))
    # A model and its own head are one model: modules inside of another held one are not listed again.
    inner = {id(part) for module in held for part in module.modules() if part is not module}
    outer = [module for module in held if id(module) not in inner]
    return torch.nn.ModuleList(outer) if len(outer) > 1 else next(iter(outer), None)


def _list_held(call: Any) -> list[Any]:
    """What a callable holds; of a partial and of a bound method what their function or object holds."""
    held = list(vars(call).values()) if hasattr(call, "__dict__") else []
    if isinstance(call, functools.partial):
        held += [module_behind(call.func), *call.args, *call.keywords.values()]
    if isinstance(call, MethodType):
        owner: Any = call.__self__
        held.append(module_behind(owner))
    if isinstance(call, FunctionType):
        # Only names that the code loads as globals: `co_names` has those of attributes too, and a global that happens to
        # be called as an attribute is another model.
        loaded = {step.argval for step in dis.get_instructions(call) if step.opname == "LOAD_GLOBAL"}
        held += [call.__globals__.get(name) for name in sorted(loaded)]
        held += [cell.cell_contents for cell in call.__closure__ or () if _is_filled(cell)]
    return held


def _is_filled(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018 - an empty cell raises
    except ValueError:
        return False
    return True


@contextmanager
def evaluating(module: torch.nn.Module | None) -> Iterator[None]:
    """Eval mode and no gradients inside; afterwards every submodule has its own flag back, for they may differ.

    `no_grad`, never `inference_mode`: tensors a module caches would be poisoned for training after it.
    """
    flags = [] if module is None else [(part, part.training) for part in module.modules()]
    try:
        if module is not None:
            module.eval()
        with torch.no_grad():
            yield
    finally:
        for part, training in flags:
            part.training = training


@contextmanager
def keeping_random_states() -> Iterator[None]:
    """Give Python, numpy and torch (and CUDA, where it runs) their global random states back afterwards."""
    python_state = random.getstate()
    numpy_state = np.random.get_state()  # noqa: NPY002 - the global state is what is being protected
    # Asking for the state of a GPU that isn't in use yet would initialise it.
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    try:
        with torch.random.fork_rng(devices=devices):
            yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)  # noqa: NPY002


#: What was last seen of a module's weights, and their hash: a large model takes seconds to hash, a song on a GPU no more.
_KNOWN: WeakKeyDictionary[nn.Module, tuple[Any, str]] = WeakKeyDictionary()

#: Entries of a tensor that are summed at a time on the CPU.
PIECE = 2**16


def hash_weights(module: nn.Module | None) -> str:
    """SHA-256 over names and bytes of all parameters and buffers; empty for a bare callable.

    A module whose weights torch doesn't hold says theirs itself, as its `weights_hash`.
    """
    if module is None:
        return ""
    if (declared := getattr(module, "weights_hash", None)) is not None:
        return str(declared)
    tensors = sorted((name, value) for name, value in module.state_dict().items() if isinstance(value, Tensor))
    seen = _glance(tensors)
    if module in _KNOWN and seen is not None and _KNOWN[module][0] == seen:
        return _KNOWN[module][1]
    digest = hashlib.sha256()
    for name, tensor in tensors:
        digest.update(name.encode())
        digest.update(_read_bits(tensor).cpu().numpy().data)
    _KNOWN[module] = seen, digest.hexdigest()
    return digest.hexdigest()


def _glance(tensors: Iterable[tuple[str, Tensor]]) -> Any:
    """Where the weights are in memory, how often torch saw them change, and sums of their bits, for changes it doesn't see.
    None if torch doesn't count changes.
    """
    tensors = list(tensors)
    if any(tensor.is_inference() for _, tensor in tensors):
        return None
    # The address and torch's version counter catch optimizer steps and loaded checkpoints. Writes through `.data` or from
    # numpy don't move the counter: the sums of the bits catch these, at a fraction of the cost of hashing.
    places = [
        (name, tensor.data_ptr(), tensor._version, tensor.shape, tensor.dtype, tensor.device) for name, tensor in tensors
    ]
    sums = [_sum_bits(tensor) for _, tensor in tensors]
    # One wait for the device, not one a tensor.
    return places, torch.stack([some.to(sums[0].device) for some in sums]).tolist() if sums else []


def _sum_bits(tensor: Tensor) -> Int[Tensor, ""]:
    """A sum, modulo 2³², that other bits and another order change; a plain one knows neither order nor pairs of signs."""
    bits = _read_bits(tensor)
    # On the CPU in pieces that stay in its cache: a tenth of the time of whole tensors, and of what hashing takes.
    step = PIECE if bits.device.type == "cpu" else max(bits.numel(), 1)
    odd = 2 * torch.arange(min(step, bits.numel()), dtype=torch.int32, device=bits.device) + 1
    total = torch.zeros((), dtype=torch.int32, device=bits.device)
    for number, piece in enumerate(bits.split(step)):
        some = piece.to(torch.int32)
        # The sign is spread over lower bits, or two flipped signs would add 2³¹ twice, whatever their weights. The weight of
        # entry i is 2 i + 1: in a piece that begins at b, 2 b more than in the first.
        mixed = (some >> 15).bitwise_xor_(some)
        before = 2 * number * step % 2**32
        total += mixed.sum(dtype=torch.int32) * (before - 2**32 if before >= 2**31 else before)
        total += mixed.mul_(odd[: len(mixed)]).sum(dtype=torch.int32)
    return total


def _read_bits(tensor: Tensor) -> Tensor:
    flat = tensor.detach().contiguous().flatten()
    return flat.view(torch.int32 if flat.element_size() == 4 else torch.uint8)


@contextmanager
def shuffling(module: nn.Module, share: float, seed: int) -> Iterator[None]:
    """Inside, every weight tensor of the last `share` of all that has several has its entries in another order.

    The weights are as large as before, and what was learned is gone (the randomised weights of Adebayo et al. 2018; from the
    output down, as modules were registered, where `share` is below 1). Other storage stands in for the parameters', which
    get their own back: nothing is copied back, so that they are the same to the last bit. No random state is read or moved.
    """
    parameters = [parameter for parameter in module.parameters() if parameter.numel() > 1]
    chosen = parameters[len(parameters) - round(share * len(parameters)) :]
    kept = [parameter.data for parameter in chosen]
    generator = torch.Generator().manual_seed(seed)
    try:
        for parameter in chosen:
            order = _draw_cycle(parameter.numel(), generator).to(parameter.device)
            parameter.data = parameter.data.flatten()[order].reshape(parameter.shape)
        yield
    finally:
        for parameter, own in zip(chosen, kept, strict=True):
            parameter.data = own


def _draw_cycle(count: int, generator: torch.Generator) -> Int[Tensor, " entry"]:
    """A random order in which nothing keeps its place: the bias of a few classes would often stay as it is in any order."""
    # Each entry moves to the place of the next one on a random ring: one cycle through all places (Sattolo's permutations),
    # so that none keeps its own.
    ring = torch.randperm(count, generator=generator)
    return torch.empty_like(ring).scatter_(0, ring, ring.roll(1))
