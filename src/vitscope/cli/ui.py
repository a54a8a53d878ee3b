"""`vitscope ui`: the dashboard."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated

import typer

from vitscope.cli.browser import has_browser, open_page
from vitscope.cli.console import open_workspace, warn


def command(
    ctx: typer.Context,
    port: Annotated[int, typer.Option(help="Where it listens; the next free port where this one is taken.")] = 8420,
    host: Annotated[
        str, typer.Option(help="The address it listens on; 0.0.0.0 is all of this machine's.")
    ] = "127.0.0.1",
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Open no browser; print the address only.")] = False,
    read_only: Annotated[bool, typer.Option("--read-only", help="To look, not to start, stop or delete.")] = False,
) -> None:
    """Watch runs live, look inside models, start runs. The printed address holds a token: keep it to yourself."""
    from vitscope.dashboard.server import Server, is_loopback

    _allow_many_connections()
    server = Server(open_workspace(ctx), host=host, port=port, read_only=read_only)
    if server.port != port and port != 0:
        warn(f"Port {port} is taken: {server.port} is used.")
    if not is_loopback(host):
        warn(
            f"The dashboard listens on {host}: everybody who can reach this machine there can ask it, and what is sent "
            "is not encrypted. The token is all that keeps them out."
        )

    def started() -> None:
        print(server.address, flush=True)
        if not no_browser and has_browser():
            open_page(server.address_once)

    stopped_by = server.run(started)
    raise typer.Exit(128 + stopped_by if stopped_by else 0)


def _allow_many_connections() -> None:
    """Each page keeps a connection; the usual limit of open files is for programs that have few."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = min(hard, 65_536) if hard != resource.RLIM_INFINITY else 65_536
        if soft < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
