"""The inbox's mail server: takes every mail, with STARTTLS, TLS from the start, and a login where asked to."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from deploywatch.errors import DeploywatchError
from deploywatch.fakes.http import Closing
from deploywatch.fakes.store import Inbox, Reply


@dataclass(frozen=True, slots=True)
class MailRules:
    """How mail is taken: `certificate` offers STARTTLS (or TLS from the start), `login` asks for user and password."""

    certificate: ssl.SSLContext | None = None
    tls_from_start: bool = False
    login: tuple[str, str] | None = None


async def listen(host: str, port: int, inbox: Inbox, closing: Closing, rules: MailRules) -> asyncio.Server:
    """Start the mail server; DeploywatchError when the library for it is missing."""
    try:
        from aiosmtpd.smtp import SMTP, AuthResult  # noqa: PLC0415 - only the demo and the tests have it
    except ImportError as error:
        raise DeploywatchError(
            "the inbox takes mail by aiosmtpd; install it: pip install 'deploywatch[demo]'"
        ) from error

    def authenticate(_server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> Any:
        user, password = rules.login or ("", "")
        good = (data.login, data.password) == (user.encode(), password.encode())
        return AuthResult(success=good, handled=False)

    def connection() -> asyncio.Protocol:
        protocol: asyncio.Protocol = SMTP(
            _Handler(inbox, closing),
            hostname="inbox",
            ident="deploywatch inbox",
            tls_context=None if rules.tls_from_start else rules.certificate,
            authenticator=authenticate if rules.login else None,
            auth_required=rules.login is not None,
            auth_require_tls=rules.certificate is not None and not rules.tls_from_start,
            loop=asyncio.get_running_loop(),
        )
        return protocol

    context = rules.certificate if rules.tls_from_start else None
    return await asyncio.get_running_loop().create_server(connection, host, port, ssl=context)


class _Handler:
    """aiosmtpd's hooks; their names are its."""

    def __init__(self, inbox: Inbox, closing: Closing) -> None:
        self._inbox = inbox
        self._closing = closing

    async def handle_MAIL(self, server: Any, _: Any, envelope: Any, address: str, options: list[str]) -> str:  # noqa: N802
        scripted = await self._scripted(server, "MAIL")
        if scripted is None:
            envelope.mail_from = address
            envelope.mail_options.extend(options)
        return scripted or "250 OK"

    async def handle_RCPT(self, server: Any, _: Any, envelope: Any, address: str, options: list[str]) -> str:  # noqa: N802
        scripted = await self._scripted(server, "RCPT")
        if scripted is None:
            envelope.rcpt_tos.append(address)
            envelope.rcpt_options.extend(options)
        return scripted or "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        scripted = await self._scripted(server, "DATA")
        if scripted is None:
            _keep(self._inbox, envelope, secured=session.ssl is not None)
        return scripted or "250 OK"

    async def _scripted(self, server: Any, command: str) -> str | None:
        reply: Reply | None = self._inbox.next_reply(command)
        if reply is None:
            return None
        if reply.wait:
            await self._closing.event.wait()
        if reply.reset:
            server.transport.abort()
        return reply.text or "451 4.3.0 try again later"


def _keep(inbox: Inbox, envelope: Any, *, secured: bool) -> None:
    content = bytes(envelope.content)
    mail: EmailMessage = message_from_bytes(content, policy=policy.default)
    plain = mail.get_body(("plain",))
    references = str(mail["References"] or mail["Message-ID"] or "").split()
    inbox.keep(
        "email",
        thread=references[0] if references else "",
        title=str(mail["Subject"] or "").strip(),
        text=str(plain.get_content()) if plain else "",
        raw={
            "from": envelope.mail_from,
            "to": list(envelope.rcpt_tos),
            "headers": {name: str(value) for name, value in mail.items()},
            "tls": secured,
            "source": content.decode("utf-8", "replace"),
        },
    )
