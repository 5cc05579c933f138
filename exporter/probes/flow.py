"""The `flow` probe: HTTP requests one after the other, where the next may use what an answer gave; each a result."""

from __future__ import annotations

import asyncio
from typing import ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from deploywatch.exporter.net.http.client import Trail, follow, http_url
from deploywatch.exporter.net.http.cookies import Cookies
from deploywatch.exporter.net.http.exchange import Request
from deploywatch.exporter.net.http.flow_step import Step, note_state, note_step, skipped, worse
from deploywatch.exporter.net.http.judging.templating import (
    ValueName,
    fill_body,
    fill_header,
    fill_url,
    masked,
    names,
)
from deploywatch.exporter.net.http.judging.verdict import judge
from deploywatch.exporter.net.http.phases import Phases
from deploywatch.exporter.probes.http import OVERDUE
from deploywatch.exporter.probing.measurement import Measurement
from deploywatch.exporter.probing.os_errors import from_os_error
from deploywatch.exporter.probing.settings import ProbeSettings, TargetKey, server_of
from deploywatch.exporter.results import Failed, Reason, StepResult, let_go
from deploywatch.secrets import Secret, SecretUrl, redact_url


class FlowSettings(ProbeSettings):
    """Steps in their order; `values` are there from the beginning, and never shown."""

    target_key: ClassVar[TargetKey | None] = None

    kind: Literal["flow"]
    base_url: SecretUrl | None = None
    values: dict[ValueName, Secret] = Field(default_factory=dict)
    on_failure: Literal["stop", "continue"] = "stop"
    steps: tuple[Step, ...] = Field(min_length=1, max_length=100)

    @field_validator("base_url")
    @classmethod
    def _http_url(cls, url: SecretUrl | None) -> SecretUrl | None:
        if url is not None:
            http_url(url.get_secret_value())
        return url

    @model_validator(mode="after")
    def _hangs_together(self) -> Self:
        known, seen = set(self.values), set[str]()
        for step in self.steps:
            if step.name in seen:
                raise ValueError(f"two steps are named {step.name!r}; give one another name")
            seen.add(step.name)
            unknown = step.needs() - known
            if unknown:
                name = min(unknown)
                raise ValueError(
                    f"step {step.name!r} needs {{{name}}}, which is none of `values` and saved by no step before;"
                    f" save it, or write {{{{{name}}}}} for the text itself"
                )
            known |= step.save.keys()
            url = step.url.get_secret_value()
            if not names(url):
                self.place(url)
        return self

    def place(self, url: str) -> str:
        """The whole URL of one that may be below `base_url`; ValueError when it is none."""
        if url.startswith("/"):
            if self.base_url is None:
                raise ValueError(f"{url!r} has no host; give the flow a base_url")
            return self.base_url.get_secret_value().rstrip("/") + url
        http_url(url)
        return url

    def probe(self) -> FlowProbe:
        """The probe that does what these settings say."""
        return FlowProbe(self)

    def impossible(self) -> frozenset[Reason]:
        """Reasons that cannot occur in any step; what is to be saved may be missing, or not be JSON."""
        saved = any(step.save for step in self.steps)
        needed = any(step.needs() for step in self.steps)
        possible = {Reason.VALUE, Reason.JSON} if saved else {Reason.VALUE} if needed else set()
        possible |= {reason for step in self.steps for reason in step.possible()}
        never = frozenset.intersection(*(step.expect.impossible(gauges=False) for step in self.steps))
        never -= possible
        return never | frozenset.intersection(*(step.without_proxy() | step.without_token() for step in self.steps))

    def shown_target(self) -> str:
        """Where the flow begins."""
        first = self.base_url or self.steps[0].url
        return redact_url(first.get_secret_value())

    def server(self) -> str | None:
        """The server of its first step; later ones may go elsewhere."""
        return server_of((self.base_url or self.steps[0].url).get_secret_value())

    def with_target(self, target: str) -> Self:
        """The same flow below another URL; only for a flow that has a base_url."""
        if self.base_url is None:
            raise ValueError("a flow without base_url cannot be given a target")
        return self.with_changes(base_url=target if "://" in target else f"http://{target}")


