"""Whose approval counts: of what they saw, while it is fresh, in a role of theirs, and not for their own change."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from deploywatch.receiver.deployments.approvals import GateApproval
from deploywatch.receiver.rendering.lookalikes import folded
from deploywatch.receiver.settings.verification import Verification

UNNAMED: Final = "nobody says who deploys, and who deploys may not approve it"
FOR = " for "
"""Between the name that the server verified and the one that was claimed."""


def names(by: str) -> frozenset[str]:
    """The names that somebody goes by, folded: `ann for bob` is Ann's credential with Bob's name."""
    return frozenset(map(folded, by.split(FOR)))


def refused(
    approval: GateApproval, artifact: str, deployer: str, settings: Verification, *, now: datetime, within: timedelta
) -> str:
    """Why an approval does not count, or empty; what is not known counts against it."""
    if approval.withdrawn_at is not None:
        return f"withdrawn by {approval.withdrawn_by}"
    # Approved was what these bytes are, not the name of a version that can be built again.
    if approval.artifact != artifact:
        return f"that was for {approval.artifact or 'no artifact'}, not for {artifact or 'one without an artifact'}"
    if now >= min(approval.expires_at, approval.at + within):
        return f"expired at {min(approval.expires_at, approval.at + within):%Y-%m-%d %H:%M} UTC"
    # With nobody named, the same person could approve and deploy without anybody seeing it.
    if not folded(deployer):
        return UNNAMED
    if folded(deployer) in names(approval.by):
        return "who deploys may not approve it"
    return not_theirs(settings, approval.role, approval.by, verified=approval.verified)


def not_theirs(settings: Verification, role: str, by: str, *, verified: bool) -> str:
    """Why somebody is not in a role, or empty; anybody may be in a role that the configuration does not name."""
    allowed = settings.roles.get(role)
    if allowed is None:
        return ""
    who = by.partition(FOR)[0]
    # A name that was only claimed in a request is not enough where roles are given to people.
    if not verified:
        return f"nobody verified that this is {who}; verification.roles names who is {role}"
    return "" if who in allowed else f"{who} is no {role}; verification.roles names {', '.join(allowed)}"


def different(approvals: Sequence[GateApproval], roles: Sequence[str]) -> dict[str, GateApproval]:
    """For as many roles as possible an approval each, all by different people."""
    best: dict[str, GateApproval] = {}

    # By trying: two roles that one person could fill must not leave the other empty. There are few of both.
    def choose(position: int, chosen: dict[str, GateApproval]) -> None:
        nonlocal best
        if len(chosen) > len(best):
            best = dict(chosen)
        if position == len(roles) or len(best) == len(roles):
            return
        taken = frozenset(name for approval in chosen.values() for name in names(approval.by))
        for approval in approvals:
            if approval.role == roles[position] and not names(approval.by) & taken:
                choose(position + 1, {**chosen, approval.role: approval})
        choose(position + 1, chosen)

    choose(0, {})
    return best
