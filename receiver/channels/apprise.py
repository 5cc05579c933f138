"""Apprise: any of the services that its library knows, one URL a channel; it says only whether it went well."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final

from deploywatch.errors import DeploywatchError
from deploywatch.receiver.channels import errors, signs
from deploywatch.receiver.channels.lifetime import Lifetime
from deploywatch.receiver.messages import DeliveryError, Message
from deploywatch.receiver.rendering.text import uncalled
from deploywatch.receiver.settings.channels.apprise import AppriseSettings
from deploywatch.receiver.story import Event

KINDS: Final = {"critical": "failure", "high": "failure", "medium": "warning"}
"""What Apprise calls the severities, for the colours of some services."""

# It writes URLs, and with them secrets, to the log.
logging.getLogger("apprise").setLevel(logging.CRITICAL)


class AppriseChannel:
    """Hands each message to Apprise, whose every failure may pass: it tells a bad token from an outage by nothing."""

    def __init__(self, name: str, settings: AppriseSettings) -> None:
        self.name = name
        self._settings = settings
        self._lifetime = Lifetime()
        self._service = _service(name, settings)

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
        try:
            async with self._lifetime.message(), asyncio.timeout(seconds):
                good = await self._service.async_notify(
                    title=title, body=f"{body}\n{links}", notify_type=kind, body_format="text"
                )
        except TimeoutError as error:
            # Its thread goes on: the message may arrive after all.
            raise errors.timed_out(seconds) from error
        except DeliveryError:
            raise
        # Its plugins raise whatever their libraries do; only the type is shown, as texts have had tokens in them.
        except Exception as error:
            raise DeliveryError("server", f"Apprise broke: {type(error).__name__}", again=True, unsure=True) from None
        if not good:
            raise DeliveryError("server", "Apprise could not send it, and does not say why", again=True)
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


def _service(name: str, settings: AppriseSettings) -> Any:
    try:
        import apprise  # noqa: PLC0415 - an extra, which few need
    except ImportError as error:
        raise DeploywatchError(
            f"channels.{name}: kind: apprise needs its library; install it: pip install 'deploywatch[apprise]'"
        ) from error
    # A redirect would take the token to where nobody configured it; releases before 1.13.1 know no such setting.
    asset = apprise.AppriseAsset(http_redirects=False)
    service = apprise.Apprise(asset=asset)
    if not service.add(settings.url.get_secret_value()):
        raise DeploywatchError(
            f"channels.{name}.url: Apprise knows no such service, or a part of its URL is missing; its documentation "
            "has the form of each service's"
        )
    return service
