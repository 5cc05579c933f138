"""PagerDuty's webhooks v3: verify that PagerDuty signed the request, and say who did what to which alert."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from deploywatch import json_text
from deploywatch.errors import DeploywatchError
from deploywatch.receiver.rendering.text import line
from deploywatch.secrets import Masked

NAME_LIMIT: Final = 100
_PREFIX: Final = "v1="
_OF_PAGERDUTY: Final = re.compile(r"(?s:.*) \(PagerDuty \S+\)|PagerDuty \S+")


class Did(StrEnum):
    """What was done in PagerDuty that counts here, by a person, or by a rule such as the end of an acknowledgement."""

    ACKNOWLEDGED = "incident.acknowledged"
    RESOLVED = "incident.resolved"
    UNACKNOWLEDGED = "incident.unacknowledged"
    REOPENED = "incident.reopened"
    REASSIGNED = "incident.reassigned"
    ESCALATED = "incident.escalated"
    DELEGATED = "incident.delegated"
    PRIORITY_UPDATED = "incident.priority_updated"


PEOPLE_ONLY: Final = frozenset({Did.ACKNOWLEDGED, Did.RESOLVED})
"""What counts by a person's word alone, as we do the same by our own integration."""
HANDED_ON: Final = frozenset({Did.REASSIGNED, Did.ESCALATED, Did.DELEGATED})
"""What gives the incident to somebody else."""


class Unused(StrEnum):
    """Why a verified event changes nothing."""

    PING = "ping"
    UNKNOWN_EVENT = "unknown_event"
    NOT_A_PERSON = "not_a_person"


@dataclass(frozen=True, slots=True)
class PersonDid:
    """A person did something to the alert of this deduplication key."""

    did: Did
    dedup_key: str
    user_id: str
    user_name: str
    status: str = ""
    """Of the incident in PagerDuty afterwards: `triggered` when nobody there has it."""
    whom: str = ""
    """To whom it is given, or the priority that it was given; may be empty."""

    @property
    def who(self) -> str:
        """`Ann Lee (PagerDuty PABC123)`."""
        return f"{self.user_name} (PagerDuty {self.user_id})" if self.user_name else f"PagerDuty {self.user_id}"

    @property
    def gives_back(self) -> bool:
        """Whether nobody in PagerDuty has it in hand any more, as far as the event tells."""
        return self.did in (Did.UNACKNOWLEDGED, Did.REOPENED) or (
            self.did in HANDED_ON and self.status != "acknowledged"
        )


def is_of_pagerduty(who: str | None) -> bool:
    """Whether that is the name of somebody who did something in PagerDuty, as `PersonDid.who` writes it."""
    return bool(who and _OF_PAGERDUTY.fullmatch(who))


class PagerDutyRequestError(DeploywatchError):
    """The request is not PagerDuty's (`forged`, answered with 401), or is not understood (`malformed`, with 400)."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason


def verify(header: str, body: bytes, secrets: Iterable[tuple[str, Masked]]) -> frozenset[str]:
    """The channels whose webhook secret signed these very bytes. Raises PagerDutyRequestError when there is none.

    The header has several signatures, with commas, while a secret is replaced.
    """
    given = [part.strip().encode("utf-8", "replace") for part in header.split(",") if part.strip().startswith(_PREFIX)]
    # Every channel is looked at: two may have the same secret, or one of them an old one.
    signed = set()
    for name, secret in secrets:
        expected = sign(secret, body).encode()
        if any(hmac.compare_digest(expected, signature) for signature in given):
            signed.add(name)
    if not signed:
        raise PagerDutyRequestError("forged", "no PagerDuty channel has the webhook_secret that signed this")
    return frozenset(signed)


def sign(secret: Masked, body: bytes) -> str:
    """PagerDuty's signature, version 1."""
    return _PREFIX + hmac.new(secret.get_secret_value().encode(), body, hashlib.sha256).hexdigest()


def parse(body: bytes) -> PersonDid | Unused:
    """What a verified request tells of. Raises PagerDutyRequestError for what is no event.

    What an integration did, and so we ourselves, comes back as an event too: to acknowledge and to resolve, only
    people's word counts. That an acknowledgement ended is PagerDuty's own doing, and counts.
    """
    event = _event(body)
    kind, agent, data = event.get("event_type"), event.get("agent"), event.get("data")
    if kind == "pagey.ping":
        return Unused.PING
    if kind not in set(Did):
        return Unused.UNKNOWN_EVENT
    agent = agent if isinstance(agent, dict) else {}
    # Our own resolve comes back as an event; taken for a person's word, it would be written to the timeline as theirs.
    if kind in PEOPLE_ONLY and agent.get("type") not in ("user_reference", "user"):
        return Unused.NOT_A_PERSON
    data = data if isinstance(data, dict) else {}
    # Our dedup_key, by which we know which incident it is.
    key = data.get("incident_key")
    if not isinstance(key, str) or not key:
        raise PagerDutyRequestError("malformed", "$.event.data.incident_key is missing")
    user_id, name = line(str(agent.get("id") or "?"), 30), line(str(agent.get("summary") or ""), NAME_LIMIT)
    whom = _names(data.get("priority")) if kind == Did.PRIORITY_UPDATED else _names(data.get("assignees"))
    return PersonDid(Did(kind), key, user_id, name, status=str(data.get("status") or ""), whom=whom)


def _names(given: Any) -> str:
    """What references of PagerDuty's are called, in one bounded line; empty where they do not say."""
    references = given if isinstance(given, list) else [given]
    objects = [reference for reference in references if isinstance(reference, dict)]
    names = [str(reference.get("summary") or reference.get("id") or "") for reference in objects]
    return line(", ".join(filter(None, names)), NAME_LIMIT)


def _event(body: bytes) -> Mapping[str, Any]:
    try:
        payload = json_text.parse(body)
    except ValueError as error:
        raise PagerDutyRequestError("malformed", "the body is not JSON") from error
    event = payload.get("event") if isinstance(payload, dict) else None
    if not isinstance(event, dict):
        raise PagerDutyRequestError("malformed", "$.event is missing; subscribe with webhooks v3")
    return event
