"""Presets that scale: the commands by which common tools run more of a service, as typed parameters."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from pydantic import Field

from deploywatch.config import Settings
from deploywatch.receiver.settings.executors.plan import Steps, Values, steps
from deploywatch.receiver.settings.executors.presets import seconds
from deploywatch.receiver.settings.placeholders import Word


class ScaleKubectl(Settings):
    """Set a deployment's replicas, and wait until they are there."""

    deployment: Word
    namespace: Word = "default"
    context: Word | None = None

    def plan(self, values: Values, limit: timedelta) -> Steps:
        """`kubectl scale`, then `kubectl rollout status`."""
        context = ("--context", self.context) if self.context else ()
        kubectl = ("kubectl", *context, "--namespace", self.namespace)
        name = f"deployment/{self.deployment}"
        wait = (*kubectl, "rollout", "status", name, f"--timeout={seconds(limit)}")
        return steps(((*kubectl, "scale", name, "--replicas={replicas}"), wait), values)


class ScaleDockerCompose(Settings):
    """Run so many containers of one service."""

    file: Word
    service: Word
    project: Word | None = None
    program: Annotated[tuple[Word, ...], Field(min_length=1)] = ("docker", "compose")

    def plan(self, values: Values, limit: timedelta) -> Steps:
        """`docker compose up --scale`, leaving what runs as it is."""
        project = ("--project-name", self.project) if self.project else ()
        up = (*self.program, "--file", self.file, *project, "up", "--detach", "--no-deps", "--no-recreate")
        return steps(((*up, "--scale", f"{self.service}={{replicas}}", self.service),), values)


class ScaleAzure(Settings):
    """Set the number of workers of an App Service plan."""

    resource_group: Word
    app_service_plan: Word

    def plan(self, values: Values, limit: timedelta) -> Steps:
        """`az appservice plan update`."""
        place = ("--resource-group", self.resource_group, "--name", self.app_service_plan)
        return steps((("az", "appservice", "plan", "update", *place, "--number-of-workers", "{replicas}"),), values)
