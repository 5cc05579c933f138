"""The inbox answers as Slack's, PagerDuty's and SMTP's documentation say, and shows what it received."""

from __future__ import annotations

import builtins
import hashlib
import hmac
import json
import signal
import smtplib
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs
from urllib.request import urlopen

import aiohttp
import pytest
from click.testing import CliRunner

from deploywatch.demo.servers import python_part
from deploywatch.errors import DeploywatchError
from deploywatch.fakes.inbox import Inbox, Serving, main, serving
from deploywatch.fakes.slack.methods import channel_id, press
from deploywatch.fakes.store import FILE
from tests.support.forked import ForkedProcesses

TOKEN = {"Authorization": "Bearer xoxb-something-secret"}
KEY = "0123456789abcdef0123456789abcdef"
PAYLOAD = {"summary": "down", "source": "shop", "severity": "critical", "custom_details": {"message": "a body"}}


@pytest.fixture
def inbox(tmp_path: Path) -> Inbox:
    return Inbox(tmp_path / "kept", clock=lambda: datetime(2026, 5, 1, 14, 3, 5, tzinfo=UTC))


@pytest.fixture
async def served(inbox: Inbox) -> AsyncIterator[Serving]:
    async with serving(inbox) as running:
        yield running


async def _post(url: str, body: object, headers: dict[str, str] | None = None) -> tuple[int, Any]:
    async with aiohttp.ClientSession() as session, session.post(url, json=body, headers=headers) as response:
        return response.status, await response.json()


async def _get(url: str) -> str:
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        assert response.status == 200
        return await response.text()


async def test_slack_takes_a_message_and_names_it(served: Serving) -> None:
    url = f"{served.slack_url}chat.postMessage"
    status, first = await _post(url, {"channel": "#ops", "text": "hello"}, TOKEN)
    _, second = await _post(url, {"channel": "#ops", "text": "more", "thread_ts": first["ts"]}, TOKEN)
    assert (status, first["ok"], first["channel"]) == (200, True, channel_id("#ops"))
    assert first["ts"] != second["ts"]
    assert [message.thread for message in served.inbox.of("slack")] == [first["ts"], first["ts"]]


async def test_slack_takes_a_form_too(served: Serving) -> None:
    blocks = json.dumps([{"type": "section", "text": {"type": "mrkdwn", "text": "in blocks"}}])
    form = {"channel": "C123", "text": "hello", "token": "xoxb-something-secret", "blocks": blocks}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{served.slack_url}chat.postMessage", data=form) as response,
    ):
        assert (await response.json())["ok"] is True
    assert "secret" not in str(served.inbox.received)
    assert (served.inbox.received[0].title, served.inbox.received[0].text) == ("hello", "in blocks")


async def test_slack_changes_a_message_where_it_stands(served: Serving, tmp_path: Path) -> None:
    post, update = f"{served.slack_url}chat.postMessage", f"{served.slack_url}chat.update"
    _, first = await _post(post, {"channel": "#ops", "text": "before"}, TOKEN)
    await _post(post, {"channel": "#ops", "text": "other"}, TOKEN)
    status, answer = await _post(update, {"channel": first["channel"], "ts": first["ts"], "text": "after"}, TOKEN)
    assert (status, answer["ok"], answer["ts"]) == (200, True, first["ts"])
    assert [(message.title, message.updated_at != "") for message in served.inbox.received] == [
        ("after", True),
        ("other", False),
    ]
    kept = [json.loads(line) for line in (tmp_path / "kept" / FILE).read_text().splitlines()]
    assert [one["title"] for one in kept] == ["before", "other", "after"]
    assert "after</strong> <em>updated 14:03:05</em>" in await _get(f"{served.url}/")


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"channel": "#ops"}, "channel_not_found"),
        ({"channel": "C999"}, "message_not_found"),
        ({"ts": "1.000"}, "message_not_found"),
        ({"ts": ""}, "message_not_found"),
        ({"text": ""}, "no_text"),
    ],
)
async def test_slack_refuses_to_change_what_is_not_there(served: Serving, change: dict[str, str], error: str) -> None:
    _, first = await _post(f"{served.slack_url}chat.postMessage", {"channel": "#ops", "text": "before"}, TOKEN)
    body = {"channel": first["channel"], "ts": first["ts"], "text": "after"} | change
    assert await _post(f"{served.slack_url}chat.update", body, TOKEN) == (200, {"ok": False, "error": error})
    assert served.inbox.received[0].title == "before"


