"""What is told to people: the events of an incident, the message about one, and what a channel does with it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol, runtime_checkable

from deploywatch.receiver.story import DeploymentView, Event, IncidentView

APPROVE: Final = "Approve"
REJECT: Final = "Reject"
"""Names of the links by which a person says yes or no."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How the incident's first message should read by now, on a channel that can change it."""

    title: str
    body: str


CALLS: Final = frozenset(
    {
        *(Event.OPENED, Event.WORSENED, Event.ESCALATED, Event.REMINDER, Event.APPROVAL_WANTED, Event.DEGRADATION),
        *(Event.APPROVAL_EXPIRED, Event.ROLLBACK_FAILED, Event.ROLLBACK_UNKNOWN, Event.ROLLBACK_REFUSED),
    }
)
"""Events after which a person must act."""
QUIET_SEVERITIES: Final = frozenset({"medium", "low"})
"""What waits until somebody looks; any other severity, also one that nobody knows, calls."""


@dataclass(frozen=True, slots=True)
class Late:
    """Why a message says once more how it stands: one about `event` was sent late, after newer ones.

    `began` are the ids of the incident's messages on this channel that began a trouble of their own: a late one may
    have brought up again what another has ended.
    """

    event: Event
    began: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Message:
    """A story in words: `title` is one line of plain text, `body` several; channels escape and shape both.

    `id` names the message on one channel, and stays the same however often it is sent. `dedup_key` stays the same for
    the incident's whole life. `at` is when it happened. `standing` is there when the
    event changes the incident's state, `expires` when an approval is wanted. `recipient` is the one of the channel's
    recipients that has not got it yet, where the others have. `late` is there when it only says how it stands now.
    `as_of` is when the incident was read for it: what came later it does not say.
    """

    event: Event
    incident: IncidentView
    title: str
    body: str
    dedup_key: str
    id: str
    links: tuple[tuple[str, str], ...] = ()
    at: datetime | None = None
    standing: Standing | None = None
    expires: datetime | None = None
    recipient: str = ""
    late: Late | None = None
    as_of: datetime | None = None

    def trouble_key(self, limit: int, began: str = "") -> str:
        """A key of its own for the trouble that this message begins, however often it is sent; `limit` in characters.

        `began` is the id of another message, for the trouble which that one began. Whoever acknowledged an incident's
        smaller trouble, or the one before, is not to hide what begins now. The severity is not in it: the incident may
        have become worse from one try to the next.
        """
        # The key is cut and never the suffix, which is all that tells two troubles apart.
        suffix = f"-{(began or self.id)[:8]}"
        return f"{self.dedup_key[: limit - len(suffix)]}{suffix}"

    def other_keys(self, limit: int, current: str) -> list[str]:
        """The keys of the incident's other troubles, where one of them may have come up again late."""
        if self.late is None:
            return []
        keys = [self.dedup_key[:limit], *(self.trouble_key(limit, began) for began in self.late.began)]
        return [key for key in keys if key != current]

    @property
    def acknowledges_no_more(self) -> bool:
        """Whether an acknowledgement was sent late that counts no more, so that nobody would be called."""
        incident = self.incident
        late = self.late is not None and self.late.event is Event.ACKNOWLEDGED
        return late and incident.resolved_at is None and incident.acknowledged_at is None

    @property
    def calls_somebody(self) -> bool:
        """Whether somebody is to be called, or woken: a person must act, and it does not wait till the morning."""
        if self.event not in CALLS or self.incident.resolved_at:
            return False
        return self.event is Event.ESCALATED or self.incident.severity not in QUIET_SEVERITIES


def identity(*parts: object) -> str:
    """A name of 32 letters and digits that follows from these parts."""
    # With a byte between them that no part has: `a`, `bc` and `ab`, `c` are two identities.
    return hashlib.sha256("\0".join(map(str, parts)).encode("utf-8", "replace")).hexdigest()[:32]


class DeliveryError(Exception):
    """A channel could not hand the message over.

    `reason` is a bounded word for metrics (`timeout`, `connection`, `rate_limited`, `rejected`, `credentials`,
    `server`, `recipient`, `unknowable`, `internal`); `again` says whether trying again can help, `after` how long the
    other side asks to wait, `unsure` that the message may have arrived all the same.
    """

    def __init__(
        self, reason: str, detail: str, *, again: bool, after: timedelta | None = None, unsure: bool = False
    ) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
        self.again = again
        self.after = after
        self.unsure = unsure


class PartlyDeliveredError(DeliveryError):
    """Some of a channel's recipients got the message, others did not; those are to be tried each by itself.

    `reference` is what `send` would have returned, None where nobody got it; `refused` says of each of the others what
    was said against it.
    """

    def __init__(self, reference: str | None, refused: Mapping[str, str]) -> None:
        super().__init__("recipient", "; ".join(f"{who}: {why}" for who, why in refused.items()), again=True)
        self.reference = reference
        self.refused = refused


class Channel(Protocol):
    """One way to tell people. `send` returns a reference that comes back with the incident's next message."""

    def wants(self, event: Event) -> bool:
        """Whether this channel tells anybody about such an event; sending one that it does not want does nothing."""
        ...

    async def send(self, message: Message, reference: str | None) -> str | None:
        """Hand the message over; DeliveryError when that fails.

        `reference` is what the first message of the incident returned on this channel: Slack's thread, for one.
        """
        ...

    async def find(self, message: Message, reference: str | None) -> str | None:
        """What `send` would have returned, when the message arrived although its sending was cut off.

        None when it did not, or when sending it again changes nothing. DeliveryError when that cannot be told now
        (`again`), or never.
        """
        ...

    async def check(self) -> str:
        """Try the credentials without telling anybody anything; what was found, in a sentence.

        DeliveryError when they are not good; with the reason `unknowable` when this channel has no way to try.
        """
        ...

    async def close(self) -> None:
        """Give connections back, once the messages under way are done; sending then is a DeliveryError, `again`."""
        ...


@runtime_checkable
class ChangeChannel(Protocol):
    """A channel that is also told of deployments, whether or not there is an incident."""

    async def change(self, deployment: DeploymentView) -> None:
        """Tell of a deployment that began, or how it ended; DeliveryError when that fails."""
        ...
