"""Email: what arrives is read back by the mail parser; STARTTLS, TLS, login, and what each refusal means."""

from __future__ import annotations

import re
import ssl
from dataclasses import replace
from email import message_from_string, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import aiosmtplib
import pytest

from deploywatch.fakes.inbox import Inbox, MailRules, Reply, Serving, serving
from deploywatch.receiver.channels.email.channel import EmailChannel
from deploywatch.receiver.channels.email.message import compose, hello
from deploywatch.receiver.messages import DeliveryError, PartlyDeliveredError
from deploywatch.receiver.settings.channels.email import EmailSettings
from deploywatch.receiver.story import Event
from tests.receiver.channels.conftest import SMTP_PASSWORD
from tests.receiver.channels.limits import check_email
from tests.receiver.channels.stories import (
    AWKWARD,
    HOSTILE,
    INCIDENT,
    NOW,
    TEMPLATES,
    file_name,
    message,
    same_as_golden,
)

GOLDEN = Path(__file__).parent / "golden" / "email"


def _settings(served: Serving | None = None, **changes: object) -> EmailSettings:
    plain = {
        "kind": "email",
        "smtp": served.smtp if served else "smtp.example.com",
        "security": "none",
        "sender": "deploywatch <deploywatch@example.com>",
        "recipients": ["ops@example.com", "Team lead <lead@example.com>"],
        "timeout": "10s",
    }
    return EmailSettings.model_validate(plain | changes)


def _channel(served: Serving, **changes: object) -> EmailChannel:
    return EmailChannel("mail", _settings(served, **changes), clock=lambda: NOW)


def _parsed(inbox: Inbox) -> list[EmailMessage]:
    return [message_from_string(message.raw["source"], policy=policy.default) for message in inbox.of("email")]


def _body(mail: EmailMessage, subtype: str) -> str:
    part = mail.get_body((subtype,))
    assert part is not None
    return str(part.get_content()).replace("\r\n", "\n")


def _written(mail: EmailMessage) -> str:
    check_email(mail)
    names = ("Subject", "From", "To", "Date", "In-Reply-To", "References", "Auto-Submitted")
    # A folded header's first line may be empty, and older Pythons leave the fold's space in its value.
    headers = "".join(f"{name}: {str(mail[name]).strip()}\n" for name in names)
    return f"{headers}\n{_body(mail, 'plain')}\n{_body(mail, 'html')}"


@pytest.mark.parametrize("event", Event)
async def test_each_event_arrives_as_committed(served: Serving, inbox: Inbox, event: Event) -> None:
    await _channel(served).send(message(event), "<first@example.com>")
    (mail,) = _parsed(inbox)
    same_as_golden(GOLDEN / f"{event}.txt", _written(mail))


@pytest.mark.parametrize("name", AWKWARD)
async def test_awkward_messages_arrive_as_committed(served: Serving, inbox: Inbox, name: str) -> None:
    message = TEMPLATES.render(AWKWARD[name])
    await _channel(served).send(message, "<first@example.com>")
    (mail,) = _parsed(inbox)
    assert _body(mail, "plain").startswith(f"{message.title}\n\n{message.body[:100]}")
    assert inbox.of("email")[0].raw["source"].isascii()
    same_as_golden(GOLDEN / "awkward" / file_name(name, ".txt"), _written(mail))


@pytest.mark.parametrize("name", AWKWARD)
def test_every_event_keeps_to_the_limits_with_awkward_data(name: str) -> None:
    for event in Event:
        message = TEMPLATES.render(replace(AWKWARD[name], event=event))
        check_email(compose(message, _settings(), reference=None, at=NOW))


async def test_all_recipients_get_one_mail(served: Serving, inbox: Inbox) -> None:
    await _channel(served).send(message(), None)
    (received,) = inbox.of("email")
    assert received.raw["to"] == ["ops@example.com", "lead@example.com"]
    assert received.raw["from"] == "deploywatch@example.com"


