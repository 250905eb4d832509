"""A page from its template: all input is escaped, and only our own script runs.

Style and script are in the page itself. The Content-Security-Policy allows these two by their hashes, and sound where
there is some. A page makes no network requests, and a script smuggled in with a song's lyrics couldn't run.
"""

import base64
import hashlib
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from musiclime_torch.explanation.fragment import STYLE, clean

_FOLDER = "musiclime_torch.views.page"


def render(template: str, scripts: tuple[str, ...], media: str | None, values: dict[str, Any]) -> str:
    """Fill a template of the templates folder; `media` is the policy's source of sound, None where there is none.

    Strings in `values` lose their control characters first: a page that holds a NUL isn't HTML.
    """
    environment = Environment(
        loader=PackageLoader(_FOLDER, "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"ensure_ascii": False, "separators": (",", ":"), "allow_nan": False}
    environment.filters["say"] = _say
    style = _read("page.css")
    script = "".join(_read(name) for name in scripts)
    sources = {
        "default-src": "'none'",
        "style-src": f"{_allow(style)} {_allow(STYLE)}",
        "script-src": _allow(script),
        **({} if media is None else {"media-src": media}),
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    policy = "; ".join(f"{name} {source}" for name, source in sources.items())
    parts = {"policy": policy, "style": Markup(style), "script": Markup(script)}
    return environment.get_template(template).render(**clean(values), **parts)


def _say(number: float | None) -> str:
    """Three significant figures with a typographic minus sign."""
    return "?" if number is None else f"{number:#.3g}".rstrip(".").replace("-", "\N{MINUS SIGN}")


def _read(name: str) -> str:
    return (files(_FOLDER) / "templates" / name).read_text(encoding="utf-8").replace("\r\n", "\n")


def _allow(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
