"""Parts of models by Hugging Face hub id or folder, and what to do where they can't be had."""

from pathlib import Path
from typing import Any

from musiclime_torch.failures import InputError


def load_part(kind: Any, name: str | Path) -> Any:
    """A configuration, a tokenizer or a feature extractor: `kind.from_pretrained(name)`, without code from the hub.

    InputError in one sentence, with the way out.
    """
    return _fetch(kind, name, {})


def load_weights(kind: Any, name: str | Path, unused: tuple[str, ...] = ()) -> Any:
    """A model with all its weights, from safetensors only. Those behind an `unused` prefix may be missing: any others
    would be random, and what is explained nothing that anybody trained.
    """
    model, found = _fetch(kind, name, {"use_safetensors": True, "output_loading_info": True})
    missing = sorted(key for key in found["missing_keys"] if not key.startswith(unused or ("\0",)))
    if missing or found["mismatched_keys"]:
        what = f"lacks {', '.join(missing[:5])}" if missing else f"has {list(found['mismatched_keys'])[:2]} misshapen"
        raise InputError(f"{str(name)!r} {what}: it is no trained {kind.__name__.removeprefix('AutoModelFor')} model.")
    return model


def _fetch(kind: Any, name: str | Path, options: dict[str, Any]) -> Any:
    folder = Path(name)
    try:
        return kind.from_pretrained(str(name), trust_remote_code=False, **options)
    except Exception as error:  # the library's, the hub's and the network's errors have no common ancestor
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        if folder.is_dir():
            raise InputError(f"the folder {str(name)!r} holds no {kind.__name__} that can be loaded ({reason}).") from error
        raise InputError(
            f"{str(name)!r} is no folder here and can't be fetched from the Hugging Face hub ({reason}): where there is a "
            f"network, run `hf download {name} --local-dir {folder.name}`, and give that folder."
        ) from error