@pytest.mark.parametrize("domain", ["example.com", "a-very-long-name." * 8 + "example.com"])
async def test_later_mails_belong_to_the_thread_of_the_first(served: Serving, inbox: Inbox, domain: str) -> None:
    channel = _channel(served, sender=f"deploywatch@{domain}")
    reference = await channel.send(message(Event.OPENED), None)
    assert await channel.send(message(Event.RESOLVED), reference) == reference
    first, second = _parsed(inbox)
    assert first["Message-ID"] == reference
    assert first["In-Reply-To"] is None
    assert second["In-Reply-To"] == second["References"] == reference
    assert second["Message-ID"] != reference
    assert {message.thread for message in inbox.of("email")} == {reference}
    assert "=?utf-8?" not in inbox.of("email")[1].raw["source"].split("\n\n")[0].split("References")[1]


def test_a_mail_sent_twice_bears_the_same_id_and_another_message_another() -> None:
    settings = _settings()
    first = compose(message(), settings, reference=None, at=NOW)
    again = compose(message(), settings, reference=None, at=NOW.replace(hour=20))
    other = compose(message(Event.ESCALATED), settings, reference=None, at=NOW)
    assert first["Message-ID"] == again["Message-ID"] != other["Message-ID"]


async def test_line_ends_and_markup_in_alerts_are_inert(served: Serving, inbox: Inbox) -> None:
    raw = replace(
        message(), title=HOSTILE, body=HOSTILE.replace("\ud800", ""), incident=replace(INCIDENT, severity=HOSTILE)
    )
    await _channel(served).send(replace(raw, title=HOSTILE.replace("\ud800", "")), "<a@b>\r\nBcc: evil@example.com")
    (mail,) = _parsed(inbox)
    assert mail["Bcc"] is None
    assert mail["In-Reply-To"] is None
    assert "Bcc: evil@example.com" in mail["Subject"]
    assert "<script" not in _body(mail, "html")
    assert "&lt;script&gt;" in _body(mail, "html")
    assert inbox.of("email")[0].raw["to"] == ["ops@example.com", "lead@example.com"]


async def test_starttls_and_login(secured: Serving, inbox: Inbox, authority: tuple[Path, ssl.SSLContext]) -> None:
    login = {"username": "deploywatch", "password": SMTP_PASSWORD, "ca_file": authority[0], "security": "starttls"}
    await _channel(secured, **login).send(message(), None)
    (received,) = inbox.of("email")
    assert received.raw["tls"] is True


async def test_tls_from_the_start(inbox: Inbox, authority: tuple[Path, ssl.SSLContext]) -> None:
    rules = MailRules(certificate=authority[1], tls_from_start=True)
    async with serving(inbox, smtp=("127.0.0.1", 0), mail=rules) as served:
        await _channel(served, security="tls", ca_file=authority[0]).send(message(), None)
    assert len(inbox.of("email")) == 1


async def test_a_certificate_that_nobody_vouches_for_is_refused(secured: Serving, inbox: Inbox) -> None:
    with pytest.raises(DeliveryError) as raised:
        await _channel(secured, security="starttls").send(message(), None)
    assert (raised.value.reason, raised.value.again) == ("connection", True)
    assert not inbox.received


async def test_a_server_without_starttls_gets_nothing(served: Serving, inbox: Inbox) -> None:
    with pytest.raises(DeliveryError) as raised:
        await _channel(served, security="starttls").send(message(), None)
    assert (raised.value.reason, raised.value.again) == ("rejected", True)
    assert not inbox.received


async def test_a_wrong_password_is_told_as_credentials(
    secured: Serving, authority: tuple[Path, ssl.SSLContext]
) -> None:
    login = {"username": "deploywatch", "password": "wrong-password", "ca_file": authority[0], "security": "starttls"}
    with pytest.raises(DeliveryError) as raised:
        await _channel(secured, **login).send(message(), None)
    assert (raised.value.reason, raised.value.again) == ("credentials", False)
    assert "wrong-password" not in str(raised.value)


