"""The one Jinja2 environment for pages, mail and the demo's inbox: text is escaped, an unknown name is an error."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from jinja2 import ChoiceLoader, Environment, FileSystemLoader, StrictUndefined
from jinja2.runtime import Context
from jinja2.utils import pass_context
from markupsafe import Markup, escape

from deploywatch import __version__
from deploywatch.pages import moments
from deploywatch.pages.static import asset
from deploywatch.terminal import clean

_FOLDER: Final = Path(__file__).parent / "templates"


def templates_in(folder: Path) -> Environment:
    """The environment with the templates of a folder before the shared ones: `base.html` and `parts.html`."""
    loaders = [FileSystemLoader(folder), FileSystemLoader(_FOLDER)]
    return _ENVIRONMENT.overlay(loader=ChoiceLoader(loaders))


def breakable(text: str) -> Markup:
    """Text that may be broken after its slashes."""
    return Markup("/<wbr>").join(escape(clean(part)) for part in text.split("/"))


def finalized(value: Any) -> Any:
    """A value as it is put out: nothing for None, and text without what nobody sees.

    Nothing on a page then reads in another order than it is written.
    """
    if value is None:
        return ""
    return clean(str(value)) if isinstance(value, str) and not isinstance(value, Markup) else value


# Relative to one moment for the whole page: two times on it would else disagree by what rendering takes.
def _by_now(say: Callable[..., str]) -> Callable[..., str]:
    """The function of a time and the page's `now` as a filter of the time alone."""

    @pass_context
    def filtered(context: Context, at: Any) -> str:
        return say(at, context["now"])

    return filtered


def _moments() -> dict[str, Callable[..., Any]]:
    """The filters of times; those that say how far away one is, look at the page's `now`."""
    relative = (moments.ago, moments.ahead, moments.countdown, moments.clock)
    return {say.__name__: _by_now(say) for say in relative} | {
        "utc": moments.utc,
        "iso": moments.iso,
        "lasting": moments.lasting,
    }


def _make() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        # A name that is misspelt in a template is an error in a test, and not an empty place on a page at night.
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=finalized,
        # Templates are installed files; to look at each of them at every page costs, and finds nothing.
        auto_reload=False,
    )
    environment.filters.update(_moments(), breakable=breakable)
    environment.globals.update(prefix="", version=__version__, asset=asset)
    return environment


_ENVIRONMENT: Final = _make()
