"""How long ago a service's newest deployment began, from the receiver's ledger, and the times that follow from it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from deploywatch.config import nearest
from deploywatch.conventions import ENVIRONMENT, SERVICE, DeploymentMetric
from deploywatch.quantity import format_duration, parse_duration
from deploywatch.rules import promql
from deploywatch.rules.policy import Policy, Stage
from deploywatch.rules.signals.signal import InputSeries, Record, seconds

AGE = f"{promql.level()}:deployment_age_seconds:min"
NEWEST = f"{promql.level()}:deployment_started_seconds:newest"
ON = f"on ({SERVICE}, {ENVIRONMENT})"
_AFTER = re.compile(r"(?P<length>\S+) after deployment")


@dataclass(frozen=True, slots=True)
class Window:
    """A time after a deployment's start: from `begins` on, and before `ends`."""

    said: str
    begins: timedelta
    ends: timedelta

    def holds(self, policy: Policy) -> str:
        """PromQL: the age, while it lies in the window."""
        age = promql.recorded(policy, AGE)
        since = f" >= {promql.number(seconds(self.begins))}" if self.begins else ""
        return f"{age}{since} < {promql.number(seconds(self.ends))}"


def read_window(text: str, stages: Mapping[str, Window]) -> Window:
    """Read `24h after deployment`, or the name of a stage; ValueError says what there is."""
    if text in stages:
        return stages[text]
    match = _AFTER.fullmatch(text)
    if match is None:
        known = f", or a stage{nearest(text, stages)}" if stages else ""
        raise ValueError(f"{text!r} is no time after a deployment; write `24h after deployment`{known}")
    ends = parse_duration(match["length"])
    if not ends:
        raise ValueError("a time after a deployment must be more than nothing")
    return Window(text, timedelta(0), ends)


def stage_windows(stages: Sequence[Stage]) -> dict[str, Window]:
    """Each stage's time; a stage begins where the one before it of the same strategy ends."""
    windows: dict[str, Window] = {}
    ends: dict[str | None, timedelta] = {}
    # Stages follow each other within their strategy; those of another strategy begin at 0 again.
    for stage in stages:
        begins = ends.get(stage.strategy, timedelta(0))
        ends[stage.strategy] = begins + stage.lasts
        windows[stage.stage] = Window(f"stage {stage.stage}", begins, ends[stage.strategy])
    return windows


def window(policy: Policy, text: str) -> Window:
    """A time of a policy that has been loaded."""
    return read_window(text, stage_windows(policy.stages))


def held(policy: Policy, metric: str, *matchers: promql.Matcher) -> str:
    """A metric of the receiver for the services that the policy holds for."""
    chosen = [
        (name, *selector.operand()) for name, selector in policy.selectors.items() if name in {SERVICE, ENVIRONMENT}
    ]
    return promql.selector(metric, [*chosen, *matchers])


def age(policy: Policy) -> Record:
    """Seconds since the newest deployment's start."""
    return Record(AGE, f"time() - {_newest(policy)}", "seconds since the newest deployment began")


def newest(policy: Policy) -> Record:
    """When the newest deployment began."""
    return Record(NEWEST, _newest(policy), "when the newest deployment began")


def _newest(policy: Policy) -> str:
    """PromQL: the newest start. The ledger may be away for a day; a start in the future has not happened."""
    # Remembered for a day, so that a receiver that restarts does not end the time after a deployment.
    started = f"last_over_time({held(policy, DeploymentMetric.STARTED)}[1d])"
    # `<= time()`: a pipeline whose clock is ahead may have begun in the future, and its age would be below 0.
    return f"max by ({SERVICE}, {ENVIRONMENT}) ({started} <= time())"


def started(policy: Policy, when: timedelta, samples: int) -> InputSeries:
    """The ledger's series of a deployment that began then, counted from a test's first moment."""
    labels = [(label, "=", text) for label, text in promql.sample_labels(policy).items()]
    series = promql.selector(DeploymentMetric.STARTED, [*labels, ("version", "=", "v2")])
    return InputSeries(series, f"{promql.number(seconds(when))}x{samples}")


def before_and_after(window: Window, interval: timedelta) -> dict[str, tuple[timedelta, bool]]:
    """Ages around the window's ends, and whether they lie in it."""
    moment = timedelta(seconds=1)
    ages = {
        f"{format_duration(window.ends - moment)} after a deployment": (window.ends - moment, True),
        f"{format_duration(window.ends)} after a deployment": (window.ends, False),
    }
    if window.begins:
        early = {f"{format_duration(window.begins - moment)} after a deployment": (window.begins - moment, False)}
        return early | {f"{format_duration(window.begins)} after a deployment": (window.begins, True)} | ages
    return {f"{format_duration(interval)} after a deployment": (min(interval, window.ends - moment), True)} | ages
