"""Attacks on a whole receiver by those who hold too little: a narrow credential, a guess, somebody else's name."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.hostile.texts import TEXTS, assert_page, assert_text
from tests.receiver.scene import alert, body
from tests.receiver.sign_in.conftest import USERS, Console, Start

pytestmark = pytest.mark.sqlite_only

NARROW = USERS + "  - {name: staging, token: staging-0123456789, scopes: [webhook], labels: {environment: staging}}\n"
ALL = {"Authorization": "Bearer all-0123456789"}
STAGING = {"Authorization": "Bearer staging-0123456789"}
JSON = {"Content_Type": "application/json"}
PROVEN = {
    "rollback": {"approval": {"secret": "0123456789abcdef"}},
    "announcements": {
        "github": {"secret": "0123456789abcdef"},
        "flux": {"secret": "0123456789abcdef", "environment": "production"},
    },
    "channels": {
        "slack": {"kind": "slack", "token": "xoxb-1", "channel": "#x", "signing_secret": "0123456789abcdef"},
        "pagerduty": {"kind": "pagerduty", "routing_key": "R" * 32, "webhook_secret": "0123456789abcdef"},
    },
}
FORGED = {
    ("POST", "/webhook/slack"): {"X_Slack_Signature": "v0=1", "Content_Type": "application/x-www-form-urlencoded"},
    ("POST", "/webhook/pagerduty"): {"X_PagerDuty_Signature": "v1=1", **JSON},
    ("POST", "/webhook/github"): {"X_Hub_Signature_256": "sha256=1", "X_GitHub_Event": "ping", **JSON},
    ("POST", "/webhook/flux"): {"X_Signature": "sha256=1", **JSON},
    ("GET", "/api/v1/approval?id=1&answer=approve&expires=9999999999&signature=1"): {},
    ("GET", "/api/v1/taken?incident=1&who=ann&expires=9999999999&signature=1"): {},
}


async def _incidents(console: Console) -> dict[str, str]:
    """The status of the incident of each environment."""
    rows = json.loads((await console.ask("GET", "/api/v1/incidents", **ALL)).text)
    return {row["environment"]: row["status"] for row in rows}


@pytest.mark.parametrize("query", ["", "?environment=production", "?environment=staging"])
async def test_the_credential_of_staging_ends_and_changes_nothing_of_production(start: Start, query: str) -> None:
    console: Console = await start(NARROW)
    firing = alert()
    assert (await console.ask("POST", "/webhook/alertmanager", data=body(firing), **ALL, **JSON)).status == 200
    over = json.loads(body(firing))
    over["alerts"][0] |= {"status": "resolved", "endsAt": "2026-05-01T14:00:00Z"}
    over["status"] = "resolved"
    sent = json.dumps(over).encode()
    assert (await console.ask("POST", f"/webhook/alertmanager{query}", data=sent, **STAGING, **JSON)).status == 200
    worse = json.loads(body(firing))
    worse["alerts"][0]["annotations"]["summary"] = "nothing to see here"
    sent = json.dumps(worse).encode()
    assert (await console.ask("POST", f"/webhook/alertmanager{query}", data=sent, **STAGING, **JSON)).status == 200
    assert (await _incidents(console))["production"] == "open"
    text = (await console.ask("GET", "/api/v1/incidents/1", **ALL)).text
    assert "nothing to see here" not in text


async def test_a_session_is_as_narrow_as_what_it_began_with(console: Console) -> None:
    await console.sign_in(name="ben", password="babbage")
    ours = {"Sec_Fetch_Site": "same-origin"}
    for path in ("/incidents/1/acknowledge", "/incidents/1/resolve", "/incidents/1/approve", "/maintenance"):
        assert (await console.ask("POST", path, form={"by": "ann", "note": "x"}, **ours)).status == 403
        assert (await console.ask("POST", f"/api/v1{path}", data={"by": "ann"}, **ours)).status == 403
    for path in ("/-/reload", "/sessions/end-all"):
        assert (await console.ask("POST", path, form={}, **ours)).status == 403
    # A header beside the cookie counts alone, and does not add to what the session may do.
    both = await console.ask("POST", "/api/v1/incidents/1/acknowledge", data={"by": "ann"}, **STAGING)
    assert both.status == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"X_Api_Key": "all-0123456789"},
        {"Cookie": "token=all-0123456789; deploywatch=all-0123456789"},
        {"Proxy_Authorization": "Bearer all-0123456789"},
        {"X_Forwarded_User": "ann", "Remote_User": "ann", "X_Remote_User": "ann"},
        {"Authorization": "Bearer all-0123456789, Bearer x"},
        {"Authorization": "Token all-0123456789"},
        {"Authorization": "Bearer"},
    ],
)
async def test_a_credential_counts_by_its_own_header_alone(console: Console, headers: dict[str, str]) -> None:
    for query in ("", "?access_token=all-0123456789", "?token=all-0123456789", "?by=ann"):
        assert (await console.ask("GET", f"/api/v1/incidents{query}", **headers)).status == 401
        sent = await console.ask("POST", f"/api/v1/incidents/1/acknowledge{query}", data={"by": "ann"}, **headers)
        assert sent.status == 401


@pytest.mark.parametrize(("method", "path"), FORGED)
async def test_forged_signatures_are_counted_and_logged_with_a_limit(
    start: Start, method: str, path: str, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    console: Console = await start(**PROVEN)
    capsys.readouterr()
    caplog.clear()
    for _ in range(20):
        sent: Any = {"data": b"{}"} if method == "POST" else {}
        answer = await console.ask(method, path, **sent, **FORGED[method, path])
        assert answer.status in (401, 403), answer.text
    assert await console.refused("signature") == 20
    said = capsys.readouterr()
    printed = [row for row in (said.out + said.err).splitlines() if "[warning" in row or "level=warning" in row]
    # Where a test before has set logging up, what is logged is no longer printed here.
    logged = [record for record in caplog.records if record.levelname == "WARNING"]
    assert len(printed or logged) == 1


@pytest.mark.parametrize("number", ["session", "screen"])
async def test_guessed_keys_are_counted(console: Console, number: str) -> None:
    before = await console.refused(number)
    for guess in range(5):
        path = f"/screen?key={guess:043d}" if number == "screen" else "/incidents/1"
        answer = await console.page(path, Cookie="" if number == "screen" else f"deploywatch={guess:043d}")
        assert answer.status in (303, 401, 403, 404)
    assert await console.refused(number) == before + 5


@pytest.mark.parametrize("name", TEXTS)
async def test_a_hostile_name_signs_nobody_in_and_is_text_wherever_it_is_told(
    console: Console, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = TEXTS[name][:5000].encode("utf-8", "replace").decode()
    answer = await console.sign_in(name=text, password=text, next=text)
    assert answer.status in (400, 401, 403, 413)
    assert_page(answer.text)
    for path in ("/audit", "/sessions"):
        await console.sign_in(name="ann", password="lovelace")
        assert_page((await console.page(path)).text)
    printed = capsys.readouterr()
    assert_text(printed.err)
