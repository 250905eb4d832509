"""`musiclime app`. Nothing heavy is imported before it runs."""

from typing import Any

import click

from musiclime_torch.basics.errors import needing
from musiclime_torch.commands.help import Grouped

#: Megabytes and seconds of a song: a wav of five minutes is fifty, and takes a laptop minutes to explain.
MAX_UPLOAD_MB, MAX_SECONDS = 60.0, 600.0


@click.command(cls=Grouped, examples=("musiclime app", "musiclime app --model musicnn-minilm --separator hpss --port 8080"))
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="NAME",
    help="A model to choose, named as in explain; may be given several times, and the first is chosen at the start.  "
    "[default: demo; demo and musicnn-minilm are always there]",
)
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Address to listen on; any but the default lets others in."
)
@click.option("--port", type=click.IntRange(1, 65535), help="Port to listen on.  [default: the first free one from 7860]")
@click.option("--max-upload-mb", type=click.FloatRange(min=0, min_open=True), default=MAX_UPLOAD_MB, show_default=True)
@click.option(
    "--max-duration",
    "max_seconds",
    type=click.FloatRange(min=0, min_open=True),
    default=MAX_SECONDS,
    show_default=True,
    metavar="SECONDS",
    help="Refuse longer songs.",
)
@click.option("--separator", metavar="NAME", help="As in explain.")
@click.option("--device", help="cpu, cuda, cuda:1, ...  [default: cuda where there is one]")
def app(models: tuple[str, ...], **options: Any) -> None:
    """Explain songs in a browser: drop a song and lyrics, watch the explanation sharpen, open the report.

    Nothing leaves this machine. Whoever reaches the port may use it: there is no password.
    """
    with needing("musiclime_torch[app]"):
        import gradio  # noqa: F401 - here to say which extra to install
        import matplotlib  # noqa: F401 - as above
    from musiclime_torch.commands.app.answering import Limits, Shelf
    from musiclime_torch.commands.app.serving import serve
    from musiclime_torch.commands.options import default_device

    device = options["device"] or default_device()
    shelf = Shelf(tuple(dict.fromkeys((*models, "demo", "musicnn-minilm"))), device)
    shelf.take(shelf.names[0])  # an unknown name is refused before anything is served
    limits = Limits(options["max_upload_mb"], options["max_seconds"])
    serve(shelf, limits, options["separator"], host=options["host"], port=options["port"])
