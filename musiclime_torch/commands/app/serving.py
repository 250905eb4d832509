"""The app served: on one address, with nothing fetched from elsewhere, and everything uploaded gone when it ends."""

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

#: What the page may load: itself. Gradio's scripts and styles stand in the page, and it makes some of them as it goes.
POLICY = "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; frame-ancestors 'self'; form-action 'self'"

Message = MutableMapping[str, Any]


class Confined:
    """Every answer of a web application gets the policy; plain ASGI, so that what is streamed stays streamed."""

    def __init__(self, app: Callable[..., Awaitable[None]]) -> None:
        self.app = app

    async def __call__(
        self, scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        """Pass on, with one header more."""

        async def send_confined(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"content-security-policy", POLICY.encode())]
            await send(message)

        await self.app(scope, receive, send_confined)


def serve(
    shelf: Shelf, limits: Limits, separator: str | None, *, host: str, port: int | None, block: bool = True
) -> tuple[str, Callable[[], None]]:
    """Serve until interrupted, or, without `block`, until what is returned beside the address is called.

    InputError where the address can't be listened on.
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
