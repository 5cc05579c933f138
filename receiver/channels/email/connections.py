"""Connections to a mail server, kept for a few seconds: to connect, secure and log in costs more than a mail does."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from email.message import EmailMessage
from typing import Final

from aiosmtplib import SMTP, SMTPException, SMTPResponse

IDLE_SECONDS: Final = 5.0
"""For how long at least a connection is kept that nobody uses; twice that at most."""
# A connection that a firewall has dropped in silence never answers RSET.
_ALIVE_SECONDS: Final = 2.0


class Connections:
    """Sends mails, each by a connection that has none under way; `new` makes one that is still to be connected."""

    def __init__(self, new: Callable[[], SMTP]) -> None:
        self._new = new
        self._idle: deque[tuple[SMTP, float]] = deque()
        self._ending: asyncio.Task[None] | None = None

    async def send(self, mail: EmailMessage, recipients: Sequence[str] | None = None) -> dict[str, SMTPResponse]:
        """Send it, to all whom it names or to these; who was refused comes back, where others were not.

        Raises what aiosmtplib raises.
        """
        # The one used last: it is the least likely to have been dropped, and the others may grow old and end.
        client = self._idle.pop()[0] if self._idle else None
        try:
            if client is None or not await _alive(client):
                client = self._new()
                await client.connect()
            refused, _ = await client.send_message(mail, recipients=list(recipients) if recipients else None)
        # Also when cancelled: in the middle of DATA the connection is of no use to another mail.
        except BaseException:
            if client is not None:
                client.close()
            raise
        self._keep(client)
        return refused

    async def try_out(self, sender: str, recipients: Sequence[str]) -> None:
        """Connect, log in, and name sender and recipients, but send nothing. Raises what aiosmtplib raises."""
        client = self._new()
        try:
            await client.connect()
            await client.mail(sender)
            for recipient in recipients:
                # RCPT is what servers refuse unknown recipients at; nothing is sent before DATA.
                await client.rcpt(recipient)
            await client.rset()
        finally:
            await _leave(client)

    async def close(self) -> None:
        """Leave the server; no mail may be under way."""
        if self._ending is not None:
            self._ending.cancel()
            await asyncio.gather(self._ending, return_exceptions=True)
        while self._idle:
            await _leave(self._idle.popleft()[0])

    def _keep(self, client: SMTP) -> None:
        self._idle.append((client, asyncio.get_running_loop().time()))
        if self._ending is None or self._ending.done():
            self._ending = asyncio.create_task(self._end_idle(), name="mail-idle")

    async def _end_idle(self) -> None:
        while self._idle:
            await asyncio.sleep(IDLE_SECONDS)
            over = asyncio.get_running_loop().time() - IDLE_SECONDS
            while self._idle and self._idle[0][1] <= over:
                await _leave(self._idle.popleft()[0])


async def _alive(client: SMTP) -> bool:
    """Whether the server is still there: were that found out while a mail is sent, nobody would know if it arrived."""
    try:
        await client.rset(timeout=_ALIVE_SECONDS)
    except (SMTPException, OSError):
        client.close()
        return False
    return True


async def _leave(client: SMTP) -> None:
    try:
        with contextlib.suppress(SMTPException, OSError):
            await client.quit()
    finally:
        client.close()
