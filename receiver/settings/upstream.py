"""The settings about where alerts come from."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from deploywatch.config import Settings
from deploywatch.quantity import Duration, parse_duration


class Reconcile(Settings):
    """Every `every`, open alerts are compared with what the Alertmanagers have.

    `receiver` is a regular expression for the names that our routes have there; an alert younger than `settle` may
    still be on its way.
    """

    every: Duration = parse_duration("5m")
    settle: Duration = parse_duration("2m")
    receiver: str = "deploywatch.*"


class Watchdog(Settings):
    """An alert that always fires; when it has not been heard of for `within`, an incident says that alerts are lost."""

    alert: str = "Watchdog"
    within: Duration = parse_duration("15m")
    service: str = "monitoring"
    environment: str = "default"


class Upstream(Settings):
    """The Alertmanagers that deliver here, as URLs; none means that nothing is compared."""

    alertmanagers: tuple[Annotated[str, Field(pattern=r"^https?://")], ...] = ()
    reconcile: Reconcile = Reconcile()
    watchdog: Watchdog | None = None
