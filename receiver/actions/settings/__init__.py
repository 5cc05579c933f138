"""What the configuration says of actions: one module each, composed here for the receiver's."""

from __future__ import annotations

from pydantic import Field

from deploywatch.config import Settings
from deploywatch.receiver.actions.settings.investigate import Investigate
from deploywatch.receiver.actions.settings.post import StatusPage, Ticket
from deploywatch.receiver.actions.settings.prometheus import Metrics
from deploywatch.receiver.actions.settings.rollback import Rollback
from deploywatch.receiver.actions.settings.run import Run
from deploywatch.receiver.actions.settings.scale import Scale


class ActionSettings(Settings):
    """The sections of the configuration that are about actions."""

    prometheus: Metrics | None = None
    rollback: Rollback = Rollback()
    scale: Scale = Scale()
    investigate: Investigate = Investigate()
    ticket: Ticket | None = None
    status_page: StatusPage | None = None
    run: tuple[Run, ...] = Field(default=())