def _text(length: int, kind: str = "mrkdwn") -> dict[str, str]:
    return {"type": kind, "text": "x" * length}


def _button(**changes: object) -> dict[str, object]:
    return {"type": "button", "action_id": "a", "text": _text(9, "plain_text")} | changes


@pytest.mark.parametrize(
    "blocks",
    [
        "no list",
        ["no block"],
        [{"type": "marquee", "text": _text(9)}],
        [{"type": "section", "text": _text(3001)}],
        [{"type": "section", "text": _text(0)}],
        [{"type": "section"}],
        [{"type": "section", "text": _text(9)}] * 51,
        [{"type": "header", "text": _text(151, "plain_text")}],
        [{"type": "header", "text": _text(9)}],
        [{"type": "context", "elements": []}],
        [{"type": "context", "elements": [_text(9)] * 11}],
        [{"type": "actions", "elements": [_button(), _button()]}],
        [{"type": "actions", "elements": [_button(text=_text(76, "plain_text"))]}],
        [{"type": "actions", "elements": [_button(value="v" * 2001)]}],
        [{"type": "actions", "elements": [_button(url="u" * 3001)]}],
        [{"type": "actions", "elements": [_button(type="select")]}],
    ],
)
async def test_slack_refuses_blocks_beyond_its_limits(served: Serving, blocks: object) -> None:
    body = {"channel": "#ops", "text": "x", "blocks": blocks}
    answer = await _post(f"{served.slack_url}chat.postMessage", body, TOKEN)
    assert answer == (200, {"ok": False, "error": "invalid_blocks"})


async def test_slack_refuses_blocks_that_are_too_long_together(served: Serving) -> None:
    body = {"channel": "#ops", "text": "x", "blocks": [{"type": "section", "text": _text(3000)}] * 5}
    _, answer = await _post(f"{served.slack_url}chat.postMessage", body, TOKEN)
    assert answer["error"] == "msg_blocks_too_long"


async def test_a_press_is_of_a_button_that_the_message_has(served: Serving) -> None:
    blocks = [{"type": "actions", "elements": [_button(value="12")]}]
    await _post(f"{served.slack_url}chat.postMessage", {"channel": "#ops", "text": "x", "blocks": blocks}, TOKEN)
    (received,) = served.inbox.received
    at = datetime(2026, 5, 1, 14, 3, 5, tzinfo=UTC)
    request = press(received, "a", secret="s", at=at, user=("U1", "bob"))
    payload = json.loads(parse_qs(request.body.decode())["payload"][0])
    assert (payload["user"]["name"], payload["actions"][0]["value"]) == ("bob", "12")
    assert payload["container"]["message_ts"] == received.id
    assert request.headers["X-Slack-Request-Timestamp"] == "1777644185"
    with pytest.raises(KeyError):
        press(received, "b", secret="s", at=at)


@pytest.mark.parametrize(
    ("body", "headers", "error"),
    [
        ({"channel": "#ops", "text": "x"}, {}, "not_authed"),
        ({"channel": "#ops", "text": "x"}, {"Authorization": "Bearer wrong"}, "invalid_auth"),
        ({"channel": "", "text": "x"}, TOKEN, "channel_not_found"),
        ({"channel": "#ops"}, TOKEN, "no_text"),
        ({"channel": "#ops", "text": "x" * 40_001}, TOKEN, "msg_too_long"),
        ("no object", TOKEN, "invalid_json"),
    ],
)
async def test_slack_refuses_with_ok_false_under_200(
    served: Serving, body: object, headers: dict[str, str], error: str
) -> None:
    answer = await _post(f"{served.slack_url}chat.postMessage", body, headers)
    assert answer == (200, {"ok": False, "error": error})
    assert not served.inbox.received


async def test_pagerduty_takes_an_event(served: Serving) -> None:
    event = {"routing_key": KEY, "event_action": "trigger", "dedup_key": "k", "payload": PAYLOAD}
    status, answer = await _post(f"{served.url}/v2/enqueue", event)
    assert (status, answer) == (202, {"status": "success", "message": "Event processed", "dedup_key": "k"})
    (received,) = served.inbox.received
    assert (received.thread, received.title, received.text) == ("k", "trigger: down", "a body")
    assert KEY not in str(received)


