"""What the configuration says of actions: one module each, composed here for the receiver's."""

from __future__ import annotations

from pydantic import Field

from deploywatch.config import Settings
from deploywatch.receiver.settings.actions.investigate import Investigate
from deploywatch.receiver.settings.actions.posting import StatusPage, Ticket
from deploywatch.receiver.settings.actions.rollback import Rollback
from deploywatch.receiver.settings.actions.run import Run
from deploywatch.receiver.settings.actions.scale import Scale
from deploywatch.receiver.settings.prometheus import Metrics
from deploywatch.receiver.settings.verification import Verification


class ActionSettings(Settings):
    """The sections of the configuration that are about actions."""

    prometheus: Metrics | None = None
    """The Prometheus that verifications and investigations ask."""
    rollback: Rollback = Rollback()
    """How, and whether, a deployment is rolled back."""
    verification: Verification = Verification()
    """How deployments are judged from gate to verdict."""
    scale: Scale = Scale()
    """How, and how far, a service is scaled."""
    investigate: Investigate = Investigate()
    """What is looked up for people when an incident opens."""
    ticket: Ticket | None = None
    """Where tickets are opened."""
    status_page: StatusPage | None = None
    """The status page that is told."""
    run: tuple[Run, ...] = Field(default=())
    """Programs of yours that an alert may ask for."""
