"""Which version of Prometheus a policy's rules need, and for which of its series.

Names of letters, digits and `_` are known to every Prometheus; OpenTelemetry writes points, and these stand in quotes,
which Prometheus reads from version 3.0 on. Native histograms are older, and an experiment then; their rules were tried
on 3.5, whose promtool can write them in tests, and 2.42's cannot.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from deploywatch.errors import DeploywatchError
from deploywatch.rules import promql
from deploywatch.rules.policy import Policy
from deploywatch.rules.series.durations import Durations

# Where quoted names and native histograms are on by default.
NEWER = (3, 0)
"""The first version that reads names in quotes, and that native histograms are built for."""

OLDEST = (2, 42)
"""The first version that built rules are tried with."""

# Everything else that stands in `series` is taken for a name, so that a new key is looked at by itself.
_VALUES = frozenset({"errors", "failing", "passing", "new", "old", "unit", "counts", "buckets"})
"""Keys of `series` whose texts are no names."""


def quoted_names(policy: Policy) -> tuple[str, ...]:
    """The policy's names of metrics and labels that must stand in quotes, each once."""
    parts = [part for alert in policy.alerts for part in (alert.only, alert.excluding) if part]
    named = [*_names(policy.series.model_dump(mode="json")), *(name for part in parts for name in part)]
    return tuple(dict.fromkeys(name for name in (*named, *policy.selectors) if promql.name(name) != name))


def native_histograms(policy: Policy) -> tuple[str, ...]:
    """The policy's metrics that are native histograms."""
    return tuple(series.metric for _, series in policy.series if isinstance(series, Durations) and series.native)


def unmet(policy: Policy, version: str) -> str | None:
    """Why this version of Prometheus, or of promtool, cannot read the policy's rules; None when it can.

    A version that cannot be read is taken for one that can: its own words then say what it does not understand.
    """
    match = re.search(r"(\d+)\.(\d+)", version)
    if match is None or (int(match[1]), int(match[2])) >= NEWER:
        return None
    wanted = ".".join(map(str, NEWER))
    for named, what in ((quoted_names(policy), "such names"), (native_histograms(policy), "native histograms")):
        if named:
            return f"{', '.join(named[:3])}: {what} need Prometheus {wanted} or newer, and this is {match[0]}"
    return None


def untried(version: str) -> str | None:
    """What to say of a Prometheus that is older than any that built rules are tried with; None of another.

    What only speaks its language numbers itself from 0, as Thanos does, or says that it is another application.
    """
    match = re.search(r"(\d+)\.(\d+)", version)
    if match is None or not (1, 0) <= (int(match[1]), int(match[2])) < OLDEST:
        return None
    return f"this is Prometheus {version}; the rules are tried with {'.'.join(map(str, OLDEST))} and newer"


def demands(policy: Policy) -> str | None:
    """What the head of a built file says of Prometheus; None where any that is supported will do."""
    if names := quoted_names(policy):
        return f"Needs Prometheus 3.0 or newer, for names such as {names[0]}."
    if metrics := native_histograms(policy):
        return f"Needs Prometheus 3.0 or newer that takes native histograms, for {metrics[0]}."
    return None


def demand(policies: tuple[Policy, ...], version: str, program: str) -> None:
    """Raise DeploywatchError where a program of this version cannot read what the policies build to."""
    for policy in policies:
        if (fault := unmet(policy, version)) is not None:
            raise DeploywatchError(f"policy {policy.policy}: {fault} ({program})")


def _names(value: Any, key: str = "") -> Iterator[str]:
    if isinstance(value, Mapping):
        for name, item in value.items():
            if key in {"only", "excluding"}:
                yield name
            elif name not in _VALUES:
                yield from _names(item, name)
    elif isinstance(value, str):
        yield value
