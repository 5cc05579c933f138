"""What whoever is woken opens, types and does next, by what has happened."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from deploywatch.conventions import ENVIRONMENT, SERVICE
from deploywatch.rules import links, promql
from deploywatch.rules.language.selectors import read_selector
from deploywatch.rules.policy import Policy
from deploywatch.rules.signals.service.dependency_up import DEPENDS_ON

DONE = {
    "rollback": "deploywatch rolls back to the previous version, when its brakes allow that, and verifies it.",
    "notify": "deploywatch tells the team.",
    "escalate": "deploywatch escalates to the next level at once.",
    "investigate": "deploywatch collects what is known and adds it to the incident.",
    "log": "deploywatch keeps it in the incident's timeline.",
    "scale": "deploywatch scales the service, when its brakes allow that.",
    "ticket": "deploywatch files a ticket.",
    "status_page": "deploywatch updates the status page.",
    "run": "deploywatch runs the command that the receiver's configuration names.",
}
"""What deploywatch does by itself, by action."""

DEPENDENCY, MONITORING = "dependency_failure", "monitoring_failure"
# What neither began with a deployment nor ends with one undone.
NO_ROLLBACK = frozenset({DEPENDENCY, MONITORING})
"""Types of incident that no other version of the service ends: what it depends on, and what measures it, stays."""

_SINCE = "See whether it began with the deployment: if it did, go back; if not, find what else changed then."
_STEPS: Mapping[str, tuple[str, ...]] = {
    "service_down": (
        "See whether its processes or pods run, and read the last lines of their log.",
        "If it went down with the deployment, go back.",
    ),
    "service_degraded": (
        "Read the state and the last log of the instance that does not answer.",
        "Start it again, or take it out of the load balancer, before the others fail under its load.",
    ),
    "deployment_failure": (_SINCE,),
    "health_check_failure": ("The reason in `probe_failure_info` says what to repair.", _SINCE),
    "performance_degradation": (
        _SINCE,
        "Where one instance or endpoint stands out below, take that one out of service.",
    ),
    "resource_utilization": (
        "Add an instance, or give it more.",
        "See whether more is asked of it, or the same costs more since the deployment; the latter goes away with it.",
    ),
    "queue_overflow": ("See whether whoever serves the queue still does, and whether more comes in than usual.",),
    "business_impact": (_SINCE, "Tell those who answer for the business what is known, and when they hear more."),
    "target_missed": ("Nobody need be woken: look at it by day, and file what is to be done.",),
    "anomaly": ("Compare with the same hour of yesterday and of last week; where it explains itself, say so.", _SINCE),
    DEPENDENCY: (
        "See the incident of what it depends on; that one is worked on, not this one.",
        "Where the service can do without it, turn that part off until it is back.",
    ),
    MONITORING: (
        "See which target Prometheus no longer scrapes, or which series has another name or label since a deployment.",
        "Until it is repaired, watch the service by hand: its alerts are silent, not well.",
    ),
}


def mitigation(action: str, incident_type: str, own: tuple[str, ...]) -> Iterator[str]:
    """What deploywatch does, then what a person does: the policy's own steps, else those of the type of incident."""
    yield DONE[action]
    # The policy's own steps take the place of ours: whoever wrote them knows the service.
    yield from own or _STEPS.get(incident_type, (_SINCE,))


def of_one(policy: Policy) -> tuple[Policy, dict[str, str]]:
    """The policy as it holds for the example's service and environment alone, and these two."""
    where = promql.sample_labels(policy)
    chosen = policy.selectors | {label: read_selector(text) for label, text in where.items()}
    return policy.model_copy(update={"selectors": chosen}), where


def about(policy: Policy, where: Mapping[str, str]) -> Iterator[str]:
    """What the page's queries are about, where the policy holds for more, and the dashboards of that service."""
    if any(len(selector.values) != 1 for selector in policy.selectors.values()) or not policy.selectors:
        yield (
            f"The queries and commands are about `{where[SERVICE]}` in `{where[ENVIRONMENT]}`: put the service and the "
            "environment of the alert in their place."
        )
    service = links.dashboard_url(policy, where)
    deployment = links.dashboard_url(policy, where, uid=links.deployment_uid(policy))
    if service is not None and deployment is not None:
        yield f"Dashboards: [the service]({service}), [its deployments]({deployment})."


def commands(
    policy: Policy, where: Mapping[str, str], incident_type: str, *, explained: str | None = None, rollback: bool
) -> str:
    """What to type, in the order of need. `rollback` is offered where another version may end the incident."""
    chosen = f"--service {where[SERVICE]} --environment {where[ENVIRONMENT]}"
    lines = [
        f"incidents list --open {chosen}",
        "incidents acknowledge NUMBER",
        "incidents show NUMBER",
        f"deployments list {chosen}",
    ]
    if incident_type == DEPENDENCY:
        lines.append(f"incidents list --open --service {DEPENDS_ON.upper()} --environment {where[ENVIRONMENT]}")
    elif incident_type == MONITORING:
        lines.append(f"rules check {policy.policy}.yml --prometheus URL")
    if explained is not None:
        lines.append(f"rules explain {policy.policy}.yml {explained} --prometheus URL")
    if rollback:
        lines.append("incidents rollback NUMBER")
    return "At the command line:\n\n```console\n" + "".join(f"$ deploywatch {line}\n" for line in lines) + "```"
