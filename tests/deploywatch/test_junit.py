"""One writer of JUnit's XML: counts that agree with the cases, and text of others that stays text."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from deploywatch.junit import Case, Suite, Trouble, document

BAD = Trouble("failure", "5 < 6 & 'so'", "limit", "the whole")


def parsed(*suites: Suite) -> ET.Element:
    """The document, read back."""
    return ET.fromstring(document("a command", suites).partition("\n")[2])  # noqa: S314 - our own text


def test_counts_agree_with_the_cases_on_each_suite_and_on_all() -> None:
    well, slow = Case("well", "shop", 0.25), Case("slow", "shop", 1.5, (BAD, BAD))
    root = parsed(
        Suite("shop", [well, slow], "2026-05-01T12:00:00"),
        Suite("cart", [Case("left out", "cart", 0.0, (Trouble("skipped", "not asked"),))]),
        Suite("mail", [Case("broken", "mail", troubles=(Trouble("error", "no answer"),))]),
    )
    assert root.attrib == {
        "name": "a command",
        "tests": "4",
        "failures": "1",
        "errors": "1",
        "time": "1.750000",
        "skipped": "1",
    }
    shop, cart, mail = root
    assert shop.attrib["timestamp"] == "2026-05-01T12:00:00"
    assert (shop.attrib["failures"], cart.attrib["skipped"], mail.attrib["errors"]) == ("1", "1", "1")
    assert "time" not in mail.attrib
    failure, _ = shop[1]
    assert (failure.attrib, failure.text) == ({"type": "limit", "message": "5 < 6 & 'so'"}, "the whole")


@given(st.text())
def test_whatever_others_wrote_can_be_read_back(text: str) -> None:
    case = Case(text, text, 1.0, (Trouble("failure", text, text or "x", text),))
    (suite,) = parsed(Suite(text, [case]))
    assert suite.attrib["tests"] == "1"
