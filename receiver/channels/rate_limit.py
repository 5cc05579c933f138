"""Keeps to a channel's rate: the next message has its turn, or comes back later when that is too far off."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta

from deploywatch.receiver.messages import DeliveryError


class Pace:
    """One turn in each `interval`; whoever would wait longer than `patience` is sent back to the queue.

    `clock` gives monotonic seconds.
    """

    def __init__(
        self,
        interval: timedelta,
        *,
        patience: timedelta,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[object]],
    ) -> None:
        self._interval = interval.total_seconds()
        self._patience = patience.total_seconds()
        self._clock = clock
        self._sleep = sleep
        self._next = clock()

    async def turn(self) -> None:
        """Wait for the next turn; DeliveryError, which says for how long to wait, when it is too far off."""
        now = self._clock()
        wait = max(self._next - now, 0.0)
        if wait > self._patience:
            detail = f"the channel's rate is used up for {wait:.1f} s"
            raise DeliveryError("rate_limited", detail, again=True, after=timedelta(seconds=wait))
        # The turn is taken before the sleep, so that whoever asks next is given the one behind it.
        self._next = now + wait + self._interval
        if wait:
            await self._sleep(wait)

    def hold(self, pause: timedelta) -> None:
        """Give no turn before the pause that the other side asked for is over."""
        self._next = max(self._next, self._clock() + pause.total_seconds())
