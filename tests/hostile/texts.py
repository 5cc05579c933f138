"""Hostile texts, and what no channel, page, terminal, log or file may make of them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

FORGED = "FORGED"
"""A line of output that begins with this word was begun by somebody else's text."""

TEXTS = {
    "markup": (
        "<script>pwned=1</script><img src=x onerror='pwned=1'><a href=\"javascript:pwned=1\">x</a>\"'><svg/onload="
        "pwned=1></td></table></pre><h1>FORGED</h1><!channel> <@U123> <#C1> <https://evil.example|bank> "
        "[pay](javascript:x) [pay](https://evil.example) **b** ||s|| @everyone (@admin) (/start) <at>all</at> &lt;b&gt;"
    ),
    "ansi": "\x1b[2J\x1b[31mred\x1b]52;c;ZXZpbA==\x07\x9b31m\x1b]8;;http://evil.example\x1b\\link\x08\x7f\x0e\r",
    "bidi": "\u202egnp.exe\u202c \u2066a\u2069 \u2067b \u200f\u200e\u061c admin\u202d",
    "encoded words": "=?utf-8?q?=0D=0AFrom:_boss@example.com=0D=0A=0D=0AFORGED?= =?utf-8?b?DQpCY2M6IGV2aWw=?=",
    "line ends": (
        "a\r\nBcc: evil@example.com\r\n\r\nFORGED\nFORGED\rFORGED\u2028FORGED\u2029FORGED\x85FORGED\x0bFORGED\x0cFORGED"
        "\n00:00:00  resolved  FORGED  (ann)\n# FORGED\nlevel=error event=FORGED"
    ),
    "templates": (
        "{{ 70709*88301 }} ${70709*88301} #{70709*88301} <%= 70709*88301 %> {% for x in y %} "
        "{{ ''.__class__.__mro__ }} %(x)s %s {0.__class__} "
        "$(id) `id` ${HOME} [bold]x[/bold] [/var/log] [link=http://evil.example]x[/link] :boom: $labels.x"
    ),
    "long": "A" * 200_000,
    "odd letters": "\ud800 \x00 \ufffe \U000e0041 e\u0301\u0301\u0301 \ufeff",
}
"""By what they try. JSON can carry each of them."""

_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_OUR_TAGS = {
    *("html", "head", "meta", "title", "style", "body", "nav", "a", "h1", "h2", "h3", "p", "div", "span"),
    *("ul", "ol", "li", "table", "thead", "tbody", "tr", "th", "td", "pre", "details", "summary", "b", "code"),
    *("form", "label", "select", "option", "input", "button", "strong", "small", "section", "time", "br", "wbr"),
    *("link", "script", "header", "main", "footer", "article", "aside", "em", "dl", "dt", "dd"),
    *("svg", "path", "rect", "line", "polyline"),
    *("noscript", "textarea", "fieldset", "legend", "dialog", "figure", "figcaption"),
}
_SAFE_ADDRESS = re.compile(r"(https?:/)?/|#|\?")


def assert_text(shown: str, *, indented: int = 8) -> None:
    """Nothing in it is obeyed by a terminal or reads in another order, and no line was begun by somebody's text."""
    assert not (found := _UNSEEN.search(shown)), f"{found[0]!r} in {shown[max(0, found.start() - 80) : found.end()]!r}"
    forged = [
        row for row in shown.splitlines() if re.match(rf"[ \t#>*|-]{{0,{indented}}}({FORGED}|00:00:00|Bcc:)", row)
    ]
    assert not forged, forged
    assert "level=error event=FORGED" not in shown.splitlines()
    # The product is long enough to stand in no time and no figure by chance.
    assert str(70709 * 88301) not in shown


def assert_page(text: str) -> None:
    """HTML whose elements, attributes and addresses are all ours."""
    _Judge().feed(text)
    assert_order(text)


def assert_order(text: str) -> None:
    """No character that nobody sees."""
    assert not (found := _UNSEEN.search(text)), f"{found[0]!r} in {text[max(0, found.start() - 80) : found.end()]!r}"


def strings(value: Any) -> Iterator[str]:
    """Every text within, keys included."""
    match value:
        case str():
            yield value
        case dict():
            for key, inside in value.items():
                yield str(key)
                yield from strings(inside)
        case list():
            for inside in value:
                yield from strings(inside)


def plain(text: str) -> str:
    """What is left of a text where everything unseen is taken out and every space is one."""
    return " ".join("".join(letter for letter in text if unicodedata.category(letter)[0] != "C").split())


class _Judge(HTMLParser):
    """Refuses what is no element of ours."""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in _OUR_TAGS, tag
        for name, value in attrs:
            assert re.fullmatch("[a-z-]+", name), name
            assert not name.startswith("on"), name
            if name in {"href", "action", "src"}:
                assert _SAFE_ADDRESS.match(value or ""), value
