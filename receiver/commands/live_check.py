"""`--config.check --live`: the credentials of every channel are tried, without a message to anybody."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from deploywatch.receiver.messages import Channel, DeliveryError

_CANNOT = "unknowable"


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of one channel; `good` is None where there is no way to try it."""

    channel: str
    good: bool | None
    detail: str

    def __str__(self) -> str:
        """A line for people."""
        how = {True: "good", False: "bad", None: "not tried"}[self.good]
        return f"channels.{self.channel}: {how}: {self.detail}"


async def channels(connected: Mapping[str, Channel]) -> list[Tried]:
    """Try every channel, all at the same time, and close them."""
    tried = await asyncio.gather(*(_try(name, channel) for name, channel in connected.items()))
    for channel in connected.values():
        await channel.close()
    return tried


async def _try(name: str, channel: Channel) -> Tried:
    try:
        return Tried(name, good=True, detail=await channel.check())
    except DeliveryError as error:
        if error.reason == _CANNOT:
            return Tried(name, good=None, detail=error.detail)
        return Tried(name, good=False, detail=str(error))
