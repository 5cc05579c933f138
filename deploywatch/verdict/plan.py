"""The verification plan: what `rules build` writes for each policy, and the receiver judges deployments by.

A file of JSON. Durations are seconds, shares and probabilities from 0 to 1. In its PromQL, `"$service"`,
`"$environment"`, `"$version"` and `"$previous_version"` stand for whole label values; `filled` puts them in, quoted. A
count query gives one number: what was added to counters in the last `look` seconds.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from deploywatch import config
from deploywatch.config import Settings
from deploywatch.files.editor_schema import explain
from deploywatch.verdict.plan_parts import Chance, Counts, Limit, Recorded, Requirement, Seconds, Share, Stage, Watch

SCHEMA: Literal["deploywatch.verification-plan/1"] = "deploywatch.verification-plan/1"
PLACEHOLDERS = ("$service", "$environment", "$version", "$previous_version")

SCHEMA_FILE = Path(__file__).parents[2] / "docs" / "verification-plan.schema.json"
"""Where the schema is, in a checkout."""


class Plan(Settings):
    """The plan of one policy; `selectors` say for which values of `service` and `environment` it holds (patterns)."""

    plan: Literal["deploywatch.verification-plan/1"]
    """The version of this form."""
    policy: str
    """The policy that it was built from."""
    about: str
    """What the policy is for."""
    selectors: dict[str, str] = Field(default_factory=dict)
    """For which values of `service` and `environment` it holds, as patterns; any, of what is not named."""
    control: bool
    """Whether the series tell the new version from the old one at the same moments."""
    look: Seconds
    """How long a look is, in seconds."""
    scrape: Seconds
    """The interval of Prometheus, in seconds: values of a moment are there so much later."""
    stages: Annotated[tuple[Stage, ...], Field(min_length=1)]
    """The stages of a deployment, in their order."""
    limits: tuple[Limit, ...]
    """Limits on shares of requests."""
    watch: tuple[Watch, ...] = ()
    """Conditions on what is not counted."""
    gate: tuple[Requirement, ...] = ()
    """What must be there before a deployment begins."""
    false_rollback: Chance = 0.01
    """How often, at most, a good deployment is rolled back."""
    false_promotion: Chance = 0.05
    """How often a limit that is not kept is taken for kept."""
    health: Recorded = Recorded()
    """What the health of the service is worked out from."""
    sources: tuple[str, ...] = ()
    """Where the figures come from."""

    def covers(self, service: str, environment: str) -> bool:
        """Whether it is meant for this service in this environment."""
        given = {"service": service, "environment": environment}
        # DOTALL, as Prometheus matches: there a `.` is any character, a line end too.
        return all(re.fullmatch(self.selectors.get(name, ".*"), value, re.DOTALL) for name, value in given.items())

    def of_strategy(self, strategy: str) -> tuple[Stage, ...]:
        """The stages of a kind of deployment, in their order."""
        return tuple(stage for stage in self.stages if stage.strategy == strategy)

    def stage(self, name: str) -> Stage | None:
        """The stage of this name."""
        return next((stage for stage in self.stages if stage.stage == name), None)

    def for_stage(self, stage: Stage, values: Mapping[str, str]) -> StagePlan:
        """What a stage of one deployment is judged by, with every placeholder filled in.

        With all of the traffic on the new version there is nothing at the same moments to compare it with.
        """
        control = self.control and stage.share < 1
        limits = [limit for limit in self.limits if limit.name in stage.limits]
        # Of counts by version none is left to compare with; those of the whole service are all there is.
        if not control:
            limits = [limit.model_copy(update={"new": limit.whole or limit.new, "old": None}) for limit in limits]
        return StagePlan(
            policy=self.policy,
            stage=stage.stage,
            share=stage.share,
            lasts=stage.lasts,
            at_most=stage.at_most,
            stages=len(self.of_strategy(stage.strategy)),
            last=self.of_strategy(stage.strategy)[-1] == stage,
            control=control,
            look=self.look,
            scrape=self.scrape,
            limits=tuple(_filled_limit(limit, values) for limit in limits),
            watch=tuple(watch.model_copy(update={"query": filled(watch.query, values)}) for watch in self.watch),
            false_rollback=self.false_rollback,
            false_promotion=self.false_promotion,
            sources=self.sources,
        )


class StagePlan(Settings):
    """What one stage of one deployment is judged by: a plan with its queries filled in.

    `stages` is how many its strategy has, `last` whether it is the last of them.
    """

    policy: str
    stage: str
    share: Share
    lasts: Seconds
    at_most: Seconds
    stages: Annotated[int, Field(ge=1)]
    last: bool
    control: bool
    look: Seconds
    scrape: Seconds
    limits: tuple[Limit, ...]
    watch: tuple[Watch, ...] = ()
    false_rollback: Chance = 0.01
    false_promotion: Chance = 0.05
    sources: tuple[str, ...] = ()


def load(path: Path) -> Plan:
    """Read a plan; ConfigError tells every fault with its place."""
    # No variables: a plan is generated, and `$service` in its queries is ours to fill in.
    return config.load(path, Plan, variables={})


def written(plan: Plan) -> str:
    """The plan as its file says it."""
    return json.dumps(plan.model_dump(mode="json", exclude_defaults=True), indent=2, ensure_ascii=False) + "\n"


def filled(promql: str, values: Mapping[str, str]) -> str:
    """PromQL with each placeholder replaced by its value, quoted so that a value stays one label value.

    `values` are by placeholder without `$`; those that are not given stay.
    """
    # The longest first: `$version` must not be found in the beginning of a longer name.
    names = "|".join(sorted(values, key=len, reverse=True))
    return re.sub(rf'"\$({names})"', lambda match: quoted(values[match[1]]), promql) if names else promql


def quoted(text: str) -> str:
    """A PromQL string."""
    escaped = text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
    return f'"{escaped}"'


def covering(plans: Sequence[Plan], service: str, environment: str) -> list[Plan]:
    """The plans that are meant for a service in an environment."""
    return [plan for plan in plans if plan.covers(service, environment)]


def schema() -> dict[str, Any]:
    """The JSON schema of a plan's file."""
    made = Plan.model_json_schema()
    explain(made, Plan)
    return made | {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": SCHEMA}


def schema_text() -> str:
    """The schema as its file says it."""
    return json.dumps(schema(), indent=2) + "\n"


def _filled_limit(limit: Limit, values: Mapping[str, str]) -> Limit:
    roles = {
        role: Counts(requests=filled(counts.requests, values), bad=filled(counts.bad, values))
        for role, counts in (("new", limit.new), ("old", limit.old))
        if counts is not None
    }
    return limit.model_copy(update={**roles, "whole": None})


if __name__ == "__main__":
    SCHEMA_FILE.write_text(schema_text(), encoding="utf-8")
