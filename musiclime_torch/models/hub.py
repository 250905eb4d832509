"""Parts of models by Hugging Face hub id or folder, and what to do where they can't be had."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from os.path import isdir  # pathlib's raise for folders without permission
from pathlib import Path
from typing import Any

from musiclime_torch.basics.errors import InputError

#: Seconds to wait for the hub's first answer; its own client would try for up to a minute and a half.
PATIENCE = 5.0


def load_part(kind: Any, name: str | Path) -> Any:
    """A configuration, a tokenizer or a feature extractor: `kind.from_pretrained(name)`, without code from the hub.

    InputError in one sentence, with the way out.
    """
    return _fetch(kind, name, {})


def load_weights(kind: Any, name: str | Path, unused: tuple[str, ...] = ()) -> Any:
    """A model with all its weights, from safetensors only. Those behind an `unused` prefix may be missing: any others
    would be random, and the explanation that of a model nobody trained.
    """
    model, loading = _fetch(kind, name, {"use_safetensors": True, "output_loading_info": True})
    missing = sorted(key for key in loading["missing_keys"] if not key.startswith(unused or ("\0",)))
    if missing or loading["mismatched_keys"]:
        what = f"lacks {', '.join(missing[:5])}" if missing else f"has {list(loading['mismatched_keys'])[:2]} misshapen"
        raise InputError(f"{str(name)!r} {what}: it is not a trained {kind.__name__.removeprefix('AutoModelFor')} model.")
    return model


def load_with_new_head(kind: Any, name: str | Path, labels: Mapping[str, Any]) -> Any:
    """A classifier with trained encoders under a new head for `labels` (a configuration's): where fine-tuning starts."""
    options = {"use_safetensors": True, "output_loading_info": True, "ignore_mismatched_sizes": True, **labels}
    model, loading = _fetch(kind, name, options)
    missing = sorted(key for key in loading["missing_keys"] if not key.startswith(("classifier.", "projector.")))
    if missing:
        raise InputError(f"{str(name)!r} lacks {', '.join(missing[:5])}: give a model whose encoders are trained.")
    return model


def reach_hub(repository: str, file: str) -> None:
    """Ask the hub for a file's header; raises within seconds if there is no network, or no such file."""
    from huggingface_hub import get_session, hf_hub_url

    answer = get_session().head(hf_hub_url(repository, file), timeout=PATIENCE, follow_redirects=True)
    answer.raise_for_status()


def _fetch(kind: Any, name: str | Path, options: dict[str, Any]) -> Any:
    """From the folder or the hub's cache; from the hub itself only once it has answered."""
    folder = Path(name)
    careful = {"trust_remote_code": False, **options}
    try:
        with _quiet():
            return kind.from_pretrained(str(name), local_files_only=True, **careful)
    # Errors of transformers, the hub's cache and safetensors have no ancestor in common, and all say that it isn't here. A
    # folder's cause stays attached; for any other name the hub is asked next, whose answer says more.
    except Exception as error:
        if isdir(folder):
            raise InputError(
                f"the folder {str(name)!r} holds no {kind.__name__} that can be loaded ({_first_line(error)})."
            ) from error
    try:
        reach_hub(str(name), "config.json")
        return kind.from_pretrained(str(name), **careful)
    # Besides those above the network's own: whichever it is, the answer is to fetch it elsewhere.
    except Exception as error:
        raise InputError(
            f"{str(name)!r} is not a folder here, and can't be fetched from the Hugging Face hub ({_first_line(error)}): "
            f"where there is a network, run `hf download {name} --local-dir {folder.name}`, and give that folder."
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the bars of `transformers` ("Loading weights: 100%"); those of a download still show."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
