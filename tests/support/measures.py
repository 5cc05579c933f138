"""What every page is measured by: widths, colours, what axe-core finds, and what is too small to be touched."""

from __future__ import annotations

from typing import Any, Literal

from axe_playwright_python.base import AXE_FILE_PATH
from playwright.async_api import Page

WIDTHS = (320, 360, 390, 1280, 1920)
Colours = tuple[Literal["light", "dark"], Literal["none", "active"]]
COLOURS: tuple[Colours, ...] = (("light", "none"), ("dark", "none"), ("dark", "active"))
"""The scheme, and whether colours are forced."""

TOO_SMALL = """() => [...document.querySelectorAll("a[href], button, select, textarea, summary, input")]
  .filter((e) => e.type !== "hidden")
  .filter((e) => e.checkVisibility() && !e.matches(".skip, p a:not(.button), dd a.in"))
  .map((e) => (e.matches("[type=checkbox]") ? e.closest("label") ?? e : e))
  .filter((e) => e.getBoundingClientRect().height < 44 || e.getBoundingClientRect().width < 44)
  .map((e) => e.outerHTML.slice(0, 120))"""
"""Gives what people touch and is below 44 pixels; a link within a sentence is as high as its line."""


async def coloured(page: Page, colours: Colours) -> None:
    """Show the page in these colours."""
    scheme, forced = colours
    await page.emulate_media(color_scheme=scheme, forced_colors=forced)


async def violations(page: Page) -> list[str]:
    """What axe-core finds: the rule, and the elements. It is run beside the page's own scripts."""
    if await page.evaluate("typeof axe") == "undefined":
        await page.evaluate(AXE_FILE_PATH.read_text())
    result: dict[str, Any] = await page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{found['id']}: {node['html'][:160]} {node['failureSummary'][:200]}"
        for found in result["violations"]
        for node in found["nodes"]
    ]
