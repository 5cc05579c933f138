"""A page as an HTTP answer: rendered, compressed, and with headers that let nothing run but our own script."""

from __future__ import annotations

from typing import Any, Final

from aiohttp import web
from jinja2 import Environment

_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "manifest-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        # Text becomes markup in one place of our script, if at all.
        "require-trusted-types-for 'script'",
        "trusted-types deploywatch",
    )
)
HEADERS: Final = {
    "Content-Security-Policy": _POLICY,
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # with none at all, browsers send our own forms as of no origin
}


def page(templates: Environment, name: str, /, *, status: int = 200, **values: Any) -> web.Response:
    """The answer that a template of this name makes of the values."""
    text = templates.get_template(name).render(values)
    response = web.Response(text=text, content_type="text/html", headers=HEADERS, status=status)
    response.enable_compression()
    return response
