"""A part as small as can be, for the tests of the server kit; files in a folder tell it what to do.

`not-ready` holds why it is not ready; `bad` makes its reload fail; `/slow` answers when there is a file `go`.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import click
from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest

from deploywatch import logs
from deploywatch.access.scopes import Scope, needs
from deploywatch.access.webconfig import Access
from deploywatch.errors import DeploywatchError
from deploywatch.web import options
from deploywatch.web.prefix import External, under
from deploywatch.web.serving import Server


def server(listen: str, access: Access, folder: Path, external: External, *, acts: bool) -> Server:
    """The server with its pages."""

    def ready() -> str | None:
        reason = folder / "not-ready"
        return reason.read_text() if reason.exists() else None

    async def reload() -> None:
        if (folder / "bad").exists():
            raise DeploywatchError("the sample is bad")
        (folder / "reloaded").touch()

    async def slow(_: web.Request) -> web.Response:
        (folder / "begun").touch()
        while not (folder / "go").exists():  # noqa: ASYNC110 - another process makes the file
            await asyncio.sleep(0.02)
        return web.Response(text="done")

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(sample.registry))

    async def link(request: web.Request) -> web.Response:
        return web.Response(text=under(request, "/link?") + request.rel_url.raw_query_string)

    open_paths = frozenset({"/open"})
    sample = Server(
        "sample", listen, access, CollectorRegistry(), ready, reload, open_paths, acts=acts, external=external
    )
    sample.registry.register(access.guesses)
    needs(Scope.READ, sample.app.router.add_get("/slow", slow))
    needs(Scope.READ, sample.app.router.add_get("/metrics", metrics))
    needs(Scope.READ, sample.app.router.add_get("/link", link))
    needs(Scope.READ, sample.app.router.add_get("/open", metrics))
    return sample


@click.command()
@options.server(0)
@click.option("--folder", type=click.Path(path_type=Path), required=True)
@click.option("--acts", is_flag=True)
def main(
    *,
    listen: str,
    web_config: Path | None,
    external_url: str,
    route_prefix: str | None,
    log_format: str,
    log_level: str,
    folder: Path,
    acts: bool,
    **_: object,
) -> None:
    """Serve, and write the address to the folder."""
    logs.configure(form=log_format, level=log_level)

    def listening(address: str) -> None:
        (folder / "address").write_text(address)

    try:
        external = External(external_url, route_prefix)
        asyncio.run(server(listen, Access(web_config), folder, external, acts=acts).run(listening=listening))
    except DeploywatchError as error:
        sys.exit(f"sample: {error}")


if __name__ == "__main__":
    main()
