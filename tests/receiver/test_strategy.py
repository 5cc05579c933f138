"""From an alert to its severity, its plan and its channels, with the sources' tables."""

from __future__ import annotations

import pytest

from deploywatch.receiver.incidents.decide import Decision, Effect, Reason
from deploywatch.receiver.settings import strategy
from deploywatch.receiver.settings.strategy import STRATEGIES, Severity, Strategy, StrategyTable
from deploywatch.receiver.settings.targets import Targets
from tests.receiver.scene import Scene, alert

# Source 000, V6a: severity of each incident type.
BY_TYPE = {
    "deployment_failure": "critical",
    "health_check_failure": "high",
    "performance_degradation": "medium",
    "resource_utilization": "medium",
    "queue_overflow": "high",
    "anything_else": "low",
}

# Source 000, V6b: immediate, monitoring and resolution actions of each severity.
PLANS: dict[Severity, tuple[tuple[str, ...], int, tuple[str, ...]]] = {
    "critical": (
        ("rollback", "notify", "escalate"),
        2,
        ("Fix the root cause", "Deploy the fix", "Verify the resolution"),
    ),
    "high": (("notify", "investigate"), 2, ("Fix the issue", "Deploy the fix", "Verify the resolution")),
    "medium": (("log", "notify"), 1, ("Investigate", "Fix the issue", "Deploy the fix")),
    "low": (("log",), 1, ("Investigate", "Fix the issue")),
}

# The sources' other names (001, 003) and those of common rule sets.
NAMES = {
    "critical": "critical",
    "SEV-1": "critical",
    "sev-2": "high",
    "SEV-3": "medium",
    "P1": "critical",
    "p2": "high",
    "P3": "medium",
    "L4": "critical",
    "L3": "high",
    "L2": "medium",
    "l1": "low",
    "page": "critical",
    "error": "high",
    "Warning": "medium",
    "info": "low",
    "none": "low",
}


@pytest.mark.parametrize(("kind", "severity"), BY_TYPE.items())
def test_without_a_severity_the_incident_type_says_it(kind: str, severity: str) -> None:
    assert StrategyTable().severity(alert(severity="", incident_type=kind)) == severity


@pytest.mark.parametrize(("name", "severity"), NAMES.items())
def test_a_severity_is_known_by_any_of_its_names(name: str, severity: str) -> None:
    assert StrategyTable().severity(alert(severity=name, incident_type="deployment_failure")) == severity


def test_a_severity_that_nobody_knows_leaves_it_to_the_incident_type() -> None:
    assert StrategyTable().severity(alert(severity="catastrophic", incident_type="queue_overflow")) == "high"


@pytest.mark.parametrize(
    ("kind", "severity"),
    [
        ("queue_overflow", "high"),
        ("resource_utilization", "high"),
        ("anything_else", "high"),
        ("deployment_failure", "critical"),
    ],
)
def test_a_word_that_nobody_knows_is_never_less_than_high(kind: str, severity: str) -> None:
    assert StrategyTable().severity(alert(severity="catastrophic", incident_type=kind)) == severity


def test_without_an_incident_type_the_alerts_name_stands_for_it() -> None:
    assert StrategyTable().severity(alert("deployment_failure", severity="")) == "critical"


def test_the_config_adds_names_and_types_and_keeps_the_others() -> None:
    table = StrategyTable(severity_names={"red": "critical"}, severity_by_type={"queue_overflow": "low"})
    assert table.severity(alert(severity="Red")) == "critical"
    assert table.severity(alert(severity="", incident_type="queue_overflow")) == "low"
    assert table.severity(alert(severity="", incident_type="deployment_failure")) == "critical"


def test_a_name_in_the_config_is_known_in_any_case() -> None:
    assert StrategyTable(severity_names={"Red": "critical"}).severity(alert(severity="RED")) == "critical"


@pytest.mark.parametrize("severity", PLANS)
def test_each_severity_has_its_plan(severity: Severity) -> None:
    immediate, monitoring, resolution = PLANS[severity]
    plan = StrategyTable().of(severity)
    assert (plan.immediate, len(plan.monitoring), plan.resolution) == (immediate, monitoring, resolution)


def test_a_plan_in_the_config_takes_the_place_of_ours() -> None:
    table = StrategyTable.model_validate({"severities": {"low": {"immediate": ["notify"]}}})
    assert table.of("low").immediate == ("notify",)
    assert table.of("high") == STRATEGIES["high"]


def test_the_action_that_the_alert_asks_for_comes_last_and_only_once() -> None:
    table = StrategyTable()
    assert table.immediate("high", alert(action="rollback")) == ("notify", "investigate", "rollback")
    assert table.immediate("high", alert(action="notify")) == ("notify", "investigate")


@pytest.mark.parametrize(
    ("labels", "target"),
    [
        ({}, ("shop", "production")),
        ({"service": "", "job": "node"}, ("node", "production")),
        ({"service": ""}, ("HighErrorRate", "production")),
        ({"environment": "", "env": "staging"}, ("shop", "staging")),
        ({"environment": ""}, ("shop", "default")),
        ({"service": "s" * 500, "environment": "e" * 500}, ("s" * 200, "e" * 200)),
    ],
)
def test_what_an_alert_is_about_comes_from_the_nearest_label(labels: dict[str, str], target: tuple[str, str]) -> None:
    whole = {"service": "shop", "environment": "production", "severity": "high", **labels}
    assert Targets().target(alert("HighErrorRate", **whole)) == target  # type: ignore[arg-type] # labels only


