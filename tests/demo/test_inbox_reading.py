"""The inbox read as Slack is read: history and replies, their pages, and metadata only for who asks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest

from deploywatch.fakes.inbox import Inbox, Serving, serving
from deploywatch.fakes.slack.methods import channel_id

TOKEN = {"Authorization": "Bearer xoxb-something-secret"}
CHANNEL = channel_id("#ops")
NAMED = {"event_type": "told", "event_payload": {"id": "one"}}


@pytest.fixture
async def served() -> AsyncIterator[Serving]:
    async with serving(Inbox(clock=lambda: datetime(2026, 5, 1, 14, 3, 5, tzinfo=UTC))) as running:
        yield running


async def _say(served: Serving, text: str, **more: Any) -> str:
    """Post it; its ts."""
    body = {"channel": "#ops", "text": text, **more}
    url = f"{served.slack_url}chat.postMessage"
    async with aiohttp.ClientSession() as session, session.post(url, json=body, headers=TOKEN) as response:
        answer = await response.json()
    assert answer["ok"], answer
    return str(answer["ts"])


async def _read(served: Serving, method: str, **query: str) -> dict[str, Any]:
    url = f"{served.slack_url}conversations.{method}"
    asked = {"channel": CHANNEL, "token": "xoxb-something-secret", **query}
    async with (
        aiohttp.ClientSession() as session,
        session.get(url, params=asked) as response,
    ):
        answer: dict[str, Any] = await response.json()
    return answer


def _texts(answer: dict[str, Any]) -> list[str]:
    return [one["text"] for one in answer["messages"]]


async def test_history_is_what_stands_in_the_channel_the_newest_first(served: Serving) -> None:
    first = await _say(served, "first")
    await _say(served, "a reply", thread_ts=first)
    await _say(served, "shown to all", thread_ts=first, reply_broadcast=True)
    await _say(served, "elsewhere", channel="#others")
    assert _texts(await _read(served, "history")) == ["shown to all", "first"]


async def test_replies_are_a_thread_from_its_first_message_on(served: Serving) -> None:
    first = await _say(served, "first")
    await _say(served, "another thread")
    await _say(served, "a reply", thread_ts=first)
    assert _texts(await _read(served, "replies", ts=first)) == ["first", "a reply"]


async def test_both_come_page_by_page(served: Serving) -> None:
    for number in range(3):
        await _say(served, str(number))
    page = await _read(served, "history", limit="2")
    assert (_texts(page), page["has_more"]) == (["2", "1"], True)
    rest = await _read(served, "history", limit="2", cursor=page["response_metadata"]["next_cursor"])
    assert (_texts(rest), rest["has_more"], rest["response_metadata"]["next_cursor"]) == (["0"], False, "")


async def test_only_what_is_newer_than_the_oldest_and_older_than_the_latest_is_shown(served: Serving) -> None:
    times = [await _say(served, str(number)) for number in range(3)]
    assert _texts(await _read(served, "history", oldest=times[0])) == ["2", "1"]
    assert _texts(await _read(served, "history", latest=times[1])) == ["0"]


async def test_metadata_is_shown_to_who_asks_for_it_and_outlives_a_change(served: Serving) -> None:
    ts = await _say(served, "before", metadata=NAMED)
    url = f"{served.slack_url}chat.update"
    body = {"channel": CHANNEL, "ts": ts, "text": "after"}
    async with aiohttp.ClientSession() as session, session.post(url, json=body, headers=TOKEN) as response:
        assert (await response.json())["ok"]
    (plain,) = (await _read(served, "history"))["messages"]
    (whole,) = (await _read(served, "history", include_all_metadata="1"))["messages"]
    assert "metadata" not in plain
    assert (whole["text"], whole["metadata"]) == ("after", NAMED)


@pytest.mark.parametrize("metadata", [{"event_type": "told"}, {"event_payload": {}}, "told", {}])
async def test_metadata_of_another_shape_is_refused(served: Serving, metadata: object) -> None:
    with pytest.raises(AssertionError, match="invalid_metadata_format"):
        await _say(served, "x", metadata=metadata)


@pytest.mark.parametrize(
    ("method", "query", "error"),
    [
        ("history", {"channel": "#ops"}, "channel_not_found"),
        ("replies", {"channel": "#ops", "ts": "1.1"}, "channel_not_found"),
        ("replies", {"ts": "1.1"}, "thread_not_found"),
        ("history", {"token": "none"}, "invalid_auth"),
        ("replies", {"token": "none"}, "invalid_auth"),
    ],
)
async def test_what_is_not_there_or_not_ours_to_see_is_refused(
    served: Serving, method: str, query: dict[str, str], error: str
) -> None:
    assert await _read(served, method, **query) == {"ok": False, "error": error}
