"""HTML for people, without scripts: a page's frame, tables, links; everything that is put in is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape as quoted

from aiohttp import web

from deploywatch.terminal import clean

_FRAME = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark }}
body {{ font: 16px/1.5 system-ui, sans-serif; margin: 2rem; max-width: 90rem }}
nav a, form * {{ margin-right: .75rem }}
form {{ margin-bottom: 1rem }}
small {{ display: block; color: light-dark(#595959, #b0b0b0); font-weight: normal }}
table {{ border-collapse: collapse }}
td, th {{ padding: .25rem .75rem; text-align: left; vertical-align: top; border-bottom: 1px solid #8884 }}
td, h1, p {{ overflow-wrap: anywhere }}
td:first-child {{ overflow-wrap: break-word }}
#probes td:nth-child(3) {{ min-width: 16rem; overflow-wrap: break-word }}
td nav a {{ white-space: nowrap }}
th {{ min-width: 6rem }}
pre {{ overflow-x: auto; padding: 1rem; border: 1px solid #8884 }}
.healthy {{ color: light-dark(#176f2c, #6fcf86) }}
.unhealthy {{ color: light-dark(#b3261e, #ff8a80); font-weight: bold }}
.degraded {{ color: light-dark(#8a5300, #f0b35a); font-weight: bold }}
.unknown {{ color: light-dark(#595959, #b0b0b0) }}
.said {{ white-space: pre-wrap }}
@media (max-width: 40rem) {{
body {{ margin: 1rem }}
h1 {{ font-size: 1.4rem }}
nav a {{ display: inline-block; padding: .25rem 0 }}
thead {{ display: none }}
tr {{ display: block; padding: .5rem 0; border-bottom: 1px solid #8888 }}
td {{ display: flex; gap: .75rem; border: 0; padding: .1rem 0 }}
td:empty {{ display: none }}
#probes td:nth-child(3) {{ min-width: 0; overflow-wrap: anywhere }}
pre {{ white-space: pre-wrap; overflow-wrap: anywhere; padding: .5rem }}
td[data-title]::before {{
  content: attr(data-title); flex: 0 0 7rem; font-weight: normal; color: light-dark(#595959, #b0b0b0)
}}
}}
</style>
</head>
<body>
{body}
</body>
</html>
"""
# Nothing is loaded from anywhere, no script runs, even should something slip through unescaped.
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # with none at all, browsers send our own forms as of no origin
}
_WITHOUT_END = frozenset({"input"})


@dataclass(frozen=True, slots=True)
class Markup:
    """Text that is HTML already."""

    text: str


Text = str | Markup


def page(title: str, *parts: Markup, status: int = 200) -> web.Response:
    """An answer of these parts."""
    body = "\n".join(part.text for part in parts)
    text = _FRAME.format(title=escape(title), body=body)
    return web.Response(text=text, content_type="text/html", headers=_HEADERS, status=status)


def element(name: str, /, *inside: Text, **attributes: str) -> Markup:
    """An element; `class_` stands for the attribute class."""
    given = "".join(f' {key.rstrip("_")}="{escape(value)}"' for key, value in attributes.items())
    end = "" if name in _WITHOUT_END else f"</{name}>"
    return Markup(f"<{name}{given}>{''.join(_shown(part) for part in inside)}{end}")


def breakable(text: str) -> Markup:
    """Text that may be broken after its slashes."""
    return Markup("/<wbr>".join(escape(part) for part in text.split("/")))


def link(path: str, text: str) -> Markup:
    """A link within the server."""
    return element("a", text, href=path)


def table(titles: Sequence[str], rows: Iterable[tuple[str, Sequence[Text]]], *, identifier: str) -> Markup:
    """A table; each row with its class and cells."""
    head = element("thead", element("tr", *(element("th", title, scope="col") for title in titles)))
    body = element("tbody", *(element("tr", *_cells(titles, cells), class_=kind) for kind, cells in rows))
    return element("table", head, body, id=identifier)


def _cells(titles: Sequence[str], cells: Sequence[Text]) -> Iterable[Markup]:
    """The cells of a row; on a narrow screen, where the head is not shown, each bears its title."""
    for title, cell in zip(titles, cells, strict=True):
        yield element("td", cell, **({"data-title": title} if title else {}))


def choice(name: str, label: str, options: Iterable[str], chosen: str) -> Markup:
    """A drop-down field; the first option is any of them."""

    def option(value: str, text: str) -> Markup:
        mark = {"selected": "selected"} if value == chosen else {}
        return element("option", text, value=value, **mark)

    shown = (option("", "any"), *(option(value, value) for value in options))
    return element("label", f"{label} ", element("select", *shown, name=name))


def escape(text: str) -> str:
    """The text within HTML, without what nobody sees: nothing on a page reads in another order than it is written."""
    return quoted(clean(text))


def _shown(text: Text) -> str:
    return text.text if isinstance(text, Markup) else escape(text)