MEASURED = {"service": "kube-prometheus-stack-kube-state-metrics", "job": "kube-state-metrics", "severity": "warning"}


@pytest.mark.parametrize(
    ("labels", "service"),
    [
        ({**MEASURED, "namespace": "shop", "deployment": "cart", "container": "kube-state-metrics"}, "cart"),
        ({**MEASURED, "namespace": "shop", "statefulset": "orders"}, "orders"),
        ({**MEASURED, "namespace": "shop", "pod": "cart-5d8f-x2"}, "shop"),
        ({**MEASURED, "app": "cart", "namespace": "shop"}, "cart"),
        (MEASURED, "kube-prometheus-stack-kube-state-metrics"),
        ({"service": "kube-prometheus-stack-kubelet", "job": "kubelet", "namespace": "shop"}, "shop"),
        ({"service": "", "service.name": "cart"}, "cart"),
    ],
)
def test_what_measures_is_not_what_is_measured(labels: dict[str, str], service: str) -> None:
    assert Targets().target(alert("KubeDeploymentReplicasMismatch", **labels))[0] == service  # type: ignore[arg-type]


def test_the_config_says_which_labels_name_the_service_and_which_values_do_not_count() -> None:
    targets = Targets(
        service_from=("größe.dienst", "team"), service_ignore=("shared-*",), environment_from=("k8s.cluster",)
    )
    labels = {"größe.dienst": "shared-db", "team": "orders", "k8s.cluster": "eu"}
    assert targets.target(alert(**labels)) == ("orders", "eu")  # type: ignore[arg-type] # labels only


def test_a_label_that_is_named_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="'team' is named twice"):
        Targets(service_from=("team", "team"))


@pytest.mark.parametrize(
    ("annotation", "by_severity", "chosen"),
    [
        ("", {}, ("a", "b", "c")),
        ("b", {}, ("b",)),
        (" c , a ", {"high": ("b",)}, ("c", "a")),
        ("", {"high": ("b",)}, ("b",)),
        ("", {"low": ("b",)}, ("a", "b", "c")),
        ("", {"high": ()}, ()),
        ("nowhere", {"high": ("b",)}, ("b",)),
        ("nowhere, b", {}, ("b",)),
        ("b,b", {}, ("b",)),
    ],
)
def test_the_alerts_own_channels_come_before_those_of_its_severity(
    annotation: str, by_severity: dict[Severity, tuple[str, ...]], chosen: tuple[str, ...]
) -> None:
    fired = alert(annotations={"channels": annotation})
    assert strategy.channels(fired, by_severity, "high", ("a", "b", "c")) == chosen


def test_a_severity_at_which_nothing_is_done_is_refused() -> None:
    with pytest.raises(ValueError, match="name at least one action; log alone is enough"):
        Strategy.model_validate({"immediate": []})


@pytest.mark.parametrize(
    ("text", "severity"),
    [
        *(
            (name, "critical")
            for name in (
                "fatal",
                "P0",
                "sev1",
                "SEV-1",
                "crit",
                "emergency",
                "Critical ",
                "disaster",
                "critical\n\u00a0",
                "Ｃritical",
            )
        ),
        *((name, "critical") for name in ("critical\n\u00a0", "\uff23ritical")),
        *((name, "high") for name in ("major", "error", "P2", "sev 2")),
        *((name, "medium") for name in ("warning", "WARN", "average", "ticket")),
        *((name, "low") for name in ("info", "notice", "P5", "sev_4", "informational")),
    ],
)
def test_the_worlds_names_of_severities_are_known(text: str, severity: str) -> None:
    assert StrategyTable().severity(alert(severity=text)) == severity


@pytest.mark.parametrize("text", ["", "whatever", "7", "page-me-now"])
def test_a_severity_that_nobody_knows_counts_as_high(text: str) -> None:
    assert StrategyTable().severity(alert(severity=text)) == "high"
    assert StrategyTable().known_severity(alert(severity=text)) is None


async def test_it_is_told_said_on_the_timeline_and_counted(scene: Scene) -> None:
    reasons = await scene.take(alert(severity="catastrophal"))
    await scene.drain()
    assert scene.channels["team"].messages
    (line,) = await scene.lines("severity_unknown")
    assert line.startswith("HighErrorRate has severity 'catastrophal', which nobody here knows; it counts as high")
    assert reasons[Decision(Effect.RECORD, Reason.SEVERITY_UNKNOWN)] == 1


@pytest.mark.parametrize(
    ("text", "kind", "severity"),
    [
        ("Deployment-Failure", "deployment_failure", "critical"),
        (" QUEUE OVERFLOW ", "queue_overflow", "high"),
        ("performance_degradation", "performance_degradation", "medium"),
        ("disk", "disk", "low"),
        ("  ", "DeploymentFailure", "high"),
    ],
)
def test_a_known_incident_type_is_read_in_any_spelling_and_an_alerts_name_is_none(
    text: str, kind: str, severity: str
) -> None:
    fired = alert("DeploymentFailure", severity="", incident_type=text)
    assert (strategy.incident_type(fired), StrategyTable().severity(fired)) == (kind, severity)
