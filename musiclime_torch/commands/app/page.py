"""The app's page in Gradio: what is filled in, what comes back, and how one leads to the other.

A session's report lies in a folder of its own and is shown in a frame that may run its own script and nothing else.
"""

import hashlib
import shutil
from collections.abc import Callable, Iterator
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
from matplotlib.figure import Figure

from musiclime_torch.basics.errors import InputError
from musiclime_torch.commands.app.answering import (
    FEWEST_MASKS,
    MOST_MASKS,
    Limits,
    Question,
    Shelf,
    answer,
    describe_step,
    read_song,
)
from musiclime_torch.demo.bundle import demo_song
from musiclime_torch.explanation.explanation import Explanation
from musiclime_torch.explanation.settings import Settings
from musiclime_torch.song.track import Track
from musiclime_torch.views.figures import plot_heatmap, plot_lyrics
from musiclime_torch.views.page.song import to_html

#: The most megabytes of a report shown in the page; a larger one must be opened separately.
SHOWN_MB = 12

#: The number that stands for the predicted class.
PREDICTED = -1

#: Seconds after which gradio's copies of files are deleted, and how often it looks.
KEPT = (600, 3600)

#: Removes the lines that Gradio draws around every cell of a table.
STYLE = ".musiclime table, .musiclime tr, .musiclime th, .musiclime td {border: 0 !important}"

INTRODUCTION = """# What made the model decide?
Drop a song, add its lyrics and press **Explain**. Stems, moments and words are switched on and off, the model is asked what
it makes of each variant, and what moved it is fitted to the answers. Everything stays on this machine."""

Outputs = tuple[Any, Any, Any, Any, Any]


def frame_report(text: str) -> str:
    """The report in a frame that may run its own script and nothing else; a sentence where it is too large for that."""
    size = len(text.encode()) / 1e6
    if size > SHOWN_MB:
        return f"<p>The report has {size:.0f} MB, sound included: save it and open it separately.</p>"
    return (
        f'<iframe title="report" sandbox="allow-scripts" srcdoc="{escape(text)}" '
        'style="width:100%;height:90vh;border:1px solid #8888"></iframe>'
    )


def find_folder(folder: Path, session: str | None) -> Path:
    """A session's folder. Its name is a hash, for the session's name comes from the browser and might be a path."""
    return folder / hashlib.sha256(str(session).encode()).hexdigest()[:32]


def build_page(shelf: Shelf, limits: Limits, separator: str | None, folder: Path) -> gr.Blocks:
    """The whole page. Reports are kept in `folder` until their session ends."""
    ask = _make_ask(shelf, limits, separator, folder)
    with gr.Blocks(title="musiclime", analytics_enabled=False, delete_cache=KEPT) as page:
        gr.Markdown(INTRODUCTION)
        with gr.Row():
            with gr.Column(scale=2, min_width=320):
                song = gr.Audio(
                    label=f"Song (up to {limits.megabytes:g} MB and {limits.seconds / 60:g} minutes)",
                    sources=["upload"],
                    type="filepath",
                    editable=False,
                    buttons=[],  # gradio's default would share it with a site
                )
                demo = gr.Button("Take the demonstration's song", size="sm")
                lyrics = gr.Textbox(label="Lyrics, plain or .lrc (none: those in the song's tags)", lines=6, max_lines=12)
                lyrics_file = gr.File(
                    label="or a lyrics file", file_types=[".txt", ".lrc", ".srt", ".vtt", ".ass"], height=150
                )
                model = gr.Dropdown(list(shelf.names), value=shelf.names[0], label="Model")
                target = gr.Dropdown(_list_choices(shelf, shelf.names[0]), value=PREDICTED, label="Class to explain")
                masks = gr.Slider(
                    FEWEST_MASKS, MOST_MASKS, Settings().total, step=256, label="Masks (more: sharper and slower)"
                )
                with gr.Row():
                    start, stop = gr.Button("Explain", variant="primary"), gr.Button("Stop")
            with gr.Column(scale=3, min_width=320):
                status = gr.Markdown("No song has been explained yet.")
                table, figure = gr.HTML(), gr.Plot(show_label=False, visible=False)
                kept = gr.File(label="The report, to keep", visible=False, height=110)
        report = gr.HTML()
        model.change(lambda name: _change_model(shelf, name), model, target, api_visibility="private")
        inputs, outputs = [song, lyrics, lyrics_file, model, target, masks], [status, table, figure, kept, report]
        running = start.click(ask, inputs, outputs, api_name="explain", concurrency_limit=1, show_progress="minimal")
        stop.click(lambda: "Stopped.", None, status, cancels=[running], api_visibility="private")
        demo.click(_take_demo, None, [song, lyrics], api_visibility="private", show_progress="hidden")
        page.unload(_make_forget(folder))
    page.queue(max_size=16)
    return page


