"""What the configuration says of actions: one module each, composed here for the receiver's."""

from __future__ import annotations

from pydantic import Field

from deploywatch.config import Settings
from receiver.actions.settings.investigate import Investigate
from receiver.actions.settings.post import StatusPage, Ticket
from receiver.actions.settings.prometheus import Metrics
from receiver.actions.settings.rollback import Rollback
from receiver.actions.settings.run import Run
from receiver.actions.settings.scale import Scale


class ActionSettings(Settings):
    """The sections of the configuration that are about actions."""

    prometheus: Metrics | None = None
    rollback: Rollback = Rollback()
    scale: Scale = Scale()
    investigate: Investigate = Investigate()
    ticket: Ticket | None = None
    status_page: StatusPage | None = None
    run: tuple[Run, ...] = Field(default=())
