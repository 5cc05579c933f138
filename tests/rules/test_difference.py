"""What changes for people when a policy changes: every value that differs is said, in words where we have them."""

from __future__ import annotations

from functools import cache
from itertools import combinations
from pathlib import Path

import pytest

from deploywatch.rules.difference.changes import changes
from deploywatch.rules.policy import Policy
from tests.rules.tools import GOOD, SHIPPED, policy_from, shipped

SAID = {
    "a lower limit": (
        "error_ratio > 1%",
        "error_ratio > 0.5%",
        "Sample pages at 0.5% instead of 1% (error_ratio, sooner)",
    ),
    "a higher limit": ("error_ratio > 1%", "error_ratio > 2%", "Sample pages at 2% instead of 1% (error_ratio, later)"),
    "another spelling": (
        "error_ratio > 1%",
        "error_ratio > 1.0%",
        "Sample writes its condition 'error_ratio > 1.0%' instead of 'error_ratio > 1%', which is the same",
    ),
    "another condition": (
        "error_ratio > 1%",
        "availability < 99%",
        "Sample pages when availability < 99% instead of when error_ratio > 1%",
    ),
    "a wait": ("for: 2m", "for: 5m", "Sample waits 5m instead of 2m before it pages (later)"),
    "a severity": ("severity: critical", "severity: low", "Sample is low instead of critical"),
    "an action": (
        "action: rollback",
        "action: notify",
        "Sample tells the team instead of what it did: it rolls back",
    ),
    "channels": ("channels: [slack]", "channels: [email]", "Sample tells email too and no longer tells slack"),
    "no channels": (
        "channels: [slack]",
        "channels: []",
        "Sample no longer tells slack and leaves it to the receiver whom to tell",
    ),
    "an escalation": (
        "channels: [slack]",
        "channels: [slack]\n    escalate_after: 5m",
        "Sample escalates after 5m instead of never",
    ),
    "a name": (
        "alert: Sample",
        "alert: Errors",
        "Errors is what Sample was; silences and routes that name Sample no longer hold for it",
    ),
    "the window": (
        "window: 5m",
        "window: 10m",
        "rates are taken over 10m instead of 5m: alerts begin and end later",
    ),
    "where alerts go": (
        "http://127.0.0.1:9872/webhook/alertmanager",
        "http://127.0.0.1:1/hook",
        "alerts are sent to http://127.0.0.1:1/hook instead of http://127.0.0.1:9872/webhook/alertmanager",
    ),
    "series that an alert reads": (
        "metric: http_requests_total",
        "metric: requests_total",
        "series.requests.metric is requests_total instead of http_requests_total; this concerns Sample",
    ),
    "series that none reads": (
        "metric: db_query_duration_seconds",
        "metric: sql_seconds",
        "series.database.metric is sql_seconds instead of db_query_duration_seconds; no alert reads it",
    ),
    "a selector": (
        "interval: 30s",
        "interval: 30s\nselectors: {service: api}",
        "holds for service api instead of anything",
    ),
}


@pytest.mark.parametrize("case", SAID.values(), ids=SAID)
def test_a_change_is_said_in_words(case: tuple[str, str, str], tmp_path: Path) -> None:
    before, after, said = case
    old, new = policy_from(GOOD, tmp_path), policy_from(GOOD.replace(before, after), tmp_path)
    assert [one.said for one in changes(old, new)] == [said]


def test_alerts_that_come_and_go_are_said_with_what_they_do(tmp_path: Path) -> None:
    old = policy_from(GOOD, tmp_path)
    other = GOOD.replace("alert: Sample", "alert: Down").replace("when: error_ratio > 1%", "when: service_up == 0")
    new = policy_from(other, tmp_path)
    assert {one.said for one in changes(old, new)} == {
        "Down is new: critical, pages when service_up == 0 for 2m; rolls back, tells slack",
        "Sample is gone: nothing pages any more when error_ratio > 1%",
    }


def test_services_that_come_and_go_are_named(tmp_path: Path) -> None:
    old = policy_from(GOOD.replace("interval: 30s", "interval: 30s\nselectors: {service: [api, web]}"), tmp_path)
    new = policy_from(GOOD.replace("interval: 30s", "interval: 30s\nselectors: {service: [api, pay]}"), tmp_path)
    (one,) = changes(old, new)
    text = (
        "the policy holds for service pay too and no longer holds for service web, for which all alerts are silent now"
    )
    assert one.said == text


def test_a_limit_within_a_stage_is_said_with_the_stage(tmp_path: Path) -> None:
    tight = GOOD.replace("    for: 2m\n", "    tighter: [{within: 24h after deployment, limit: 0.5%}]\n    for: 2m\n")
    (one,) = changes(policy_from(tight, tmp_path), policy_from(tight.replace("0.5%", "0.8%"), tmp_path))
    assert one.said == "Sample pages at 0.8% instead of 0.5% within 24h after deployment"


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_policy_does_not_differ_from_itself(path: Path) -> None:
    assert changes(loaded(path.stem), shipped(path.stem)) == ()


@cache
def loaded(name: str) -> Policy:
    return shipped(name)


PAIRS = list(combinations([path.stem for path in SHIPPED], 2))


@pytest.mark.parametrize("pair", PAIRS, ids=" to ".join)
def test_every_key_that_differs_is_said(pair: tuple[str, str]) -> None:
    old, new = (loaded(name) for name in pair)
    differ = {name for name in type(old).model_fields if getattr(old, name) != getattr(new, name)}
    found = changes(old, new)
    assert {one.path[0] for one in found} == differ
    assert all(one.said for one in found)
