"""Email: text and HTML by SMTP, to several recipients, threaded by incident."""

from __future__ import annotations

import asyncio
import re
import secrets
import socket
import ssl
from binascii import b2a_qp
from collections.abc import Callable
from datetime import UTC, datetime
from email import policy
from email.errors import MessageError
from email.headerregistry import Address, HeaderRegistry, MessageIDHeader
from email.message import EmailMessage
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import aiosmtplib
from markupsafe import Markup, escape

from deploywatch.pages.environment import templates_in
from deploywatch.receiver.channels import errors
from deploywatch.receiver.channels.email.connections import Connections
from deploywatch.receiver.channels.lifetime import Lifetime
from deploywatch.receiver.messages import DeliveryError, Message, PartlyDeliveredError
from deploywatch.receiver.rendering.filters import cut, line
from deploywatch.receiver.settings.channels.email import MAILBOX, EmailSettings
from deploywatch.receiver.story import Event, IncidentView

SUBJECT_LIMIT: Final = 200
PROGRESS: Final = frozenset({Event.ROLLBACK_STARTED, Event.ROLLBACK_SUCCEEDED})
"""What asks nobody to act, and what the mail about the end says again."""
BODY_LIMIT: Final = 12_000

# Message-IDs in other headers too are never folded, nor encoded as words: mail clients would lose the thread.
_HEADERS: Final = HeaderRegistry()
for _name in ("in-reply-to", "references"):
    _HEADERS.map_to_type(_name, MessageIDHeader)  # type: ignore[arg-type] # typeshed has it apart from BaseHeader
# 7bit, and texts as quoted-printable, because not every server on the way takes 8 bits.
_POLICY: Final = policy.SMTP.clone(cte_type="7bit", header_factory=_HEADERS)
_MESSAGE_ID: Final = re.compile(r"<[!-;=?-~]{1,250}>")

_LABEL: Final = re.compile(r"^([A-Z][A-Za-z ]{1,24}:)(?= )", re.MULTILINE)
_COLORS: Final = {"critical": "#c62828", "high": "#ef6c00", "medium": "#f9a825"}
_OVER: Final = "#2e7d32"
_OTHER: Final = "#1565c0"
_MAIL: Final = templates_in(Path(__file__).parent / "templates").get_template("mail.html")


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
            if len(answers) == 1 or len({answer[0] for answer in answers.values()}) == 1:
                raise _failure(error, self._settings) from None
            # Nobody has got it, but some may later: each by itself.
            raise PartlyDeliveredError(reference, _shown(answers, self._settings)) from None
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
                await self._connections.try_out(_address(settings.sender).addr_spec, _bare(settings.recipients))
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


def hello(host: str, sender: str) -> str:
    """How to name ourselves: the machine's name, or the sender's domain where that is no full name.

    Servers refuse a name without a dot (504 5.5.2), such as containers have.
    """
    return host if "." in host.strip(".") else _address(sender).domain


def _subject(message: Message) -> str:
    severity = _plain(line(message.incident.severity, 20))
    return cut(f"[{severity}] {_plain(line(message.title, SUBJECT_LIMIT))}", SUBJECT_LIMIT)


def compose(message: Message, settings: EmailSettings, *, reference: str | None, at: datetime) -> EmailMessage:
    """The mail: what comes from alerts stands on one line in headers and is escaped in HTML.

    The Message-ID is the message's own, so that a mail sent twice after a crash is one mail to most servers.
    """
    mail = EmailMessage(policy=_POLICY)
    mail["Subject"] = _subject(message)
    mail["From"] = _people("From", settings.sender)
    mail["To"] = _people("To", *settings.recipients)
    mail["Date"] = at
    mail["Message-ID"] = f"<{message.id}@{_address(settings.sender).domain}>"
    mail["Auto-Submitted"] = _fixed("Auto-Submitted", "auto-generated")
    if reference and _MESSAGE_ID.fullmatch(reference):
        mail["In-Reply-To"] = reference
        mail["References"] = reference
    mail["MIME-Version"] = _fixed("MIME-Version", "1.0")
    # Random, so that no alert can bear it.
    mail["Content-Type"] = f'multipart/alternative; boundary="=_{secrets.token_hex(16)}"'
    mail.attach(_part("plain", _text(message)))
    mail.attach(_part("html", _html(message)))
    return mail


def _plain(text: str) -> str:
    """Text of others in a header: `=?` begins an encoded word, which some libraries read, line ends and all."""
    return text.replace("=?", "= ?")


def _part(subtype: str, text: str) -> EmailMessage:
    """Made by hand: `set_content` parses each header anew, four times over."""
    part = EmailMessage(policy=_POLICY)
    part["Content-Type"] = _fixed("Content-Type", f'text/{subtype}; charset="utf-8"')
    part["Content-Transfer-Encoding"] = _fixed("Content-Transfer-Encoding", "quoted-printable")
    part.set_payload(b2a_qp(text.encode(), istext=True).decode())
    return part


@lru_cache
def _fixed(name: str, value: str) -> Any:
    """The header, parsed once: mails differ in others."""
    return _POLICY.header_factory(name, value)


@lru_cache
def _people(name: str, *mailboxes: str) -> Any:
    """The header with these addresses, which are parsed once."""
    return _POLICY.header_factory(name, [_address(mailbox) for mailbox in mailboxes])


@lru_cache
def _address(mailbox: str) -> Address:
    match = MAILBOX.fullmatch(mailbox)
    name, address = (match["name"] or "", match["bare"] or match["named"]) if match else ("", mailbox)
    return Address(display_name=name, addr_spec=address)


def _text(message: Message) -> str:
    links = "".join(f"\n{name}: {url}" for name, url in message.links)
    return f"{message.title}\n\n{cut(message.body, BODY_LIMIT)}\n{links}\n"


def _html(message: Message) -> str:
    body = Markup(_LABEL.sub(r"<b>\1</b>", str(escape(cut(message.body, BODY_LIMIT)))))  # noqa: S704 # nosec B704 - escaped before
    return _MAIL.render(title=message.title, body=body, links=message.links, color=_color(message.incident))


def _color(incident: IncidentView) -> str:
    """What says at a glance how bad it is."""
    return _OVER if incident.resolved_at else _COLORS.get(incident.severity, _OTHER)


def _bare(mailboxes: tuple[str, ...]) -> tuple[str, ...]:
    """The addresses without their names."""
    return tuple(_address(mailbox).addr_spec for mailbox in mailboxes)


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