async def test_pagerduty_gives_a_key_to_an_event_without(served: Serving) -> None:
    _, answer = await _post(
        f"{served.url}/v2/enqueue", {"routing_key": KEY, "event_action": "trigger", "payload": PAYLOAD}
    )
    assert answer["dedup_key"]


@pytest.mark.parametrize(
    ("event", "error"),
    [
        ({"event_action": "trigger", "payload": PAYLOAD}, "Length of 'routing_key' is incorrect"),
        ({"routing_key": "short", "event_action": "trigger", "payload": PAYLOAD}, "Length of 'routing_key'"),
        ({"routing_key": KEY, "event_action": "snooze"}, "'event_action'"),
        ({"routing_key": KEY, "event_action": "resolve"}, "'dedup_key' is missing"),
        ({"routing_key": KEY, "event_action": "resolve", "dedup_key": "k" * 256}, "'dedup_key' is too long"),
        ({"routing_key": KEY, "event_action": "trigger"}, "'payload' is missing"),
        ({"routing_key": KEY, "event_action": "trigger", "payload": PAYLOAD | {"source": ""}}, "'payload.source'"),
        ({"routing_key": KEY, "event_action": "trigger", "payload": PAYLOAD | {"severity": "high"}}, "severity"),
        ({"routing_key": KEY, "event_action": "trigger", "payload": PAYLOAD | {"summary": "x" * 1025}}, "summary"),
        (["no object"], "not a JSON object"),
    ],
)
async def test_pagerduty_refuses_an_invalid_event_with_its_errors(served: Serving, event: object, error: str) -> None:
    status, answer = await _post(f"{served.url}/v2/enqueue", event)
    assert (status, answer["status"]) == (400, "invalid event")
    assert error in answer["errors"][0]
    assert not served.inbox.received


async def test_pagerduty_refuses_more_than_512_kb(served: Serving) -> None:
    status, _ = await _post(f"{served.url}/v2/enqueue", {"routing_key": "x" * 600_000})
    assert status == 413


async def test_pagerduty_takes_a_change_apart_from_alerts(served: Serving) -> None:
    event = {"routing_key": KEY, "payload": {"summary": "shop 1.2.3 deployed", "custom_details": {"message": "by ci"}}}
    status, answer = await _post(f"{served.url}/v2/change/enqueue", event)
    assert (status, answer) == (202, {"status": "success", "message": "Change event processed"})
    assert not served.inbox.of("pagerduty")
    (received,) = served.inbox.of("change")
    assert (received.title, received.text) == ("change: shop 1.2.3 deployed", "by ci")
    assert KEY not in str(received)


@pytest.mark.parametrize(
    ("event", "error"),
    [
        ({"payload": {"summary": "x"}}, "Length of 'routing_key'"),
        ({"routing_key": KEY}, "'payload' is missing"),
        ({"routing_key": KEY, "payload": {}}, "'payload.summary'"),
        ({"routing_key": KEY, "payload": {"summary": "x" * 1025}}, "'payload.summary'"),
        ({"routing_key": KEY, "payload": {"summary": "x"}, "event_action": "trigger"}, "neither"),
    ],
)
async def test_pagerduty_refuses_an_invalid_change(served: Serving, event: object, error: str) -> None:
    status, answer = await _post(f"{served.url}/v2/change/enqueue", event)
    assert status == 400
    assert error in answer["errors"][0]
    assert not served.inbox.received


SIGNED = json.dumps({"key": "k", "title": "down", "body": "it is"}).encode()


def _signature(secret: str, body: bytes = SIGNED) -> str:
    return "v1=" + hmac.new(secret.encode(), b"1777644185." + body, hashlib.sha256).hexdigest()


