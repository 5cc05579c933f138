"""The pages of docs/ lead only to pages and headings that are there; `scripts/docs` builds the site, strictly."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
CODE = re.compile(r"^(```|~~~).*?^\1|^ {4}\S.*?$|`[^`\n]*`", re.MULTILINE | re.DOTALL)


@cache
def prose(page: Path) -> str:
    """A page without its code."""
    return CODE.sub("", page.read_text())


@cache
def anchors(page: Path) -> set[str]:
    """The names of a page's headings, as the site makes them: small letters, words and dashes."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        found.add(re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", plain).strip()))
    return found


def lost_links(page: Path, docs: Path) -> Iterator[str]:
    """Each link of a page that leads nowhere, or out of the site."""
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        to = (page.parent / path).resolve() if path else page
        to = to / "README.md" if to.is_dir() else to
        if not to.is_relative_to(docs) or not to.is_file() or (anchor and anchor not in anchors(to)):
            yield f"{page.relative_to(docs)}: {link}"


def test_every_link_leads_to_a_page_of_the_site_and_to_a_heading_on_it() -> None:
    assert len(PAGES) > 100
    assert [lost for page in PAGES for lost in lost_links(page, DOCS)] == []


def test_a_link_that_leads_nowhere_is_told(tmp_path: Path) -> None:
    for folder in ("folder", "bare"):
        (tmp_path / folder).mkdir()
    (tmp_path / "folder/README.md").write_text("# Its page\n")
    (tmp_path / "other.md").write_text("# Other\n\n## pipx, uv: `a` and [b](c.md)\n")
    page = tmp_path / "page.md"
    page.write_text(
        "[good](other.md#pipx-uv-a-and-b), [a folder](folder), `[code](no.md)`, [elsewhere](https://x.example/y)\n"
        "[1](gone.md) [2](other.md#gone) [3](../out.md) [4](#gone) [5](folder#x) [6](bare/)\n"
    )
    assert list(lost_links(page, tmp_path)) == [
        f"page.md: {link}" for link in ("gone.md", "other.md#gone", "../out.md", "#gone", "folder#x", "bare/")
    ]
