"""The peer: a bare aiohttp handler that parses the JSON, stores nothing, and says that all is well."""

from __future__ import annotations

import argparse

from aiohttp import web


async def take(request: web.Request) -> web.Response:
    """Parse the body."""
    await request.json()
    return web.Response(text="parsed\n")


async def ready(_: web.Request) -> web.Response:
    """Say so."""
    return web.Response()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="bench.receiver.bare", description=__doc__)
    parser.add_argument("port", type=int)
    port = parser.parse_args().port
    app = web.Application(client_max_size=32 * 1024**2)
    app.router.add_post("/webhook/alertmanager", take)
    app.router.add_get("/-/ready", ready)
    web.run_app(app, host="127.0.0.1", port=port, access_log=None, print=None)
