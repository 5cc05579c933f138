"""The one table of what an answer means."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from deploywatch.receiver.channels import errors
from deploywatch.receiver.settings import fields
from deploywatch.secrets import Masked


@pytest.mark.parametrize(
    ("status", "reason", "again"),
    [
        (400, "rejected", False),
        (401, "credentials", False),
        (403, "credentials", False),
        (404, "rejected", False),
        (408, "timeout", True),
        (413, "rejected", False),
        (429, "rate_limited", True),
        (500, "server", True),
        (503, "server", True),
        (302, "server", True),
    ],
)
def test_each_status_has_a_reason_and_says_whether_to_try_again(status: int, reason: str, again: bool) -> None:
    error = errors.from_status(status, "why\nnot" * 1000)
    assert (error.reason, error.again) == (reason, again)
    assert len(error.detail) <= errors.DETAIL_LIMIT + 20
    assert "\n" not in error.detail


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30", 30),
        ("1.5", 1.5),
        ("-5", 0),
        ("999999", 3600),
        ("1e400", None),
        ("nan", None),
        ("soon", None),
        ("", None),
        ("Fri, 01 May 2026 14:04:05 GMT", 60),
    ],
)
def test_retry_after_is_seconds_or_a_date_and_bounded(text: str, seconds: float | None) -> None:
    now = datetime(2026, 5, 1, 14, 3, 5, tzinfo=UTC)
    expected = None if seconds is None else timedelta(seconds=seconds)
    assert errors.retry_after({"retry-After": text}, now) == expected


def test_secrets_that_the_other_side_echoes_are_masked() -> None:
    error = errors.unconnected(OSError("no way with hunter2"), (Masked("hunter2"), None, Masked("")))
    assert error.detail == "OSError: no way with ***"


@pytest.mark.parametrize(
    ("url", "loopback"),
    [
        ("http://127.0.0.1:1/", True),
        ("http://[::1]:1/", True),
        ("http://localhost/", True),
        ("https://slack.com/api/", False),
        ("http://10.0.0.1/", False),
    ],
)
def test_only_this_machine_is_reached_without_a_proxy(url: str, loopback: bool) -> None:
    assert fields.is_loopback(url) is loopback
