"""The app's page in Gradio: what is filled in, what comes back, and how one leads to the other.

A session's report lies in a folder of its own and is shown in a frame that may run its own script and nothing else.
"""

import hashlib
import shutil
from collections.abc import Callable, Iterator
from html import escape
from pathlib import Path
from time import monotonic
from typing import Any

import gradio as gr
from matplotlib.figure import Figure

from musiclime_torch.basics.errors import InputError
from musiclime_torch.basics.progress import State
from musiclime_torch.commands.app.answering import MOST_MASKS, Limits, Memory, Question, Shelf, answer
from musiclime_torch.commands.app.words import Clock, describe_state, describe_step, explain_wait, read_time, time_stage
from musiclime_torch.demo.bundle import demo_song
from musiclime_torch.explanation.explanation import Explanation
from musiclime_torch.song.stems.weights import cached_weights
from musiclime_torch.song.track import Track
from musiclime_torch.views.figures import plot_heatmap, plot_lyrics
from musiclime_torch.views.page.song import to_html

#: The most megabytes of a report shown in the page; a larger one must be opened separately.
SHOWN_MB = 12

#: The number that stands for the predicted class, and for no contrast.
PREDICTED = -1

#: Numbers of masks to choose from; 0 stands for as many as it takes.
MASKS = (("as many as it takes", 0), *((f"{count:,} masks", count) for count in (256, 512, 1024, 2048, 4096, MOST_MASKS)))

#: What is said of the wait before there is a song.
WAIT = """The model is not asked once but many times, with parts of the song switched off to see what they did: time goes
with the number of these forward passes. A part of the song, fewer stems, fewer and longer segments and fewer masks make it
shorter."""

#: Pixels that a choice takes at least: in a narrow window two of them stand under each other.
WIDE = 200

#: Seconds after which gradio's copies of files are deleted, and how often it looks.
KEPT = (600, 3600)

#: Removes the lines that Gradio draws around every cell of a table.
STYLE = ".musiclime table, .musiclime tr, .musiclime th, .musiclime td {border: 0 !important}"

INTRODUCTION = """# What made the model decide?
Drop a song, add its lyrics and press **Explain**. Stems, moments and words are switched on and off, the model is asked what
it makes of each variant, and what moved it is fitted to the answers. Everything stays on this machine."""

#: What a step changes: status, table, figure, file, report, and why it takes so long.
Outputs = tuple[Any, Any, Any, Any, Any, Any]


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


def build_page(shelf: Shelf, limits: Limits, folder: Path) -> gr.Blocks:
    """The whole page. Reports are kept in `folder` until their session ends."""
    memories: dict[str, Memory] = {}
    ask = _make_ask(shelf, limits, memories, folder)
    with gr.Blocks(title="musiclime", analytics_enabled=False, delete_cache=KEPT) as page:
        gr.Markdown(INTRODUCTION)
        with gr.Row():
            with gr.Column(scale=2, min_width=320):
                song, demo, words = _build_song(limits)
                model = gr.Dropdown(list(shelf.names), value=shelf.names[0], label="Model")
                with gr.Row():
                    target = gr.Dropdown(
                        _list_choices(shelf, shelf.names[0]), value=PREDICTED, label="Class to explain", min_width=WIDE
                    )
                    foil = gr.Dropdown(
                        _list_foils(shelf, shelf.names[0]), value=PREDICTED, label="and why not", min_width=WIDE
                    )
                with gr.Row():
                    segments = gr.Textbox(label="Segments", placeholder="10, 3s, bars, sections, 12,30.5", min_width=WIDE)
                    masks = gr.Dropdown(list(MASKS), value=0, label="How precisely", min_width=WIDE)
                with gr.Row():
                    start, stop = gr.Button("Explain", variant="primary"), gr.Button("Stop")
            with gr.Column(scale=3, min_width=320):
                status = gr.Markdown("No song has been explained yet.", elem_id="status")
                with gr.Tabs():
                    with gr.Tab("Picture"):
                        figure = gr.Plot(show_label=False, visible=False)
                        table = gr.HTML()
                    with gr.Tab("Report"):
                        kept = gr.File(label="The report, to keep", visible=False, height=110)
                        report = gr.HTML()
                    with gr.Tab("Why is it slow?"):
                        wait = gr.Markdown(WAIT)
        model.change(lambda name: _change_model(shelf, name), model, [target, foil], api_visibility="private")
        inputs = [song, *words, model, target, foil, segments, masks]
        outputs = [status, table, figure, kept, report, wait]
        running = start.click(ask, inputs, outputs, api_name="explain", concurrency_limit=1, show_progress="hidden")
        stop.click(lambda: "Stopped.", None, status, cancels=[running], api_visibility="private")
        demo.click(_take_demo, None, [song, words[0]], api_visibility="private", show_progress="hidden")
        page.unload(_make_forget(folder, memories))
    page.queue(max_size=16)
    return page


def _build_song(limits: Limits) -> tuple[Any, Any, list[Any]]:
    """The song, the button that takes the demonstration's, and what else there is to say of a song, in order: its lyrics and
    their file, its part, what takes it apart, and its own stems.
    """
    song = gr.Audio(
        label=f"Song (up to {limits.megabytes:g} MB and {limits.seconds / 60:g} minutes)",
        sources=["upload"],
        type="filepath",
        editable=False,
        buttons=[],  # gradio's default would share it with a site
    )
    demo = gr.Button("Take the demonstration's song", size="sm")
    with gr.Row():
        start = gr.Textbox(label="From", placeholder="its start, or 0:30")
        end = gr.Textbox(label="to", placeholder="its end, or 1:15")
    lyrics = gr.Textbox(label="Lyrics, plain or .lrc (none: those in the song's tags)", lines=5, max_lines=12)
    with gr.Accordion("A lyrics file, and stems", open=False):
        lyrics_file = gr.File(label="Lyrics file", file_types=[".txt", ".lrc", ".srt", ".vtt", ".ass"], height=120)
        apart = gr.Dropdown(
            _list_separators(limits.separator),
            value=limits.separator or "",
            label="Stems by (or type bands:200,2000)",
            allow_custom_value=True,
        )
        stems = gr.File(label="or the song's own stems", file_count="multiple", file_types=["audio"], height=120)
    return song, demo, [lyrics, lyrics_file, start, end, apart, stems]


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


