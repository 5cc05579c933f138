"""What a store says when it fails."""

from __future__ import annotations

from deploywatch.errors import DeploywatchError


class StoreError(DeploywatchError):
    """The database could not be read or written just now; the same call may succeed later."""

    exit_code = 1


class UnfitError(DeploywatchError):
    """What was to be written cannot be stored, now or later."""
