"""Logs are one line an event, in logfmt or JSON, whatever is in them."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

NASTY = 'a\nlevel=error\r\tevent="x" \x1b[31m\u2028\x85é \\'


def run(code: str, *, form: str = "logfmt", level: str = "info", value: str = "") -> list[str]:
    """The lines that a program logs; `log` and `value` are there for it."""
    prelude = (
        "import logging, sys\nfrom deploywatch import logs\n"
        f"logs.configure(form={form!r}, level={level!r})\nlog, value = logs.get('part'), {value!r}\n"
    )
    ended = subprocess.run([sys.executable, "-c", prelude + code], capture_output=True, timeout=120, check=True)
    assert ended.stdout == b""
    return ended.stderr.decode().split("\n")[:-1]


def test_logfmt_begins_with_time_level_and_event() -> None:
    (line,) = run("log.info('probe failed', target='http://shop/', tries=3, ok=False, why=None)")
    time, _, rest = line.partition(" ")
    assert time.startswith("ts=20")
    assert time.endswith("Z")
    assert rest == 'level=info event="probe failed" target=http://shop/ tries=3 ok=false why='


def test_json_keeps_types() -> None:
    (line,) = run(
        "log.warning('odd', tries=3, ok=False, why=None, data={'a': [1]}, error=ValueError('x'))", form="json"
    )
    data = json.loads(line)
    assert data.pop("ts").endswith("Z")
    assert data == {
        "level": "warn",
        "event": "odd",
        "tries": 3,
        "ok": False,
        "why": None,
        "data": {"a": [1]},
        "error": "x",
    }


def test_json_gives_back_exactly_what_was_logged() -> None:
    (line,) = run("log.info('x', value=value)", form="json", value=NASTY)
    assert json.loads(line)["value"] == NASTY


@pytest.mark.parametrize("code", ["log.info('x', value=value)", "log.info(value)", "logging.warning('%s', value)"])
def test_no_value_makes_a_line_or_moves_the_cursor(code: str) -> None:
    (line,) = run(code, value=NASTY)
    assert len(line.splitlines()) == 1
    assert line.isprintable()
    assert "é" in line


def test_a_value_cannot_pass_for_another_key() -> None:
    (line,) = run("log.info('x', value=value)", value='1" level=error')
    assert line.endswith(r'level=info event=x value="1\" level=error"')


@pytest.mark.parametrize("form", ["logfmt", "json"])
def test_a_traceback_is_one_line(form: str) -> None:
    (line,) = run("try: 1 / 0\nexcept ZeroDivisionError: log.exception('bad')", form=form)
    assert "ZeroDivisionError: division by zero" in line


def test_lines_of_libraries_have_the_same_form() -> None:
    (line,) = run("logging.getLogger('library').warning('hello %s', 'there')")
    assert line.partition(" ")[2] == 'level=warn event="hello there"'


@pytest.mark.parametrize(
    ("level", "lines"),
    [
        ("debug", ["debug", "info", "warn", "error"]),
        ("info", ["info", "warn", "error"]),
        ("warn", ["warn", "error"]),
        ("error", ["error"]),
    ],
)
def test_only_what_reaches_the_level_is_logged(level: str, lines: list[str]) -> None:
    ran = run("log.debug('x'); log.info('x'); log.warning('x'); log.error('x')", form="json", level=level)
    assert [json.loads(line)["level"] for line in ran] == lines


def test_requests_are_not_logged_one_by_one() -> None:
    assert run("logging.getLogger('aiohttp.access').info('GET /')") == []