@pytest.mark.parametrize(
    ("replies", "reason", "again"),
    [
        ([Reply("DATA", "451 4.3.0 later")], "server", True),
        ([Reply("DATA", "554 5.7.1 spam")], "rejected", False),
        ([Reply("MAIL", "452 4.3.1 full")], "server", True),
        ([Reply("MAIL", "550 5.1.8 no such sender")], "rejected", False),
        ([Reply("RCPT", "550 5.1.1 unknown"), Reply("RCPT", "550 5.1.1 unknown")], "rejected", False),
        ([Reply("RCPT", "550 5.1.1 unknown"), Reply("RCPT", "450 4.2.0 grey")], "recipient", True),
        ([Reply("DATA", reset=True)], "connection", True),
    ],
    ids=str,
)
async def test_each_refusal_has_a_reason_and_says_whether_to_try_again(
    served: Serving, inbox: Inbox, replies: list[Reply], reason: str, again: bool
) -> None:
    inbox.script_mail(*replies)
    with pytest.raises(DeliveryError) as raised:
        await _channel(served).send(message(), None)
    assert (raised.value.reason, raised.value.again) == (reason, again)
    assert not inbox.received


async def test_in_a_thread_too_nobody_has_got_what_each_recipient_refused_for_a_reason_of_its_own(
    served: Serving, inbox: Inbox
) -> None:
    inbox.script_mail(Reply("RCPT", "550 5.1.1 unknown"), Reply("RCPT", "450 4.2.0 grey"))
    with pytest.raises(PartlyDeliveredError) as raised:
        await _channel(served).send(message(), "<the-first@example.com>")
    assert raised.value.reference is None
    assert len(raised.value.refused) == 2


@pytest.mark.parametrize("answer", ["550 5.1.1 unknown", "451 4.7.1 greylisted"])
async def test_one_refused_recipient_does_not_keep_the_others_from_hearing_and_is_named(
    served: Serving, inbox: Inbox, answer: str
) -> None:
    inbox.script_mail(Reply("RCPT", answer))
    with pytest.raises(PartlyDeliveredError) as raised:
        await _channel(served).send(message(), None)
    (received,) = inbox.of("email")
    assert received.raw["to"] == ["lead@example.com"]
    assert raised.value.reference == received.raw["headers"]["Message-ID"]
    ((who, why),) = raised.value.refused.items()
    assert answer in why
    await _channel(served).send(replace(message(), recipient=who), None)
    assert inbox.of("email")[1].raw["to"] == [who]
    assert inbox.of("email")[1].raw["headers"]["Message-ID"] == raised.value.reference


@pytest.mark.parametrize(
    ("host", "name"),
    [("vm", "example.com"), ("vm.", "example.com"), ("mx.inner.example", "mx.inner.example")],
)
def test_it_names_itself_by_a_full_name(host: str, name: str) -> None:
    assert hello(host, "Operations <ops@example.com>") == name