class FlowProbe:
    """Sends the requests of a flow in their order."""

    def __init__(self, settings: FlowSettings) -> None:
        self.settings = settings
        self.tokens = {step.name: step.tokens() for step in settings.steps}

    async def measure(self, measurement: Measurement) -> None:
        """Send each request; Failed with the step that failed, and the names of those that were not reached."""
        values = {name: value.get_secret_value() for name, value in self.settings.values.items()}
        cookies = Cookies()
        failures: list[tuple[Step, Failed]] = []
        try:
            for step in self.settings.steps:
                failed = await self._take(step, values, cookies, measurement)
                if failed:
                    failures.append((step, failed))
                    if self.settings.on_failure == "stop":
                        break
        finally:
            self._note_those_not_reached(measurement)
            note_state(measurement.application, measurement)
        if failures:
            (step, first), *others = failures
            also = f"; also failed: {', '.join(other.name for other, _ in others)}" if others else ""
            # The flow's target is where it begins, and not where somebody has to look now.
            raise Failed(first.reason, f"step {step.name}: {first.detail} ({self._shown(step)}){also}")

    def _shown(self, step: Step) -> str:
        """What a step asks for, as the config says it: the values of the flow are not filled in."""
        url = step.url.get_secret_value()
        # A URL may be a value as a whole, which no step has given yet.
        url = self.settings.place(url) if url.startswith("/") else url
        return f"{step.method} {redact_url(url) if '://' in url else url}"

    def _note_those_not_reached(self, measurement: Measurement) -> None:
        taken = {step.name for step in measurement.steps}
        for step in self.settings.steps:
            if step.name not in taken:
                measurement.steps.append(StepResult(step.name, 0.0, Reason.SKIPPED, "not reached"))

    async def _take(
        self, step: Step, values: dict[str, str], cookies: Cookies, measurement: Measurement
    ) -> Failed | None:
        missing = step.needs() - values.keys()
        if missing:
            return skipped(step, missing, measurement)
        trail, begin = Trail(Phases(), cookies=cookies), measurement.clock.monotonic()
        # Until it is done, it has failed: by the deadline, should that come first.
        unfinished = Failed(Reason.DEADLINE, "not done in its time")
        outcome: Failed | None = unfinished
        try:
            outcome = await self._judged(step, values, trail, measurement)
        finally:
            measurement.stage = f"step {step.name}: {trail.phases.at}"
            trail.tell_withheld(measurement)
            if outcome is unfinished:
                # As the http probe says it: whether somebody took the connection.
                measurement.overdue = OVERDUE.get(trail.phases.at, Reason.DEADLINE)
                outcome = Failed(measurement.overdue, f"{unfinished.detail}; it was at: {trail.phases.at}")
            note_step(step, outcome, trail, measurement.clock.monotonic() - begin, measurement)
        return outcome

    async def _judged(
        self, step: Step, values: dict[str, str], trail: Trail, measurement: Measurement
    ) -> Failed | None:
        limit = step.timeout.total_seconds() if step.timeout else None
        scope = asyncio.timeout(limit)
        try:
            async with scope:
                await self._step(step, values, trail, measurement)
        except Failed as failed:
            let_go(failed)
            return Failed(failed.reason, masked(failed.detail, values.values()))
        except OSError as error:
            let_go(error)
            if scope.expired():
                reason = OVERDUE.get(trail.phases.at, Reason.DEADLINE)
                return Failed(reason, f"not done within its {limit:g} s; it was at: {trail.phases.at}")
            return from_os_error(error)
        return None

    async def _step(self, step: Step, values: dict[str, str], trail: Trail, measurement: Measurement) -> None:
        begin = measurement.clock.monotonic()
        request, tokens = self._request(step, values), self.tokens[step.name]
        if tokens:
            request = await tokens.added_to(request, trail.phases, measurement.clock)
        response = await follow(step, request, step.via(), trail, measurement.allowed)
        if tokens and response.status == 401:
            tokens.forget()
        # What the judge measures would be without the step's name.
        seen = Measurement(measurement.clock, measurement.deadline)
        try:
            await judge(response, measurement.clock.monotonic() - begin, step.expect, {}, seen)
        finally:
            measurement.application = worse(measurement.application, seen.application)
            measurement.dropped.update(seen.dropped)
        values.update({name: await save.read(response) for name, save in step.save.items()})

    def _request(self, step: Step, values: dict[str, str]) -> Request:
        url = fill_url(step.url.get_secret_value(), values)
        headers = {name: fill_header(text, values) for name, text in step.plain_headers().items()}
        try:
            return step.request(self.settings.place(url), headers, fill_body(step.body, values))
        except ValueError as error:
            raise Failed(Reason.VALUE, f"with its values the URL is none: {error}") from error
