"""The report as Markdown, and as a page that stands alone: its style is within it, and no script is."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from deploywatch.pages import moments
from deploywatch.pages.environment import templates_in
from deploywatch.receiver.assessment.amounts import shown
from deploywatch.receiver.rendering import stage_state
from deploywatch.receiver.rendering.filters import Verbatim, markdown, web_link
from deploywatch.receiver.report.chart import HEIGHT, WIDTH, chart
from deploywatch.receiver.report.schema import Report

_FOLDER: Final = Path(__file__).parent / "templates"
_STYLE: Final = (Path(moments.__file__).parent / "static" / "console.css").read_text(encoding="utf-8")
# Of exactly what stands between the tags, with the newline that the template has after `<style>`.
_DIGEST: Final = base64.b64encode(hashlib.sha256(f"\n{_STYLE}".encode()).digest()).decode()
HEADERS: Final = {
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_DIGEST}'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
"""What a browser is told of the page: nothing is loaded, and nothing runs."""


def as_markdown(report: Report) -> str:
    """Markdown that shows exactly what was said: nobody's text is markup."""
    return _MARKDOWN.get_template("report.md.j2").render(report=report).strip() + "\n"


def as_html(report: Report) -> str:
    """A whole page, for a browser, a mail or an archive."""
    return _HTML.get_template("report.html").render(report=report, style=Markup(_STYLE)) + "\n"  # noqa: S704 # nosec B704 - our own file


def body(report: Report) -> Markup:
    """What is within the page, for a page that has a frame of its own."""
    return Markup(_HTML.get_template("report_body.html").render(report=report))  # noqa: S704 # nosec B704 - escaped by its template


def percent(share: float | None) -> str:
    """A share; rounded down, so that what is not all does not read as 100 %."""
    return "not known" if share is None else f"{int(share * 100 + 1e-9)} %"


def ratio(share: float | None) -> str:
    """A ratio of bad requests."""
    return "no requests" if share is None else shown(share, "ratio")


def _runbook(url: str) -> str:
    """A runbook as Markdown: a link, or the file that was built."""
    link = web_link(url)
    return Verbatim(f"<{link}>") if link else url


def _made(environment: Environment) -> Environment:
    words: dict[str, Any] = {
        "shown": shown,
        "percent": percent,
        "ratio": ratio,
        "web_link": web_link,
        "runbook": _runbook,
        "chart": chart,
        "stage_state": stage_state.in_words,
    }
    environment.filters.update(words)
    environment.globals.update(chart_width=WIDTH, chart_height=HEIGHT)
    return environment


_HTML: Final = _made(templates_in(_FOLDER))
_MARKDOWN: Final = _made(
    Environment(  # noqa: S701 # nosec B701 - what it makes is Markdown, for which `finalize` escapes everything
        loader=FileSystemLoader(_FOLDER),
        undefined=StrictUndefined,
        finalize=markdown,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
)
_MARKDOWN.filters["utc"] = moments.utc
