"""A ranking as a small piece of HTML without script, for notebooks: plain values in, escaped text out.

`clean` makes text from anywhere fit for a page: characters that HTML can't hold, or that a file can't, are replaced;
escaping markup is the templates' part. Nothing here knows an explanation, so that `Explanation` can show itself with it
although views come later in the order of imports.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

#: Controls but tab and newline, half surrogates (file names that are no text) and code points that are no characters.
_UNFIT = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")

#: Of the fragment alone. Colours are those of the figures (Okabe & Ito), with a sign beside them; ink is the notebook's own.
STYLE = """
.musiclime{max-width:46rem;font:14px/1.45 system-ui,sans-serif}
.musiclime table{border-collapse:collapse;width:100%;margin:.5em 0}
.musiclime td,.musiclime th{padding:.15em .6em;text-align:left;font-weight:400;border:0;background:none}
.musiclime th{opacity:.75}
.musiclime td:first-child{max-width:18rem;overflow:hidden;text-overflow:ellipsis;white-space:nowrap;unicode-bidi:isolate}
.musiclime td.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.musiclime svg{display:block;width:100%;min-width:8rem;height:1em}
.musiclime p{margin:.3em 0;opacity:.85;overflow-wrap:anywhere}
"""


@dataclass(frozen=True)
class Ranking:
    """`rows` are (name, value, half width), largest first; `notes` are sentences under them."""

    title: str
    heading: str
    rows: Sequence[tuple[str, float, float]]
    notes: Sequence[str]


def draw_fragment(ranking: Ranking) -> str:
    """One <div> with its own <style>.

    >>> "<b>" in draw_fragment(Ranking("<b>", "Banzhaf value", [("<b>", 1.0, 0.1)], ["<b>"]))
    False
    """
    # An interval may reach past its value: the widest end fills its half of the column.
    reach = max((abs(value) + half for _, value, half in ranking.rows), default=1.0) or 1.0
    rows = "".join(_draw_row(name, value, half, reach) for name, value, half in ranking.rows)
    table = f"<table><tr><th>component</th><th>{_say(ranking.heading)}</th><th>±</th><th></th></tr>{rows}</table>"
    notes = "".join(f"<p>{_say(note)}</p>" for note in ranking.notes)
    return (
        f'<div class="musiclime"><style>{STYLE}</style><p><strong>{_say(ranking.title)}</strong></p>'
        f"{table if rows else ''}{notes}</div>"
    )


def clean(value: Any) -> Any:
    r"""A string, or lists, tuples and dicts of them however deep, with U+FFFD in place of what doesn't fit.

    >>> clean({"a": ["love\x00", 1]})
    {'a': ['love\ufffd', 1]}
    """
    if type(value) is str:
        return _UNFIT.sub("\ufffd", value)
    if isinstance(value, dict):
        return {clean(name): clean(held) for name, held in value.items()}
    if isinstance(value, list | tuple):
        return [clean(held) for held in value]
    return value


def _draw_row(name: str, value: float, half: float, reach: float) -> str:
    middle, colour = 50.0, "#0072B2" if value > 0 else "#D55E00"
    end, low, high = (middle + 50 * place / reach for place in (value, value - half, value + half))
    bar = (
        f'<svg role="img" aria-label="{value:+.3g} ± {half:.2g}"><rect x="{min(middle, end):.1f}%" y="15%" '
        f'width="{abs(end - middle):.1f}%" height="70%" fill="{colour}"/><line x1="{low:.1f}%" x2="{high:.1f}%" y1="50%" '
        'y2="50%" stroke="currentColor"/><line x1="50%" x2="50%" y1="0" y2="100%" stroke="currentColor" opacity=".4"/></svg>'
    )
    return (
        f'<tr><td title="{_say(name)}">{_say(name)}</td><td class="n">{value:+.3g}</td><td class="n">{half:.2g}</td>'
        f"<td>{bar}</td></tr>"
    )


def _say(text: str) -> str:
    return escape(str(clean(text)))
