"""Which version of Prometheus a policy's rules need, and for which of its names.

Names of letters, digits and `_` are known to every Prometheus; OpenTelemetry writes points, and these stand in quotes,
which Prometheus reads from version 3.0 on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from deploywatch.errors import DeploywatchError
from deploywatch.rules import promql
from deploywatch.rules.policy import Policy

UTF8 = (3, 0)
"""The first version that reads names in quotes."""

_VALUES = frozenset({"errors", "failing", "passing", "new", "old", "unit", "counts", "buckets"})
"""Keys of `series` whose texts are no names."""


def quoted_names(policy: Policy) -> tuple[str, ...]:
    """The policy's names of metrics and labels that must stand in quotes, each once."""
    parts = [part for alert in policy.alerts for part in (alert.only, alert.excluding) if part]
    named = [*_names(policy.series.model_dump(mode="json")), *(name for part in parts for name in part)]
    return tuple(dict.fromkeys(name for name in (*named, *policy.selectors) if promql.name(name) != name))


def unmet(policy: Policy, version: str) -> str | None:
    """Why this version of Prometheus, or of promtool, cannot read the policy's rules; None when it can.

    A version that cannot be read is taken for one that can: its own words then say what it does not understand.
    """
    names, match = quoted_names(policy), re.search(r"(\d+)\.(\d+)", version)
    if not names or match is None or (int(match[1]), int(match[2])) >= UTF8:
        return None
    wanted = ".".join(map(str, UTF8))
    return f"{', '.join(names[:3])}: such names need Prometheus {wanted} or newer, and this is {match[0]}"


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