def _make_ask(shelf: Shelf, limits: Limits, memories: dict[str, Memory], folder: Path) -> Callable[..., Iterator[Outputs]]:
    def ask(
        song: str | None,
        lyrics: str,
        lyrics_file: str | None,
        start: str | None,
        end: str | None,
        separator: str | None,
        stems: list[str] | None,
        model: str,
        target: int,
        foil: int,
        segments: str,
        masks: int,
        request: gr.Request,
    ) -> Iterator[Outputs]:
        own = find_folder(folder, request.session_hash)
        try:
            question = Question(
                song=song,
                lyrics=lyrics or "",
                lyrics_file=lyrics_file,
                model=model,
                target=None if target == PREDICTED else target,
                foil=None if foil == PREDICTED else foil,
                n_samples=int(masks) or None,
                start=read_time(start or ""),
                end=read_time(end or ""),
                separator=(separator or "").strip(),
                segments=(segments or "").strip(),
                stems=tuple(stems or ()),
            )
            yield from _follow(question, shelf, limits, memories.setdefault(own.name, Memory()), own)
        except InputError as error:
            yield _clear("Nothing was explained.")
            raise gr.Error(escape(str(error), quote=False), duration=None, print_exception=False) from error

    return ask


def _follow(question: Question, shelf: Shelf, limits: Limits, memory: Memory, folder: Path) -> Iterator[Outputs]:
    """What the page shows at each step, and at last the report."""
    yield _clear("Reading the song …")
    began, clock, number = monotonic(), Clock(), 0
    latest: tuple[Track, Explanation] | None = None
    for news in answer(question, shelf, limits, memory, folder):
        if isinstance(news, State):
            clock, left = time_stage(clock, news, monotonic())
            if news.name:
                yield _say(describe_state(news, left))
            continue
        track, explanation = latest = news
        number += 1
        wait = explain_wait(track, shelf.take(question.model), explanation, monotonic() - began)
        yield _show(describe_step(explanation, number, last=False), explanation, wait)
    assert latest is not None, "there is a last step"
    yield _say("Writing the report …")
    wait = explain_wait(latest[0], shelf.take(question.model), latest[1], monotonic() - began)
    yield _close(latest[1], number, latest[0], folder, wait)


def _clear(text: str) -> Outputs:
    return text, "", gr.Plot(visible=False), gr.File(visible=False), "", WAIT


def _say(text: str) -> Outputs:
    """The status alone: what is shown stays."""
    return text, gr.skip(), gr.skip(), gr.skip(), gr.skip(), gr.skip()


def _show(text: str, explanation: Explanation, wait: str) -> Outputs:
    figure = gr.Plot(draw(explanation), visible=True)
    return text, explanation._repr_html_(), figure, gr.File(visible=False), "", wait


def _close(explanation: Explanation, number: int, track: Track, folder: Path, wait: str) -> Outputs:
    text = to_html(explanation, track)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "report.html"
    path.write_text(text, encoding="utf-8")
    shown = _show(describe_step(explanation, number, last=True), explanation, wait)
    return *shown[:3], gr.File(str(path), visible=True), frame_report(text), wait


def _list_choices(shelf: Shelf, name: str) -> list[tuple[str, int]]:
    classes = shelf.list_classes(name)
    return [("the predicted one", PREDICTED), *((name, number) for number, name in enumerate(classes))]


def _list_foils(shelf: Shelf, name: str) -> list[tuple[str, int]]:
    return [("no other class", PREDICTED), *_list_choices(shelf, name)[1:]]


def _list_separators(own: str | None) -> list[tuple[str, str]]:
    """Names with what they mean; demucs where its weights are on this machine, so that nothing is fetched."""
    known = [
        ("what is best here", ""),
        *([("demucs: drums, bass, other, vocals", "demucs")] if cached_weights() is not None else []),
        ("hpss: harmonic and percussive", "hpss"),
        ("midside: what both sides share, and not", "midside"),
        ("none: the song as one", "none"),
        ("bands:200,2000 (Hz)", "bands:200,2000"),
    ]
    return known if own is None or own in (name for _, name in known) else [*known, (own, own)]


def _change_model(shelf: Shelf, name: str) -> Any:
    try:
        return (
            gr.Dropdown(choices=_list_choices(shelf, name), value=PREDICTED),
            gr.Dropdown(choices=_list_foils(shelf, name), value=PREDICTED),
        )
    except InputError as error:
        raise gr.Error(escape(str(error), quote=False), duration=None, print_exception=False) from error


def _take_demo() -> tuple[str, str]:
    return str(demo_song()), demo_song().with_suffix(".lrc").read_text(encoding="utf-8")


def _make_forget(folder: Path, memories: dict[str, Memory]) -> Callable[[gr.Request], None]:
    def forget(request: gr.Request) -> None:
        memories.pop(find_folder(folder, request.session_hash).name, None)
        shutil.rmtree(find_folder(folder, request.session_hash), ignore_errors=True)

    return forget
