"""What those who act work with: settings, store, channels, templates, and the clock."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import aiohttp

from deploywatch import secrets
from deploywatch.clock import Now, Sleep, utc_now
from deploywatch.receiver.messages import Channel
from deploywatch.receiver.rendering.templates import Templates
from deploywatch.receiver.settings.config import ReceiverConfig
from deploywatch.receiver.store import Store


@dataclass(slots=True)
class Context:
    """One for a receiver; a reload replaces settings, templates and channels.

    `composing` is what is being put into words, by incident and event.
    """

    settings: ReceiverConfig
    store: Store
    templates: Templates
    channels: Mapping[str, Channel]
    http: aiohttp.ClientSession
    clock: Now = utc_now
    sleep: Sleep = asyncio.sleep
    composing: dict[tuple[int, bytes], asyncio.Task[Any]] = field(default_factory=dict)
    started_at: datetime = field(init=False)

    def __post_init__(self) -> None:
        """It stands from now on."""
        self.started_at = self.clock()

    def conceal(self, text: str) -> str:
        """What a program or a server said, without the secrets that it may have been given."""
        return secrets.conceal(text, self.settings, secrets.named(self.settings.commands.environment))
