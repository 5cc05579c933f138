"""Presets: the commands by which common tools go back to a version, as typed parameters."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Annotated

from pydantic import Field

from deploywatch.config import Settings
from deploywatch.receiver.settings.executors.plan import Steps, Values, steps
from deploywatch.receiver.settings.placeholders import Word

Variable = Annotated[str, Field(pattern="^[A-Za-z_][A-Za-z0-9_]*$")]
"""The name of an environment variable."""


class Kubectl(Settings):
    """Set a deployment's image back, and wait until it has rolled out (source 001, B7)."""

    deployment: Word
    container: Word
    image: Word
    namespace: Word = "default"
    context: Word | None = None

    def plan(self, values: Values, limit: timedelta) -> Steps:
        """`kubectl set image`, then `kubectl rollout status`."""
        context = ("--context", self.context) if self.context else ()
        kubectl = ("kubectl", *context, "--namespace", self.namespace)
        name = f"deployment/{self.deployment}"
        change = (*kubectl, "set", "image", name, f"{self.container}={_image(self.image, values)}")
        wait = (*kubectl, "rollout", "status", name, f"--timeout={seconds(limit)}")
        return steps((change, wait), values)


class DockerCompose(Settings):
    """Bring one service up again with the version in an environment variable of the compose file (source 003, P7)."""

    file: Word
    service: Word
    variable: Variable
    project: Word | None = None
    program: Annotated[tuple[Word, ...], Field(min_length=1)] = ("docker", "compose")

    def plan(self, values: Values, limit: timedelta) -> Steps:
        """`docker compose up` of this service alone, in the background."""
        project = ("--project-name", self.project) if self.project else ()
        up = (*self.program, "--file", self.file, *project, "up", "--detach", "--no-deps", self.service)
        return steps((up,), values, {self.variable: "{to_version}"})


class Helm(Settings):
    """With `chart`, upgrade the release to it with the version set; without, go back one revision."""

    release: Word
    namespace: Word = "default"
    chart: Word | None = None
    value: Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.\[\]-]*$")] = "image.tag"

    def plan(self, values: Values, limit: timedelta) -> Steps:
        """`helm upgrade --reuse-values` or `helm rollback`, waiting until it is rolled out."""
        waiting = ("--namespace", self.namespace, "--wait", "--timeout", seconds(limit))
        if self.chart is None:
            return steps((("helm", "rollback", self.release, *waiting),), values)
        if is_digest(values.get("to_version", "")) and self.value.endswith("tag"):
            raise ValueError(
                f"to_version is a digest, which {self.value} cannot hold; name the chart's value for digests"
            )
        version = ("--reuse-values", "--set-string", f"{self.value}={{to_version}}")
        return steps((("helm", "upgrade", self.release, self.chart, *version, *waiting),), values)


class AzureSlotSwap(Settings):
    """Swap the slot that has the version before back into production (source 004, W3)."""

    resource_group: Word
    app: Word
    slot: Word = "staging"
    target_slot: Word = "production"

    def plan(self, values: Values, limit: timedelta) -> Steps:
        """`az webapp deployment slot swap`."""
        place = ("--resource-group", self.resource_group, "--name", self.app)
        slots = ("--slot", self.slot, "--target-slot", self.target_slot)
        return steps((("az", "webapp", "deployment", "slot", "swap", *place, *slots),), values)


class Azd(Settings):
    """Deploy one service of an azd project from the image of the version before."""

    project: Word
    service: Word
    image: Word
    environment: Word = "{environment}"

    def plan(self, values: Values, limit: timedelta) -> Steps:
        """`azd deploy --from-package`, asking nothing."""
        image = _image(self.image, values)
        where = ("--cwd", self.project, "--environment", self.environment, "--no-prompt")
        return steps((("azd", "deploy", self.service, "--from-package", image, *where),), values)


def is_digest(version: str) -> bool:
    """Whether a version names an image by its content, as `sha256:…`."""
    return version.startswith("sha256:")


def _image(name: str, values: Values) -> str:
    """The image of the version to go to; a digest is joined by @, a tag by a colon."""
    return f"{name}{'@' if is_digest(values.get('to_version', '')) else ':'}{{to_version}}"


def seconds(limit: timedelta) -> str:
    """A time limit as Go programs read it; they end a little before we end them, and so say why themselves."""
    return f"{max(math.floor(limit.total_seconds()) - 2, 1)}s"
