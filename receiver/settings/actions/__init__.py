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
    rollback: Rollback = Rollback()
    verification: Verification = Verification()
    scale: Scale = Scale()
    investigate: Investigate = Investigate()
    ticket: Ticket | None = None
    status_page: StatusPage | None = None
    run: tuple[Run, ...] = Field(default=())