async def test_the_name_to_say_hello_with_can_be_configured(served: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    names: list[str] = []
    ehlo = aiosmtplib.SMTP.ehlo

    async def recorded(self: aiosmtplib.SMTP, *args: Any, **more: Any) -> Any:
        names.append(str(self.local_hostname))
        return await ehlo(self, *args, **more)

    monkeypatch.setattr(aiosmtplib.SMTP, "ehlo", recorded)
    await _channel(served, hello="deploywatch.example.com").send(message(), None)
    assert set(names) == {"deploywatch.example.com"}


async def test_credentials_and_recipients_are_tried_without_a_mail(
    served: Serving, secured: Serving, inbox: Inbox, authority: tuple[Path, ssl.SSLContext]
) -> None:
    login = {"username": "deploywatch", "password": SMTP_PASSWORD, "ca_file": authority[0], "security": "starttls"}
    assert await _channel(secured, **login).check() == "the mail server takes login, sender and recipients"
    with pytest.raises(DeliveryError, match="credentials"):
        await _channel(secured, **{**login, "password": "wrong-password"}).check()
    inbox.script_mail(Reply("RCPT", "550 5.1.1 unknown"))
    with pytest.raises(DeliveryError, match="550"):
        await _channel(served).check()
    assert not inbox.received


async def test_a_slow_server_is_a_timeout(served: Serving, inbox: Inbox) -> None:
    inbox.script_mail(Reply("MAIL", wait=True))
    with pytest.raises(DeliveryError, match=r"timeout: no answer within 0\.3 s") as raised:
        await _channel(served, timeout="300ms").send(message(), None)
    assert raised.value.again


async def test_no_server_is_a_connection_failure(served: Serving) -> None:
    with pytest.raises(DeliveryError) as raised:
        await _channel(served, smtp="127.0.0.1:1").send(message(), None)
    assert (raised.value.reason, raised.value.again) == ("connection", True)


@pytest.mark.parametrize(
    ("smtp", "security", "host", "port"),
    [
        ("smtp.example.com", "starttls", "smtp.example.com", 587),
        ("smtp.example.com", "tls", "smtp.example.com", 465),
        ("smtp.example.com", "none", "smtp.example.com", 25),
        ("smtp.example.com:2525", "none", "smtp.example.com", 2525),
        ("[::1]:2525", "none", "::1", 2525),
    ],
)
def test_the_port_follows_from_the_security_when_left_out(smtp: str, security: str, host: str, port: int) -> None:
    settings = _settings(smtp=smtp, security=security)
    assert (settings.host, settings.port) == (host, port)


def test_nothing_that_an_alert_says_begins_an_encoded_word_a_header_or_a_line() -> None:
    attack = "=?utf-8?q?=0D=0AFrom:_boss@example.com=0D=0A=0D=0Apay?= \r\nBcc: x@example.com ="
    hostile = message()
    words = replace(hostile.incident, severity=attack)
    for attacked in (
        replace(hostile, title=attack),
        replace(hostile, incident=words),
        replace(hostile, title="=" * 80),
    ):
        source = compose(attacked, _settings(), reference=None, at=NOW).as_bytes()
        head = source.replace(b"\r\n", b"\n").partition(b"\n\n")[0].decode()
        names = [row.partition(":")[0] for row in head.split("\n") if row[0] not in " \t"]
        plain = compose(message(), _settings(), reference=None, at=NOW)
        assert sorted(names) == sorted(plain.keys())
        parsed = message_from_string(source.decode(), policy=policy.default)
        assert "boss" not in str(parsed["From"])
        assert "\n" not in str(parsed["Subject"])


@pytest.mark.parametrize(
    "end", ["\r\n.\r\n", "\n.\n", "\r.\r", "\n.\r\n", "\r\n.\n", "\r\n.\r", "\x0b.\x0b", "\u2028.\u2028"]
)
async def test_no_second_mail_hides_in_what_an_alert_says(served: Serving, inbox: Inbox, end: str) -> None:
    """As by SMTP smuggling: mail servers differ in what ends a mail."""
    attack = f"down{end}MAIL FROM:<boss@example.com>\r\nRCPT TO:<ceo@example.com>\r\nDATA\r\nSubject: pay{end}"
    told = replace(message(), title=attack, body=f"What: {attack}\n.\n..\nFrom ann")
    channel = _channel(served)
    await channel.send(told, None)
    await channel.send(message(Event.RESOLVED), None)
    await channel.close()
    first, second = inbox.of("email")
    assert first.raw["to"] == second.raw["to"] == ["ops@example.com", "lead@example.com"]
    source = compose(told, _settings(), reference=None, at=NOW).as_bytes()
    assert b"\r" not in source.replace(b"\r\n", b"\n")
    whole = _parsed(inbox)[0]
    assert "From ann" in _body(whole, "plain")
    assert "From ann" in _body(whole, "html")


@pytest.mark.parametrize("name", ["x> <evil@e.example", "=?utf-8?q?=0D=0AX:_y?=", "a@b>,<c@d", "\ufffd\r\nX: y"])
async def test_no_service_s_name_stands_in_a_header_that_threads(name: str, served: Serving, inbox: Inbox) -> None:
    incident = replace(INCIDENT, service=name, environment=name)
    channel = _channel(served)
    first = await channel.send(TEMPLATES.render(replace(AWKWARD["no alerts"], incident=incident)), None)
    await channel.send(TEMPLATES.render(replace(AWKWARD["no alerts"], incident=incident, event=Event.RESOLVED)), first)
    await channel.close()
    for mail in _parsed(inbox):
        for header in ("Message-ID", "In-Reply-To", "References"):
            assert mail[header] is None or re.fullmatch(r"<[\w.-]+@example\.com>", str(mail[header]).strip()), mail[
                header
            ]
        assert "X" not in mail
