"""JSON of others is read in one way, whatever they wrote."""

from __future__ import annotations

import ast
import json
import time
from pathlib import Path

import pytest

from deploywatch.json_text import DEPTH, parse
from tests.support.pace import pace

ROOT = Path(__file__).parents[2]
PARTS = ("deploywatch", "exporter", "receiver", "rules", "grafana")
_READERS = {("json", "loads"), ("json", "load"), ("response", "json"), ("request", "json"), ("answer", "json")}
OURS = {
    "deploywatch/json_text.py",
    # What the stand-ins of tests and the demo are sent by ourselves.
    *(f"deploywatch/fakes/{name}.py" for name in ("http", "routes", "slack/block_kit", "webhook")),
    "deploywatch/demo/narrator.py",
}


@pytest.mark.parametrize(
    "text", [b'{"a": [1, 2.5, null, true, "\xc3\xbc"]}', b'\xef\xbb\xbf{"a": 1}', '\ufeff"a"', "7"]
)
def test_json_is_read(text: bytes | str) -> None:
    bare = text.decode() if isinstance(text, bytes) else text
    assert parse(text) == json.loads(bare.removeprefix("\ufeff"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[" * 100_000, f"nested more than {DEPTH} deep"),
        ("[" * (DEPTH + 1) + "]" * (DEPTH + 1), f"nested more than {DEPTH} deep"),
        ('{"a":' * (DEPTH + 1) + "1" + "}" * (DEPTH + 1), f"nested more than {DEPTH} deep"),
        ('{"up": false, "up": true}', "'up' twice"),
        ('[{"a": {"b": 1, "\\u0062": 2}}]', "'b' twice"),
        ('[{"\\ud800": 1, "\\ud801": 2}]', "'�' twice"),
        ("[NaN]", "NaN is not JSON"),
        ("-Infinity", "-Infinity is not JSON"),
        ("[1e999]", "larger than any number"),
        ("9" * 5000, "integer"),
        (b'"\xed\xa0\x80"', "utf-8"),
        ('["a"'.encode("utf-16"), "utf-8"),
        ("", "Expecting value"),
        ("[1] 2", "Extra data"),
    ],
)
def test_what_readers_differ_about_is_refused(text: bytes | str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        parse(text)
    str(caught.value).encode()


def test_what_is_as_deep_as_may_be_is_read() -> None:
    assert parse("[" * DEPTH + "]" * DEPTH)
    assert parse(json.dumps("[" * 1000)) == "[" * 1000


@pytest.mark.parametrize("text", [r'{"\ud800": ["a\uDFFFb"]}', '{"\ud800": ["a\udfffb"]}'])
def test_half_of_a_surrogate_pair_can_be_written_down(text: str) -> None:
    assert parse(text) == {"\ufffd": ["a\ufffdb"]}
    assert parse(r'"\ud83d\ude00 \\ud800"') == "\U0001f600 \\ud800"


def test_many_names_of_which_the_last_is_there_twice_take_no_long_time() -> None:
    text = "{" + ",".join(f'"{number}": 1' for number in range(200_000)) + ', "199999": 2}'
    slower = pace()
    began = time.process_time()
    with pytest.raises(ValueError, match="twice"):
        parse(text)
    assert time.process_time() - began < 20 * slower


def test_nothing_of_ours_reads_json_in_another_way() -> None:
    found = {
        str(path.relative_to(ROOT))
        for part in PARTS
        for path in (ROOT / part).rglob("*.py")
        if not path.parent.is_symlink() and any(name in path.read_text() for name, _ in _READERS)
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Name)
        if (call.func.value.id, call.func.attr) in _READERS
    }
    assert found <= OURS, found - OURS
