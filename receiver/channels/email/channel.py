"""Email: text and HTML by SMTP, to several recipients, threaded by incident."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from email.errors import MessageError
from email.headerregistry import MessageIDHeader
from typing import Final

import aiosmtplib

from deploywatch.receiver.channels import errors
from deploywatch.receiver.channels.email.connections import Connections
from deploywatch.receiver.channels.email.message import HEADERS, address_of, compose, hello
from deploywatch.receiver.channels.lifetime import Lifetime
from deploywatch.receiver.messages import DeliveryError, Message, PartlyDeliveredError
from deploywatch.receiver.rendering.text import line
from deploywatch.receiver.settings.channels.email import EmailSettings
from deploywatch.receiver.story import Event

PROGRESS: Final = frozenset({Event.ROLLBACK_STARTED, Event.ROLLBACK_SUCCEEDED})
"""What asks nobody to act, and what the mail about the end says again."""

for _name in ("in-reply-to", "references"):
    HEADERS.map_to_type(_name, MessageIDHeader)  # type: ignore[arg-type] # typeshed has it apart from BaseHeader


class EmailChannel:
    """Sends each message as one mail to all recipients."""

    def __init__(
        self, name: str, settings: EmailSettings, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self.name = name
        self._settings = settings
        self._clock = clock
        self._lifetime = Lifetime()
        self._connections = Connections(self._new)
        self._context: ssl.SSLContext | None = None  # made once: that reads every authority of this machine

    def wants(self, event: Event) -> bool:
        """Every event is told; that a rollback began or succeeded only where the config asks for progress."""
        return event not in PROGRESS or self._settings.progress

    async def send(self, message: Message, reference: str | None) -> str | None:
        """Send the mail; the reference is the Message-ID of the incident's first. Raises DeliveryError.

        Recipients that the server refuses while it takes others make it a PartlyDeliveredError: to send again to all
        would tell the others twice.
        """
        mail = compose(message, self._settings, reference=reference, at=self._clock())
        recipients = (message.recipient,) if message.recipient else _bare(self._settings.recipients)
        try:
            async with self._lifetime.message(), asyncio.timeout(self._settings.timeout.total_seconds()):
                refused = _answers(await self._connections.send(mail, recipients))
        except aiosmtplib.SMTPRecipientsRefused as error:
            answers = {refusal.recipient: f"{refusal.code} {refusal.message}" for refusal in error.recipients}
            # All refused in the same way: one failure says as much, and is tried again or not as a whole.
            if len(answers) == 1 or len({answer[0] for answer in answers.values()}) == 1:
                raise _failure(error, self._settings) from None
            # Nobody has got it, but some may later: each by itself.
            raise PartlyDeliveredError(None, _shown(answers, self._settings)) from None
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            # Not from the error: its text is what the server said, and that is not masked.
            raise _failure(error, self._settings) from None
        sent = reference or str(mail["Message-ID"])
        if refused:
            raise PartlyDeliveredError(sent, _shown(refused, self._settings))
        return sent

    async def find(self, message: Message, reference: str | None) -> str | None:
        """Nobody can be asked; but both mails bear the same Message-ID. Raises DeliveryError."""
        raise errors.unknowable("a mail server cannot be asked what arrived")

    async def check(self) -> str:
        """Log in and name sender and recipients to the server, but send no mail. Raises DeliveryError."""
        settings = self._settings
        try:
            async with self._lifetime.message(), asyncio.timeout(settings.timeout.total_seconds()):
                await self._connections.try_out(address_of(settings.sender).addr_spec, _bare(settings.recipients))
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            raise _failure(error, settings) from None
        return "the mail server takes login, sender and recipients" if settings.username else "the mail server answers"

    async def close(self) -> None:
        """Leave the mail server."""
        await self._lifetime.end()
        await self._connections.close()

    def _new(self) -> aiosmtplib.SMTP:
        settings = self._settings
        if self._context is None and settings.security != "none":
            self._context = ssl.create_default_context(cafile=settings.ca_file)
        return aiosmtplib.SMTP(
            hostname=settings.host,
            port=settings.port,
            username=settings.username,
            password=settings.password.get_secret_value() if settings.password else None,
            local_hostname=settings.hello or hello(socket.gethostname(), settings.sender),
            timeout=settings.timeout.total_seconds(),
            use_tls=settings.security == "tls",
            start_tls=settings.security == "starttls",
            tls_context=self._context,
        )


def _bare(mailboxes: tuple[str, ...]) -> tuple[str, ...]:
    """The addresses without their names."""
    return tuple(address_of(mailbox).addr_spec for mailbox in mailboxes)


def _answers(refused: dict[str, aiosmtplib.SMTPResponse]) -> dict[str, str]:
    return {who: f"{answer.code} {answer.message}" for who, answer in refused.items()}


def _shown(answers: dict[str, str], settings: EmailSettings) -> dict[str, str]:
    """What the server said of each, on one line and without our password."""
    return {who: line(errors.scrub(answer, (settings.password,)), 200) for who, answer in answers.items()}


def _failure(error: Exception, settings: EmailSettings) -> DeliveryError:
    secrets = (settings.password,)
    detail = errors.told(error, secrets)
    match error:
        case TimeoutError():
            return errors.timed_out(settings.timeout.total_seconds())
        case aiosmtplib.SMTPAuthenticationError(code=code):
            # 454 is a temporary failure of the server's own, not a wrong password.
            return DeliveryError("credentials", detail, again=code < 500)
        case aiosmtplib.SMTPRecipientsRefused(recipients=refused):
            answers = _shown({refusal.recipient: f"{refusal.code} {refusal.message}" for refusal in refused}, settings)
            every = "; ".join(f"{who} was refused: {answer}" for who, answer in answers.items())
            return DeliveryError("rejected", line(every, 300), again=any(refusal.code < 500 for refusal in refused))
        case aiosmtplib.SMTPResponseException(code=code):
            return DeliveryError("server" if code < 500 else "rejected", detail, again=code < 500)
        case aiosmtplib.SMTPServerDisconnected() | OSError():
            return errors.unconnected(error, secrets)
        case ValueError() | MessageError():
            return DeliveryError("rejected", detail, again=False)
        case _:
            # No STARTTLS, no AUTH: perhaps a server in trouble, and another try costs little.
            return DeliveryError("rejected", detail, again=True)
