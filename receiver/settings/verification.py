"""What the configuration says of deployments from gate to verdict: plans, roles, change windows, the health check."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator

from deploywatch.config import RelativePath, Settings
from deploywatch.errors import ConfigError, Problem
from deploywatch.quantity import Duration, parse_duration
from deploywatch.receiver.settings.people.maintenance import RecurringWindow
from deploywatch.receiver.settings.placeholders import check_host
from deploywatch.verdict import plan as verification_plan
from deploywatch.verdict.plan import Plan


class Verification(Settings):
    """Where the verification plans are (`rules build` writes them), as paths with `*`; and what the gate needs to know.

    `health` is asked for a service's health, `{service}`, `{environment}` and `{level}` filled in. `roles` says who may
    approve in which role, by names that the server verified; a role that is not named may be anybody's. Changes are
    made in `change_windows` (at any time, where none is given), and never in `freezes`. A deployment is watched for
    `watch` at most, however long its pipeline forgets to finish it.
    """

    plans: tuple[RelativePath, ...] = ()
    health: str = ""
    roles: dict[str, tuple[Annotated[str, Field(min_length=1)], ...]] = Field(default_factory=dict)
    approvals: Annotated[Duration, Field(gt=timedelta())] = parse_duration("24h")
    change_windows: tuple[RecurringWindow, ...] = ()
    freezes: tuple[RecurringWindow, ...] = ()
    watch: Annotated[Duration, Field(gt=timedelta())] = parse_duration("24h")

    @field_validator("health")
    @classmethod
    def _known_url(cls, url: str) -> str:
        if url and not url.startswith(("http://", "https://")):
            raise ValueError("write a URL that begins with http:// or https://")
        check_host(url)
        return url

    @cached_property
    def loaded(self) -> tuple[Plan, ...]:
        """Every plan, read once; ConfigError tells all faults of all files, and patterns that match none."""
        plans, problems = [], []
        for pattern in self.plans:
            files = _files(pattern)
            if not files:
                message = "no plan is there; build one from a policy with a verdict (deploywatch rules build)"
                problems.append(Problem(str(pattern), 0, 0, "", message))
            for file in files:
                try:
                    plans.append(verification_plan.load(file))
                except ConfigError as error:
                    problems += error.problems
        problems += _repeated(plans)
        if problems:
            raise ConfigError(problems)
        return tuple(plans)

    def plans_of(self, service: str, environment: str) -> list[Plan]:
        """The plans that are meant for a service in an environment; one is right."""
        return verification_plan.covering(self.loaded, service, environment)


def _files(pattern: Path) -> list[Path]:
    return sorted(Path(pattern.anchor).glob(str(pattern.relative_to(pattern.anchor))))


def _repeated(plans: Sequence[Plan]) -> list[Problem]:
    names = [plan.policy for plan in plans]
    twice = sorted({name for name in names if names.count(name) > 1})
    return [Problem(name, 0, 0, "", "two plans are of this policy; keep one") for name in twice]
