"""A mail server's connections are used again, and one that has gone costs no mail."""

from __future__ import annotations

import asyncio
from email.message import EmailMessage

import pytest
from aiosmtplib import SMTP, SMTPException

from deploywatch.fakes.inbox import Inbox, Reply, Serving
from deploywatch.receiver.channels.email import connections as email_connections
from deploywatch.receiver.channels.email.connections import Connections


class _Counted:
    """Makes connections to the inbox's mail server, and remembers them."""

    def __init__(self, served: Serving) -> None:
        self.made: list[SMTP] = []
        host, _, port = served.smtp.rpartition(":")
        self._where = (host, int(port))

    def __call__(self) -> SMTP:
        self.made.append(SMTP(hostname=self._where[0], port=self._where[1], timeout=60, start_tls=False))
        return self.made[-1]


@pytest.fixture
def counted(served: Serving) -> _Counted:
    return _Counted(served)


def _mail() -> EmailMessage:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "deploywatch@example.com", "ops@example.com", "hello"
    mail.set_content("hello")
    return mail


async def test_mails_one_after_another_share_a_connection(inbox: Inbox, counted: _Counted) -> None:
    connections = Connections(counted)
    for _ in range(3):
        await connections.send(_mail())
    assert (len(counted.made), len(inbox.of("email"))) == (1, 3)
    await connections.close()
    assert not counted.made[0].is_connected


async def test_mails_at_the_same_time_have_one_each(inbox: Inbox, counted: _Counted) -> None:
    connections = Connections(counted)
    await asyncio.gather(*(connections.send(_mail()) for _ in range(3)))
    assert (len(counted.made), len(inbox.of("email"))) == (3, 3)
    await connections.close()


async def test_a_connection_that_has_gone_is_replaced_before_the_mail_is_sent(inbox: Inbox, counted: _Counted) -> None:
    connections = Connections(counted)
    await connections.send(_mail())
    counted.made[0].close()
    await connections.send(_mail())
    assert (len(counted.made), len(inbox.of("email"))) == (2, 2)
    await connections.close()


async def test_after_a_failure_the_connection_is_not_used_again(inbox: Inbox, counted: _Counted) -> None:
    connections = Connections(counted)
    inbox.script_mail(Reply("DATA", "451 4.3.0 later"))
    with pytest.raises(SMTPException):
        await connections.send(_mail())
    await connections.send(_mail())
    assert [one.is_connected for one in counted.made] == [False, True]
    await connections.close()


async def test_a_connection_that_nobody_uses_is_left(counted: _Counted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(email_connections, "IDLE_SECONDS", 0.01)
    connections = Connections(counted)
    await connections.send(_mail())
    async with asyncio.timeout(120):
        while counted.made[0].is_connected:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)
    await connections.close()
