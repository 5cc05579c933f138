"""What the configuration says of scaling: targets, and the brakes."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from deploywatch.config import Settings
from deploywatch.quantity import Duration, parse_duration
from deploywatch.receiver.settings.actions.rollback import Caps
from deploywatch.receiver.settings.executors.choice import ScaleChoice


class ScaleTarget(ScaleChoice):
    """To how many replicas a service is set; the same number again changes nothing."""

    service: str = "*"
    environment: str = "*"
    replicas: Annotated[int, Field(ge=1, le=10_000)]

    def covers(self, service: str, environment: str) -> bool:
        """Whether this target is meant for that service in that environment."""
        return self.service in ("*", service) and self.environment in ("*", environment)


class Scale(Settings):
    """The brakes: dry-run unless `mode: auto`; not again within the cooldown, and not above the caps."""

    mode: Literal["dry-run", "auto"] = "dry-run"
    cooldown: Duration = parse_duration("15m")
    caps: Caps = Caps()
    targets: tuple[ScaleTarget, ...] = ()

    def target(self, service: str, environment: str) -> ScaleTarget | None:
        """The first target that covers it."""
        return next((target for target in self.targets if target.covers(service, environment)), None)