def make_theme() -> gr.Theme:
    """Gradio's default with the system's fonts: others would be downloaded."""
    return gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])


def draw(explanation: Explanation) -> Figure:
    """Stems × time over the words, whichever there are. Not a pyplot figure, because requests run in threads."""
    n_audio, count = explanation.components.n_audio, len(explanation.components)
    parts = [plot for plot, there in ((plot_heatmap, n_audio), (plot_lyrics, count - n_audio)) if there]
    figure = Figure(figsize=(9, 3.4 * len(parts)), layout="constrained")
    for plot, ax in zip(parts, figure.subplots(len(parts), squeeze=False)[:, 0], strict=True):
        plot(explanation, ax=ax)
    return figure


def _make_ask(shelf: Shelf, limits: Limits, separator: str | None, folder: Path) -> Callable[..., Iterator[Outputs]]:
    def ask(
        song: str | None, lyrics: str, lyrics_file: str | None, model: str, target: int, masks: int, request: gr.Request
    ) -> Iterator[Outputs]:
        question = Question(song, lyrics or "", lyrics_file, model, None if target == PREDICTED else target, int(masks))
        try:
            yield _say("Reading the song and taking it apart …")
            track = read_song(question, limits, separator, shelf.device)
            yield _say(f"{track.seconds:.0f} seconds in {len(track.stem_names)} stems. Asking the model …")
            explanation, number = None, 0
            for number, explanation in enumerate(answer(question, track, shelf), 1):
                yield _show(describe_step(explanation, number, last=False), explanation)
            assert explanation is not None, "there is a last step"
            yield _close(explanation, number, track, find_folder(folder, request.session_hash))
        except InputError as error:
            yield _say("Nothing was explained.")
            raise gr.Error(escape(str(error), quote=False), duration=None, print_exception=False) from error

    return ask


def _say(text: str) -> Outputs:
    return text, "", gr.Plot(visible=False), gr.File(visible=False), ""


def _show(text: str, explanation: Explanation) -> Outputs:
    figure = gr.Plot(draw(explanation), visible=True)
    return text, explanation._repr_html_(), figure, gr.File(visible=False), ""


def _close(explanation: Explanation, number: int, track: Track, folder: Path) -> Outputs:
    text = to_html(explanation, track)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "report.html"
    path.write_text(text, encoding="utf-8")
    shown = _show(describe_step(explanation, number, last=True), explanation)
    return *shown[:3], gr.File(str(path), visible=True), frame_report(text)


def _list_choices(shelf: Shelf, name: str) -> list[tuple[str, int]]:
    classes = shelf.list_classes(name)
    return [("the predicted one", PREDICTED), *((name, number) for number, name in enumerate(classes))]


def _change_model(shelf: Shelf, name: str) -> Any:
    try:
        return gr.Dropdown(choices=_list_choices(shelf, name), value=PREDICTED)
    except InputError as error:
        raise gr.Error(escape(str(error), quote=False), duration=None, print_exception=False) from error


def _take_demo() -> tuple[str, str]:
    return str(demo_song()), demo_song().with_suffix(".lrc").read_text(encoding="utf-8")


def _make_forget(folder: Path) -> Callable[[gr.Request], None]:
    def forget(request: gr.Request) -> None:
        shutil.rmtree(find_folder(folder, request.session_hash), ignore_errors=True)

    return forget
