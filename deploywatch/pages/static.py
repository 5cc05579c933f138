"""The files that pages load: one style, one script, icons, the manifest; a browser keeps each until it changes."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler

from deploywatch.access.scopes import Scope, needs

_FOLDER: Final = Path(__file__).parent / "static"
_TYPES: Final = {
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
}
# The version is in the URL: a new one is another URL.
_FOREVER: Final = "public, max-age=31536000, immutable"
_SHORT: Final = "public, max-age=300"


@dataclass(frozen=True, slots=True)
class _File:
    path: str
    body: bytes
    packed: bytes
    content_type: str
    version: str


def _read(file: Path) -> _File:
    body = file.read_bytes()
    version = hashlib.sha256(body).hexdigest()[:12]
    # Packed once at the start; without a time in it, so that two replicas give the same bytes.
    return _File(f"/static/{file.name}", body, gzip.compress(body, mtime=0), _TYPES[file.suffix], version)


_FILES: Final = {file.name: _read(file) for file in sorted(_FOLDER.iterdir()) if file.suffix in _TYPES}
STATIC_PATHS: Final = frozenset(file.path for file in _FILES.values())
"""Where the files are served; whoever signs in needs them before."""


# Read at the start and served from memory: no request can name a file, and so none can leave the folder.
def add_static(app: web.Application) -> None:
    """Add the routes of the files."""
    for file in _FILES.values():
        needs(Scope.READ, app.router.add_get(file.path, _serving(file)))


def asset(name: str) -> str:
    """The path of a file, which changes with its content."""
    file = _FILES[name]
    return f"{file.path}?v={file.version}"


def _serving(file: _File) -> Handler:
    async def serve(request: web.Request) -> web.Response:
        packed = "gzip" in request.headers.get("Accept-Encoding", "")
        kept = _FOREVER if request.query.get("v") == file.version else _SHORT
        headers = {"Cache-Control": kept, "ETag": f'"{file.version}"', "Vary": "Accept-Encoding"}
        headers |= {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "default-src 'none'"}
        if request.headers.get("If-None-Match") == headers["ETag"]:
            return web.Response(status=304, headers=headers)
        if packed:
            headers["Content-Encoding"] = "gzip"
        body = file.packed if packed else file.body
        return web.Response(body=body, content_type=file.content_type, charset="utf-8", headers=headers)

    return serve
