"""The app's server: on one address, without downloads from elsewhere, and uploads are deleted when it ends."""

import os
import tempfile
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from threading import Event
from typing import Any

import click

from musiclime_torch.basics.errors import InputError
from musiclime_torch.commands.app.answering import Limits, Shelf
from musiclime_torch.demo.bundle import find_assets

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
    shelf: Shelf, limits: Limits, separator: str | None, *, host: str, port: int | None, block: bool = True
) -> tuple[str, Callable[[], None]]:
    """Serve until interrupted. Without `block`, return the address and a function that ends the server.

    InputError where the server can't listen on the address.
    """
    holder = tempfile.TemporaryDirectory(prefix="musiclime-app-")
    # Read when gradio is imported, or when it serves.
    os.environ |= {"GRADIO_ANALYTICS_ENABLED": "False", "MPLBACKEND": "agg"}
    os.environ["GRADIO_TEMP_DIR"] = str(Path(holder.name) / "uploads")
    from starlette.middleware import Middleware

    from musiclime_torch.commands.app.page import STYLE, build_page, make_theme

    page = build_page(shelf, limits, separator, Path(holder.name))
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
