"""The types of events: those of CDEvents where there is one, ours for what it has no word for."""

from __future__ import annotations

from enum import StrEnum


class EventType(StrEnum):
    """The `type` of an event, with the version of its data; a version is never given another meaning."""

    DEPLOYMENT_STARTED = "dev.cdeventsx.deploywatch-deployment.started.0.1.0"
    DEPLOYMENT_FAILED = "dev.cdeventsx.deploywatch-deployment.failed.0.1.0"
    DEPLOYED = "dev.cdevents.service.deployed.0.3.0"
    ROLLED_BACK = "dev.cdevents.service.rolledback.0.3.0"
    STAGE_ENTERED = "dev.cdeventsx.deploywatch-stage.entered.0.1.0"
    VERDICT_GIVEN = "dev.cdeventsx.deploywatch-verdict.given.0.1.0"
    ASSESSMENT_COMPLETED = "dev.cdeventsx.deploywatch-assessment.completed.0.1.0"
    GATE_REFUSED = "dev.cdeventsx.deploywatch-gate.refused.0.1.0"
    INCIDENT_OPENED = "dev.cdevents.incident.detected.0.3.0"
    INCIDENT_WORSENED = "dev.cdeventsx.deploywatch-incident.worsened.0.1.0"
    INCIDENT_ACKNOWLEDGED = "dev.cdeventsx.deploywatch-incident.acknowledged.0.1.0"
    INCIDENT_RESOLVED = "dev.cdevents.incident.resolved.0.3.0"

    @property
    def is_ours(self) -> bool:
        """Whether CDEvents has no such type."""
        return self.startswith("dev.cdeventsx.")
