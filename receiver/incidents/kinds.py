"""The kinds of lines on a timeline; some are read back, and those that say how an action ended are counted."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Kind(StrEnum):
    """What a line of a timeline tells of; at most 40 characters, as the store keeps it."""

    # How the incident goes.
    OPENED = "opened"
    JOINED = "joined"
    VICTIM = "victim"
    WORSENED = "worsened"
    REOPENED = "reopened"
    ALERT_RESOLVED = "alert_resolved"
    QUIET = "quiet"
    DAMPED = "damped"
    RESOLVE_WAITS = "resolve_waits"
    RESOLVED = "resolved"
    CAUSE = "cause"
    HEALED = "healed"
    LOGGED = "logged"
    POSTMORTEM = "postmortem"
    MIGRATED = "migrated"

    # What came otherwise than expected; the words are those of `decide.Reason`.
    DUPLICATE = "duplicate"
    OLDER_EPISODE = "older_episode"
    EPISODE_IS_OVER = "episode_is_over"
    FIRES_ON = "fires_on"
    ANNOTATIONS_CHANGED = "annotations_changed"
    START_LOWERED = "start_lowered"
    RESOLVED_BEFORE_FIRING = "resolved_before_firing"
    RESOLVE_MISSED = "resolve_missed"
    TRUNCATED = "truncated"
    SEVERITY_UNKNOWN = "severity_unknown"
    FINGERPRINT_SHARED = "fingerprint_shared"

    # What people did.
    ACKNOWLEDGED = "acknowledged"
    GIVEN_BACK = "given_back"
    MITIGATING = "mitigating"
    COMMANDER = "commander"
    COMMENT = "comment"
    UPDATE = "update"
    CHECKED = "checked"
    REVIEWED = "reviewed"

    # Who was told.
    TOLD = "told"
    TOLD_LATE = "told_late"
    NOT_TOLD = "not_told"
    UNKNOWN_WHETHER_TOLD = "unknown_whether_told"
    FELL_BACK = "fell_back"
    CHANNELS_ADDED = "channels_added"
    ESCALATED = "escalated"
    ESCALATION_WAITS = "escalation_waits"
    REMINDED = "reminded"

    # Actions of every kind.
    ACTION_REFUSED = "action_refused"
    ACTION_HELD = "action_held"
    ACTION_RELEASED = "action_released"
    ACTION_DROPPED = "action_dropped"
    INVESTIGATED = "investigated"

    # Rollbacks.
    APPROVAL_WANTED = "approval_wanted"
    APPROVAL_EXPIRED = "approval_expired"
    ROLLBACK_APPROVED = "rollback_approved"
    ROLLBACK_REJECTED = "rollback_rejected"
    ROLLBACK_ASKED = "rollback_asked"
    ROLLBACK_RECONSIDERED = "rollback_reconsidered"
    ROLLBACK_REFUSED = "rollback_refused"
    ROLLBACK_DRY_RUN = "rollback_dry_run"
    ROLLBACK_STARTED = "rollback_started"
    ROLLBACK_RAN = "rollback_ran"
    ROLLBACK_FAILED = "rollback_failed"
    ROLLBACK_UNKNOWN = "rollback_unknown"
    ROLLBACK_VERIFIED = "rollback_verified"
    ROLLBACK_NOT_VERIFIED = "rollback_not_verified"
    ROLLBACK_UNPROVEN = "rollback_unproven"
    ROLLBACK_UNDONE = "rollback_undone"
    DEPLOYMENT_BEGAN = "deployment_began"

    # The other actions, as `of_action` finds them.
    SCALE_STARTED = "scale_started"
    SCALE_GOOD = "scale_good"
    SCALE_FAILED = "scale_failed"
    SCALE_UNKNOWN = "scale_unknown"
    SCALE_REFUSED = "scale_refused"
    SCALE_DRY_RUN = "scale_dry_run"
    RUN_STARTED = "run_started"
    RUN_GOOD = "run_good"
    RUN_FAILED = "run_failed"
    RUN_UNKNOWN = "run_unknown"
    RUN_REFUSED = "run_refused"
    TICKET_GOOD = "ticket_good"
    TICKET_FAILED = "ticket_failed"
    TICKET_UNKNOWN = "ticket_unknown"
    TICKET_END_GOOD = "ticket_end_good"
    TICKET_END_FAILED = "ticket_end_failed"
    TICKET_END_REFUSED = "ticket_end_refused"
    TICKET_REFUSED = "ticket_refused"
    STATUS_PAGE_GOOD = "status_page_good"
    STATUS_PAGE_FAILED = "status_page_failed"
    STATUS_PAGE_UNKNOWN = "status_page_unknown"
    STATUS_PAGE_END_GOOD = "status_page_end_good"
    STATUS_PAGE_END_FAILED = "status_page_end_failed"
    STATUS_PAGE_END_REFUSED = "status_page_end_refused"
    STATUS_PAGE_REFUSED = "status_page_refused"


ROLLBACKS: Final = frozenset(kind for kind in Kind if kind.startswith(("rollback_", "approval_")))
"""Lines that say how it stands with a rollback."""

ASIDE: Final = frozenset(
    {
        Kind.TOLD,
        Kind.TOLD_LATE,
        Kind.FELL_BACK,
        Kind.CHANNELS_ADDED,
        Kind.REMINDED,
        Kind.DUPLICATE,
        Kind.OLDER_EPISODE,
        Kind.ANNOTATIONS_CHANGED,
    }
)
"""Lines that a review does without: what was only sent, and what came once more."""

ACTIONS: Final = ("rollback", "scale", "run", "ticket", "status_page")
OUTCOMES: Final = ("good", "failed", "unknown", "refused", "dry_run", "verified", "not_verified", "unproven", "undone")

_COUNTED: Final[dict[str, tuple[str, str]]] = {
    Kind.ESCALATED: ("escalate", "good"),
    Kind.INVESTIGATED: ("investigate", "good"),
    **{f"{action}_{outcome}": (action, outcome) for action in ACTIONS for outcome in OUTCOMES},
}


def of_action(action: str, outcome: str) -> Kind:
    """The kind of the line that says how an action stands; ValueError for one that `Kind` lacks."""
    return Kind(f"{action}_{outcome}")


def counted(kind: Kind) -> tuple[str, str] | None:
    """The action and its outcome that a line of this kind tells of; None for every other line."""
    return _COUNTED.get(kind)
