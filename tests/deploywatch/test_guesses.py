"""Who guesses passwords is counted and seen, and keeps nobody else from being answered."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import bcrypt
import pytest
from prometheus_client import CollectorRegistry

from deploywatch.access import guesses
from deploywatch.access.guesses import PENDING, PENDING_OF_ONE, BusyError, Guesses, Refusal
from tests.deploywatch.conftest import Start
from tests.deploywatch.test_webconfig import basic


@pytest.fixture
def file(tmp_path: Path) -> Path:
    hashed = bcrypt.hashpw(b"lovelace", bcrypt.gensalt(10)).decode()
    path = tmp_path / "web.yml"
    path.write_text(f"basic_auth_users:\n  ada: {hashed}\n")
    return path


async def test_wrong_passwords_are_counted_and_logged_with_a_limit(start: Start, file: Path) -> None:
    sample = start("--web.config.file", file)
    for wrong in (*(basic("ada", f"guess {n}") for n in range(5)), "Basic !", "Bearer x", ""):
        assert (await sample.ask("/metrics", authorization=wrong)).status == 401
    text = (await sample.ask("/metrics", authorization=basic("ada", "lovelace"))).text
    for reason, count in (("password", 5), ("malformed", 1), ("token", 1), ("missing", 1), ("busy", 0)):
        assert f'deploywatch_http_refused_credentials_total{{reason="{reason}"}} {count}.0' in text
    lines = [line for line in sample.child.log.read_text().splitlines() if "credentials refused" in line]
    assert len(lines) == 3  # one a reason: password, malformed, token
    assert "guess" not in "".join(lines)


async def test_forty_guessers_keep_nobody_waiting(start: Start, file: Path) -> None:
    sample = start("--web.config.file", file)
    good = basic("ada", "lovelace")
    assert (await sample.ask("/metrics", authorization=good)).status == 200
    wrong = [sample.ask("/metrics", authorization=basic("ada", f"guess {n}")) for n in range(40)]
    *refused, answered = await asyncio.gather(*wrong, sample.ask("/metrics", authorization=good))
    assert answered.status == 200
    assert {answer.status for answer in refused} == {401, 429}
    assert all(answer.headers["retry-after"] == "1" for answer in refused if answer.status == 429)


async def test_one_address_has_few_places_and_others_keep_theirs() -> None:
    held, guessed = threading.Event(), Guesses()

    def work() -> bool:
        return held.wait(240)

    def sent(number: int, remote: str) -> asyncio.Task[bool]:
        return asyncio.ensure_future(guessed.check(str(number).encode(), remote, work))

    try:
        first = [sent(number, "10.0.0.1") for number in range(PENDING_OF_ONE)]
        same = sent(0, "10.0.0.2")  # the same header, which is being checked already
        others = [sent(100 + number, f"10.0.1.{number}") for number in range(PENDING - PENDING_OF_ONE)]
        await asyncio.sleep(0)
        with pytest.raises(BusyError):
            await guessed.check(b"more", "10.0.0.1", work)
        with pytest.raises(BusyError):
            await guessed.check(b"more", "10.0.9.9", work)
    finally:
        held.set()
    assert all(await asyncio.gather(*first, same, *others))
    assert await guessed.check(b"more", "10.0.0.1", work)


def test_the_next_line_says_how_many_were_not_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[dict[str, object]] = []
    monkeypatch.setattr(guesses.log, "warning", lambda _, **facts: lines.append(facts), raising=False)
    now = 0.0
    guessed = Guesses(lambda: now)
    for _ in range(30):
        guessed.note(Refusal.PASSWORD, "10.0.0.1")
    now = 10.0
    guessed.note(Refusal.PASSWORD, "10.0.0.2")
    assert [(facts["remote"], facts["not_logged"]) for facts in lines] == [("10.0.0.1", 0), ("10.0.0.2", 29)]
    registry = CollectorRegistry()
    registry.register(guessed)
    assert registry.get_sample_value("deploywatch_http_refused_credentials_total", {"reason": "password"}) == 31