@pytest.mark.parametrize(
    ("body", "signature", "status"),
    [
        (SIGNED, f"t=1777644185,{_signature('secret')}", 200),
        (SIGNED, f"t=1777644185,{_signature('other')},{_signature('secret')}", 200),
        (SIGNED, f"t=1777644185,{_signature('other')}", 401),
        (SIGNED, f"t=1777644186,{_signature('secret')}", 401),
        (SIGNED + b" ", f"t=1777644185,{_signature('secret')}", 401),
        (SIGNED, "nonsense", 401),
        (SIGNED, "", 401),
        (b"[]", f"t=1777644185,{_signature('secret', b'[]')}", 400),
        (b"{", f"t=1777644185,{_signature('secret', b'{')}", 400),
    ],
)
async def test_a_webhook_is_taken_when_its_signature_is_good(
    inbox: Inbox, body: bytes, signature: str, status: int
) -> None:
    async with serving(inbox, webhook_secret="secret") as served, aiohttp.ClientSession() as session:
        headers = {"Deploywatch-Signature": signature}
        async with session.post(served.webhook_url, data=body, headers=headers) as response:
            assert response.status == status
    assert [(message.thread, message.title, message.text) for message in inbox.of("webhook")] == [
        ("k", "down", "it is")
    ] * (status == 200)


async def test_without_a_secret_a_webhook_must_bear_some_signature(served: Serving) -> None:
    async with aiohttp.ClientSession() as session:
        for headers, status in (({}, 401), ({"Deploywatch-Signature": f"t=1,{_signature('any')}"}, 200)):
            async with session.post(served.webhook_url, data=SIGNED, headers=headers) as response:
                assert response.status == status


async def test_what_was_received_is_listed_shown_and_kept(served: Serving, tmp_path: Path) -> None:
    await _post(f"{served.slack_url}chat.postMessage", {"channel": "#ops", "text": "<script>x</script>"}, TOKEN)
    (listed,) = json.loads(await _get(f"{served.url}/inbox"))
    assert (listed["at"], listed["channel"]) == ("2026-05-01T14:03:05.000+00:00", "slack")
    assert json.loads((tmp_path / "kept" / FILE).read_text()) == listed
    page = await _get(f"{served.url}/")
    assert "&lt;script&gt;" in page
    assert "<script>" not in page
    assert "secret" not in page + str(listed)


def test_the_program_receives_until_it_is_asked_to_end(tmp_path: Path) -> None:
    with ForkedProcesses(tmp_path / "logs") as processes:
        port, smtp = processes.free_port(), processes.free_port()
        command = [sys.executable, "-m", "deploywatch.fakes.inbox", "--http", f"127.0.0.1:{port}"]
        command += ["--smtp", f"127.0.0.1:{smtp}", "--folder", str(tmp_path / "kept")]
        running = python_part(processes, "inbox", command, port=port, ready="/inbox")
        with smtplib.SMTP("127.0.0.1", smtp, timeout=60) as client:
            client.sendmail("a@example.com", ["b@example.com"], "Subject: hello\r\nMessage-ID: <1@x>\r\n\r\nbody\r\n")
        with urlopen(f"{running.url}/inbox", timeout=60) as response:  # noqa: S310 - always http on loopback
            (mail,) = json.load(response)
        assert (mail["channel"], mail["title"], mail["thread"]) == ("email", "hello", "<1@x>")
        running.child.process.send_signal(signal.SIGTERM)
        assert running.child.process.wait(90) == 0
        assert running.child.tail() == f"inbox at http://127.0.0.1:{port}/, mail at 127.0.0.1:{smtp}"


def test_a_port_in_use_is_told(tmp_path: Path) -> None:
    with ForkedProcesses(tmp_path / "logs") as processes:
        port = processes.free_port()
        command = [sys.executable, "-m", "deploywatch.fakes.inbox", "--http", f"127.0.0.1:{port}"]
        python_part(processes, "inbox", command, port=port, ready="/inbox")
        second = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert second.returncode == 1
    assert "cannot listen or write" in second.stderr
    assert "Traceback" not in second.stderr


def test_an_address_without_port_is_a_usage_error() -> None:
    result = CliRunner().invoke(main, ["--http", "nowhere"])
    assert result.exit_code == 2
    assert "is not host:port" in result.output


async def test_mail_without_its_library_says_what_to_install(inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    original = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name.startswith("aiosmtpd"):
            raise ImportError(name)
        return original(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(DeploywatchError, match=r"pip install 'deploywatch\[demo\]'"):
        async with serving(inbox, smtp=("127.0.0.1", 0)):
            pass
