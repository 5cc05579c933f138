"""Which lines of a timeline say how an action ended; they are counted as they are written."""

from __future__ import annotations

from typing import Final

ACTIONS: Final = ("rollback", "scale", "run", "ticket", "status_page")
OUTCOMES: Final = ("good", "failed", "unknown", "refused", "dry_run", "verified", "not_verified", "unproven")

_BY_KIND: Final = {
    "escalated": ("escalate", "good"),
    "investigated": ("investigate", "good"),
    **{f"{action}_{outcome}": (action, outcome) for action in ACTIONS for outcome in OUTCOMES},
}


def outcome(kind: str) -> tuple[str, str] | None:
    """The action and its outcome that a line of this kind tells of; None for every other line."""
    return _BY_KIND.get(kind)
