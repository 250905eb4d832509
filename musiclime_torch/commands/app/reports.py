"""Where a session's report lies, and how the app shows it."""

import hashlib
from html import escape
from pathlib import Path

#: Megabytes of a report that is shown in the page; a larger one is to be opened by itself.
SHOWN_MB = 12


def frame_report(text: str) -> str:
    """The report in a frame that may run its own script and nothing else; a sentence where it is too large for that."""
    size = len(text.encode()) / 1e6
    if size > SHOWN_MB:
        return f"<p>The report has {size:.0f} MB, sound and all: save it and open it by itself.</p>"
    return (
        f'<iframe title="report" sandbox="allow-scripts" srcdoc="{escape(text)}" '
        'style="width:100%;height:90vh;border:1px solid #8888"></iframe>'
    )


def find_folder(folder: Path, session: str | None) -> Path:
    """A session's own; its name comes from the browser, and must not lead anywhere else."""
    return folder / hashlib.sha256(str(session).encode()).hexdigest()[:32]
