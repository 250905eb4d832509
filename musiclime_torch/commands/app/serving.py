"""`musiclime app`, and its server: on one address, without downloads from elsewhere, and uploads are deleted when it ends.

Nothing heavy is imported before the command runs.
"""

import os
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

import click

from musiclime_torch.basics.arguments import read_separator
from musiclime_torch.basics.errors import InputError, needing
from musiclime_torch.commands.help import Grouped
from musiclime_torch.commands.models import check_name

if TYPE_CHECKING:
    from musiclime_torch.commands.app.answering import Limits, Shelf

#: The page may load only from itself. Gradio's scripts and styles are inline, and some are generated while it runs.
POLICY = "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; frame-ancestors 'self'; form-action 'self'"

Message = MutableMapping[str, Any]


class Confined:
    """Adds the policy to every response of a web application; plain ASGI, so that streams stay streams."""

    def __init__(self, app: Callable[..., Awaitable[None]]) -> None:
        self.app = app

    async def __call__(
        self, scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        """Pass the request on and add the header."""

        async def send_confined(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"content-security-policy", POLICY.encode())]
            await send(message)

        await self.app(scope, receive, send_confined)


def serve(
    shelf: "Shelf", limits: "Limits", *, host: str, port: int | None, block: bool = True
) -> tuple[str, Callable[[], None]]:
    """Serve until interrupted. Without `block`, return the address and a function that ends the server.

    InputError where the server can't listen on the address.
    """
    import tempfile  # not at the start: --help does without it

    holder = tempfile.TemporaryDirectory(prefix="musiclime-app-")
    # Read when gradio is imported, or when it serves.
    os.environ |= {"GRADIO_ANALYTICS_ENABLED": "False", "MPLBACKEND": "agg"}
    os.environ["GRADIO_TEMP_DIR"] = str(Path(holder.name) / "uploads")
    from starlette.middleware import Middleware

    from musiclime_torch.commands.app.page import STYLE, build_page, make_theme
    from musiclime_torch.demo.bundle import find_assets

    page = build_page(shelf, limits, Path(holder.name))
    try:
        _, address, _ = page.launch(
            server_name=host,
            server_port=port,
            share=False,
            ssr_mode=False,
            quiet=True,
            footer_links=[],
            prevent_thread_lock=True,
            max_file_size=int(limits.megabytes * 1e6),
            theme=make_theme(),
            css=STYLE,
            allowed_paths=[str(find_assets())],  # the demonstration's song
            app_kwargs={"middleware": [Middleware(Confined)]},
        )
    except OSError as error:
        holder.cleanup()
        raise InputError(f"{host}, port {port or 'any'}, can't be listened on ({error}): give another --port.") from error

    def stop() -> None:
        page.close(verbose=False)
        holder.cleanup()

    if block:
        click.echo(f"Open {address} in a browser; Ctrl-C ends it.", err=True)
        try:
            Event().wait()
        finally:
            stop()
    return str(address), stop


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
    # A slip is answered before anything is loaded.
    for name in models:
        check_name(name)
    if options["separator"]:
        read_separator(options["separator"])
    with needing("musiclime_torch[app]"):
        import gradio  # noqa: F401 - here to say which extra to install
        import matplotlib  # noqa: F401 - as above
    from musiclime_torch.commands.app.answering import Limits, Shelf
    from musiclime_torch.commands.options import default_device

    device = options["device"] or default_device()
    shelf = Shelf(tuple(dict.fromkeys((*models, "demo", "musicnn-minilm"))), device)
    shelf.take(shelf.names[0])  # an unknown name is refused before anything is served
    limits = Limits(options["max_upload_mb"], options["max_seconds"], options["separator"])
    serve(shelf, limits, host=options["host"], port=options["port"])
