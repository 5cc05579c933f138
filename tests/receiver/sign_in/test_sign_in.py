"""People sign in once, come back to where they were, and can be signed out again."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select

from deploywatch.pages import live
from deploywatch.receiver.sign_in.local_path import local_path
from deploywatch.receiver.sign_in.refusals import MOST
from deploywatch.receiver.sign_in.sessions import APPROVES_FOR, LASTS
from deploywatch.receiver.store.console_schema import sessions
from deploywatch.receiver.store.people_schema import audit
from tests.receiver.scene import SECOND
from tests.receiver.sign_in.conftest import ANN, BEN, USERS, Console, Start

pytestmark = pytest.mark.sqlite_only
SCRIPT = {"Accept": "*/*", "Sec_Fetch_Mode": "cors", "Sec_Fetch_Site": "same-origin"}


async def test_a_browser_is_sent_to_the_sign_in_and_comes_back_to_where_it_was(console: Console) -> None:
    sent = await console.page("/incidents/1?from=slack")
    assert (sent.status, sent.location) == (303, "/sign-in?next=/incidents/1%3Ffrom%3Dslack")
    shown = await console.page(sent.location)
    assert shown.status == 200
    assert 'value="/incidents/1?from=slack"' in shown.text
    back = await console.sign_in(name="ann", password="lovelace", next="/incidents/1?from=slack")
    assert (back.status, back.location) == (303, "/incidents/1?from=slack")
    assert (await console.page(back.location)).status == 200


async def test_programs_and_scripts_hear_what_they_always_heard(console: Console) -> None:
    program = await console.ask("GET", "/api/v1/incidents")
    assert (program.status, program.headers["WWW-Authenticate"][:5]) == (401, "Basic")
    script = await console.ask("GET", "/", **SCRIPT)
    # The browser does not ask for a password in the middle of a page.
    assert (script.status, script.headers["WWW-Authenticate"][:6]) == (401, "Bearer")
    wrong = await console.page("/", Authorization="Bearer other")
    assert wrong.status == 401
    assert (await console.ask("GET", "/", Authorization="Bearer duty-token-0123456789")).status == 200


async def test_the_cookie_is_for_this_server_alone_and_no_script_reads_it(console: Console) -> None:
    answer = await console.sign_in(name="ann", password="lovelace")
    (header,) = [value for name, value in answer.headers.items() if name == "Set-Cookie"]
    assert header.startswith("deploywatch=")  # over plain HTTP browsers keep no __Host- cookie
    parts = {part.strip() for part in header.split(";")[1:]}
    assert parts == {"HttpOnly", f"Max-Age={LASTS // SECOND}", "Path=/", "SameSite=Lax"}


async def test_behind_tls_the_cookie_has_the_prefix_that_no_neighbour_can_set(start: Start) -> None:
    console: Console = await start(external_url="https://ops.example.com/watch/")
    answer = await console.sign_in(name="ann", password="lovelace", next="/incidents/1")
    assert answer.headers["Set-Cookie"].startswith("__Host-deploywatch=")
    assert {"HttpOnly", "Secure", "Path=/", "SameSite=Lax"} < {
        part.strip() for part in answer.headers["Set-Cookie"].split(";")
    }
    assert answer.location == "/watch/incidents/1"
    assert (await console.page("/")).status == 200
    console.cookie = console.cookie.removeprefix("__Host-")
    assert (await console.page("/")).location == "/watch/sign-in?next=/"


async def test_the_store_does_not_have_what_the_browser_holds(console: Console) -> None:
    await console.sign_in(name="ann", password="lovelace")
    rows = await console.context.store.read(lambda c: [dict(row) for row in c.execute(select(sessions)).mappings()])
    assert len(rows) == 1
    key = console.cookie.partition("=")[2]
    assert len(key) >= 43
    assert key not in str(rows)
    assert "lovelace" not in str(rows)


async def test_a_token_with_a_name_signs_in_as_that_name_and_others_do_not(console: Console) -> None:
    assert (await console.sign_in(token="nameless-0123456789")).status == 401
    assert (await console.sign_in(token="unknown")).status == 401
    assert (await console.sign_in(token=" duty-token-0123456789\n")).status == 303
    shown = await console.page("/sessions")
    assert "duty phone" in shown.text
    assert "May: read, respond." in shown.text
    reload = await console.ask("POST", "/-/reload")
    assert (reload.status, "admin" in reload.text) == (403, True)


async def test_sign_ins_and_refusals_stand_in_the_audit(console: Console) -> None:
    await console.sign_in(name="ann", password="wrong")
    await console.sign_in(token="unknown")
    await console.sign_in(name="ann", password="lovelace")
    await console.ask("POST", "/sign-out", form={})
    assert await console.audit() == [
        ("sessions.refuse", "ann", False),
        ("sessions.refuse", "a token", False),
        ("sessions.begin", "ann", True),
        ("sessions.end", "ann", True),
    ]
    assert await console.refused("password") == 1
    assert await console.refused("token") == 1


async def test_who_guesses_has_to_wait_and_the_next_name_does_not(console: Console) -> None:
    statuses = [(await console.sign_in(name="ann", password=f"guess {n}")).status for n in range(12)]
    assert statuses == [401] * 10 + [429] * 2
    waits = await console.sign_in(name="ann", password="lovelace")
    assert waits.status == 429
    assert 1 <= int(waits.headers["Retry-After"]) <= 60
    # By the header it is the same door.
    assert (await console.ask("GET", "/", Authorization="Basic YW5uOmxvdmVsYWNl")).status == 429
    assert (await console.sign_in(name="ben", password="babbage")).status == 303
    assert await console.refused("guessing") == 4


async def test_a_guesser_does_not_fill_the_audit_and_what_is_left_out_is_said(console: Console) -> None:
    for number in range(MOST + 3):
        await console.sign_in(name=f"name {number}", password="x")
    written = await console.audit()
    assert len(written) == MOST
    console.clock.advance(timedelta(minutes=1))
    await console.sign_in(name="one more", password="x")
    rows = await console.context.store.read(lambda c: list(c.execute(select(audit.c.who, audit.c.detail))))
    assert tuple(rows[-1]) == ("one more", {"not_written_before": 3})


async def test_a_session_ends_when_it_is_signed_out_here_and_everywhere(console: Console) -> None:
    await console.sign_in(name="ann", password="lovelace")
    first = console.cookie
    await console.sign_in(name="ann", password="lovelace", Cookie="")
    # Who signs in again in the same browser leaves no second session behind.
    assert (await console.page("/", Cookie=first)).status == 303
    second, console.cookie = console.cookie, ""
    await console.sign_in(name="ann", password="lovelace")
    third = console.cookie
    out = await console.ask("POST", "/sign-out", form={"everywhere": "yes"})
    assert (out.status, out.location) == (303, "/sign-in")
    assert out.cookies["deploywatch"]["max-age"] == "0"
    for cookie in (second, third):
        assert (await console.page("/", Cookie=cookie)).status == 303
    assert await console.refused("session") == 3


async def test_who_administers_signs_everybody_out(console: Console) -> None:
    await console.sign_in(name="ben", password="babbage")
    ben, console.cookie = console.cookie, ""
    await console.sign_in(name="ann", password="lovelace")
    assert (await console.ask("POST", "/sessions/end-all", Cookie=ben)).status == 403
    assert (await console.page("/", Cookie=ben)).status == 200
    assert (await console.ask("POST", "/sessions/end-all")).status == 303
    for cookie in (ben, console.cookie):
        assert (await console.page("/", Cookie=cookie)).status == 303


async def test_one_ends_one_s_own_sessions_and_nobody_else_s(console: Console) -> None:
    await console.sign_in(name="ann", password="lovelace")
    ann, console.cookie = console.cookie, ""
    (row,) = await console.context.store.read(lambda c: list(c.execute(select(sessions.c.id)).scalars()))
    await console.sign_in(name="ben", password="babbage")
    await console.ask("POST", "/sessions/end", form={"session": row})
    assert (await console.page("/", Cookie=ann)).status == 200
    await console.ask("POST", "/sessions/end", form={"session": row}, Cookie=ann)
    assert (await console.page("/", Cookie=ann)).status == 303


async def test_a_session_lasts_thirty_days(console: Console) -> None:
    await console.sign_in(name="ben", password="babbage")
    console.clock.advance(LASTS - SECOND)
    assert (await console.page("/")).status == 200
    console.clock.advance(SECOND)
    assert (await console.page("/")).status == 303


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        (USERS, 200),
        (USERS.replace("scopes: [read]}", "scopes: [respond]}"), 403),
        (USERS.replace(BEN, ANN), 303),
        (USERS.replace(f", ben: {BEN}", "").replace("  - {user: ben, scopes: [read]}\n", ""), 303),
    ],
)
async def test_what_the_web_config_says_now_counts(console: Console, changed: str, status: int) -> None:
    await console.sign_in(name="ben", password="babbage")
    console.web_file.write_text(changed)
    console.access.reload()
    assert (await console.page("/")).status == status


async def test_a_token_that_is_taken_away_takes_its_sessions_along(console: Console) -> None:
    await console.sign_in(token="duty-token-0123456789")
    console.web_file.write_text(USERS.replace("duty-token-0123456789", "another-0123456789"))
    console.access.reload()
    assert (await console.page("/")).status == 303


async def test_to_approve_one_signs_in_again_after_twelve_hours(console: Console) -> None:
    await console.sign_in(name="ann", password="lovelace")
    approve = {"by": "ann"}
    assert (await console.ask("POST", "/api/v1/incidents/1/approve", data=approve)).status == 404  # nothing is asked
    console.clock.advance(APPROVES_FOR)
    refused = await console.ask("POST", "/api/v1/incidents/1/approve", data=approve)
    assert (refused.status, "sign in again" in refused.text) == (403, True)
    assert (await console.ask("POST", "/api/v1/incidents/1/acknowledge", data=approve)).status == 200
    assert "sign in again" in (await console.page("/sessions")).text
    again = await console.page("/sign-in?next=/incidents/1&again=1")
    assert "twelve hours" in again.text
    await console.sign_in(name="ann", password="lovelace", next="/incidents/1")
    assert (await console.ask("POST", "/api/v1/incidents/1/approve", data=approve)).status == 404  # nothing is asked


async def test_a_session_is_good_under_the_name_at_which_it_began(console: Console) -> None:
    await console.sign_in(name="ann", password="lovelace")
    assert (await console.page("/")).status == 200
    assert (await console.page("/", Host="evil.example")).status == 303


async def test_a_receiver_without_credentials_says_that_nobody_needs_to_sign_in(start: Start) -> None:
    console: Console = await start("")
    assert (await console.page("/")).status == 200
    assert "Nobody needs to sign in here" in (await console.page("/sign-in")).text


@pytest.mark.parametrize(
    "hostile",
    [
        "https://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "/\t/evil.example",
        "/ /evil.example",
        "javascript:alert(1)",
        "",
        "incidents/1",
        "/../..//evil.example",
        "/.//evil.example",
        "/x\r\nSet-Cookie: a=b",
        "/sign-in?next=/",
        "/sign-out",
        "/\u2028",
        "/" + "x" * 5000,
    ],
)
async def test_nobody_is_sent_to_another_server(hostile: str) -> None:
    assert local_path(hostile) == "/"


async def test_a_path_of_ours_is_kept() -> None:
    assert local_path("/incidents/7?from=slack#x") == "/incidents/7?from=slack#x"
    assert local_path("/?status=all") == "/?status=all"


@pytest.mark.parametrize("how", ["/sign-out", "/sessions/end-all"])
async def test_a_session_that_is_ended_hears_nothing_more(
    console: Console, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(live, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(live, "STILL_SECONDS", 0.02)
    assert (await console.sign_in(name="ann", password="lovelace")).status == 303
    headers = {"Cookie": console.cookie}
    async with console.http.get(f"{console.url}/live", headers=headers, ssl=console.tls) as stream:
        assert (await stream.content.readuntil(b"\n\n")).startswith(b'data: {"change": ')
        ended = await console.ask("POST", how, form={})
        assert ended.status == 303
        assert b"trouble" not in await stream.content.read()  # it ends by itself
    async with console.http.get(f"{console.url}/live", headers=headers, ssl=console.tls) as again:
        assert again.status == 401
    metrics = (await console.ask("GET", "/metrics", Authorization="Bearer all-0123456789")).text
    assert 'deploywatch_live_ended_total{reason="revoked"} 1.0' in metrics
