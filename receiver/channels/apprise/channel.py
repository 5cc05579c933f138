"""Apprise: any of the services that its library knows, one URL a channel; it says only whether it went well."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
from typing import Final

from deploywatch.errors import DeploywatchError
from deploywatch.receiver.channels import errors, signs
from deploywatch.receiver.channels.apprise import process
from deploywatch.receiver.channels.lifetime import Lifetime
from deploywatch.receiver.messages import DeliveryError, Message
from deploywatch.receiver.rendering.text import uncalled
from deploywatch.receiver.settings.channels.apprise import AppriseSettings
from deploywatch.receiver.story import Event

KINDS: Final = {"critical": "failure", "high": "failure", "medium": "warning"}
"""What Apprise calls the severities, for the colours of some services."""

_FOUND: Final = (
    *("PATH", "HOME", "LANG", "PYTHONPATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"),
    *(name for word in ("http_proxy", "https_proxy", "all_proxy", "no_proxy") for name in (word, word.upper())),
)
"""What its process finds of our environment, which has tokens."""

# It writes URLs, and with them secrets, to the log.
logging.getLogger("apprise").setLevel(logging.CRITICAL)


class AppriseChannel:
    """Hands each message to Apprise, whose every failure may pass: it tells a bad token from an outage by nothing."""

    def __init__(self, name: str, settings: AppriseSettings) -> None:
        self.name = name
        self._settings = settings
        self._lifetime = Lifetime()
        _check(name, settings)

    def wants(self, event: Event) -> bool:
        """Every event is told."""
        return True

    async def send(self, message: Message, reference: str | None) -> str | None:
        """Send the message. Raises DeliveryError, always `again`."""
        seconds = self._settings.timeout.total_seconds()
        # Its services look for names in all text: for some of them it even tells the service whom to call.
        title, body = uncalled(message.title), uncalled(message.body)
        links = "".join(f"\n{name}: {url}" for name, url in message.links)
        kind = "success" if signs.is_over(message) else KINDS.get(message.incident.severity, "info")
        given = {"url": self._settings.url.get_secret_value(), "title": title, "body": f"{body}\n{links}"}
        given |= {"notify_type": kind, "body_format": "text"}
        try:
            async with self._lifetime.message(), asyncio.timeout(seconds):
                code = await _run(json.dumps(given).encode())
        except TimeoutError as error:
            raise errors.timed_out(seconds) from error
        except OSError as error:
            raise DeliveryError("server", f"Apprise could not be started: {error.strerror}", again=True) from error
        if code == process.REFUSED:
            raise DeliveryError("server", "Apprise could not send it, and does not say why", again=True)
        if code:
            raise DeliveryError("server", f"Apprise broke: exit code {code}", again=True, unsure=True)
        return reference

    async def find(self, message: Message, reference: str | None) -> str | None:
        """Nobody can be asked. Raises DeliveryError."""
        raise errors.unknowable("Apprise cannot ask what arrived")

    async def check(self) -> str:
        """Apprise can only send. Raises DeliveryError."""
        raise errors.unknowable("Apprise has no way to try a service without a message")

    async def close(self) -> None:
        """Wait for what is under way."""
        await self._lifetime.end()


async def _run(given: bytes) -> int:
    """Its exit code; the process is over when this is, whatever its service does."""
    running = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", process.__name__),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
        env={name: os.environ[name] for name in _FOUND if name in os.environ},
    )
    try:
        await running.communicate(given)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)
        code = await running.wait()
    return code


def _check(name: str, settings: AppriseSettings) -> None:
    try:
        known = process.service(settings.url.get_secret_value()) is not None
    except ImportError as error:
        raise DeploywatchError(
            f"channels.{name}: kind: apprise needs its library; install it: pip install 'deploywatch[apprise]'"
        ) from error
    if not known:
        raise DeploywatchError(
            f"channels.{name}.url: Apprise knows no such service, or a part of its URL is missing; its documentation "
            "has the form of each service's"
        )
