"""An inbox to send to, and what every channel is tried with."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme

from deploywatch.fakes.inbox import Inbox, MailRules, Serving, serving

SLACK_TOKEN = "xoxb-secret-token-of-the-bot"
ROUTING_KEY = "R0UT1NGKEY0123456789abcdefSECRET"
SIGNING_SECRET = "5l4ck51gn1ngsecret"
WEBHOOK_SECRET = "webhook-secret-of-32-characters!"
SMTP_PASSWORD = "smtp-secret-password"


@pytest.fixture
def inbox() -> Inbox:
    """What the channels sent."""
    return Inbox()


@pytest.fixture
async def served(inbox: Inbox) -> AsyncIterator[Serving]:
    """The inbox on free ports, its mail server without TLS."""
    async with serving(inbox, smtp=("127.0.0.1", 0), slack_token=SLACK_TOKEN, webhook_secret=WEBHOOK_SECRET) as running:
        yield running


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ssl.SSLContext]:
    """A certificate authority's file, and a server's context with a certificate of its for 127.0.0.1."""
    issuer = trustme.CA()
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    issuer.cert_pem.write_to_path(path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issuer.issue_cert("127.0.0.1").configure_cert(context)
    return path, context


@pytest.fixture
async def secured(inbox: Inbox, authority: tuple[Path, ssl.SSLContext]) -> AsyncIterator[Serving]:
    """The inbox with STARTTLS and a login."""
    rules = MailRules(certificate=authority[1], login=("deploywatch", SMTP_PASSWORD))
    async with serving(inbox, smtp=("127.0.0.1", 0), mail=rules) as running:
        yield running
