"""Text from anywhere made fit for a page: characters that HTML has no place for, or that a file can't hold, are replaced.

Markup is none of its business: the templates escape that.
"""

import re
from typing import Any

#: Controls but tab and newline, half surrogates (file names that are no text) and code points that are no characters.
_UNFIT = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")


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
