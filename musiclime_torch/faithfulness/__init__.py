"""Is an explanation faithful to its model? Each measure with what random attributions would get beside it.

`check` asks the model again; `summarise` gives means over songs. Names are imported on first use: the command line looks in
here, and torch takes seconds.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from musiclime_torch.faithfulness.checking import Check, check
    from musiclime_torch.faithfulness.infidelity import measure_infidelity
    from musiclime_torch.faithfulness.stability import measure_sensitivity
    from musiclime_torch.faithfulness.summary import Summary, summarise

_HOMES = {
    "Check": "checking",
    "Summary": "summary",
    "check": "checking",
    "measure_infidelity": "infidelity",
    "measure_sensitivity": "stability",
    "summarise": "summary",
}

__all__ = ["Check", "Summary", "check", "measure_infidelity", "measure_sensitivity", "summarise"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
