"""A message as an email: text and HTML, headers that thread it by incident."""

from __future__ import annotations

import re
import secrets
from binascii import b2a_qp
from datetime import datetime
from email import policy
from email.headerregistry import Address, HeaderRegistry
from email.message import EmailMessage
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from markupsafe import Markup, escape

from deploywatch.pages.environment import templates_in
from deploywatch.receiver.messages import Message
from deploywatch.receiver.rendering.text import cut, line
from deploywatch.receiver.settings.channels.email import MAILBOX, EmailSettings
from deploywatch.receiver.story import IncidentView

SUBJECT_LIMIT: Final = 200
BODY_LIMIT: Final = 12_000
# Message-IDs in other headers too are never folded, nor encoded as words: mail clients would lose the thread.
HEADERS: Final = HeaderRegistry()
# 7bit, and texts as quoted-printable, because not every server on the way takes 8 bits.
_POLICY: Final = policy.SMTP.clone(cte_type="7bit", header_factory=HEADERS)
_MESSAGE_ID: Final = re.compile(r"<[!-;=?-~]{1,250}>")
_LABEL: Final = re.compile(r"^([A-Z][A-Za-z ]{1,24}:)(?= )", re.MULTILINE)
_COLORS: Final = {"critical": "#c62828", "high": "#ef6c00", "medium": "#f9a825"}
_OVER: Final = "#2e7d32"
_OTHER: Final = "#1565c0"
_MAIL: Final = templates_in(Path(__file__).parent / "templates").get_template("mail.html")


def hello(host: str, sender: str) -> str:
    """How to name ourselves: the machine's name, or the sender's domain where that is no full name.

    Servers refuse a name without a dot (504 5.5.2), such as containers have.
    """
    return host if "." in host.strip(".") else address_of(sender).domain


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
    mail["Message-ID"] = f"<{message.id}@{address_of(settings.sender).domain}>"
    mail["Auto-Submitted"] = _fixed("Auto-Submitted", "auto-generated")
    # It comes from the store, but a header of ours must not bear what only looked like an ID once.
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
    return _POLICY.header_factory(name, [address_of(mailbox) for mailbox in mailboxes])


@lru_cache
def address_of(mailbox: str) -> Address:
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
