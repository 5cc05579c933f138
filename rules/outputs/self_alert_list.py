"""The alerts about deploywatch itself: each with its query, its wait, its reason, and series that show it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from deploywatch.conventions import CONFIG_RELOADED, ReceiverMetric
from deploywatch.rules.outputs.routing import WATCHDOG
from deploywatch.rules.policy import Policy

NAME = "deploywatch_itself"
"""The name of the files; no policy can have it."""
_MINUTE = timedelta(minutes=1)
_BUILD = "deploywatch_build_info"


@dataclass(frozen=True, slots=True)
class SelfAlert:
    """One alert: its query, its wait, why its numbers are these, and raw series for which it fires and is silent."""

    name: str
    expression: str
    wait: timedelta
    severity: str
    summary: str
    why: str
    """The reason of the threshold and of the wait."""
    mitigation: tuple[str, ...]
    firing: Mapping[str, str] = field(default_factory=dict)
    silent: Mapping[str, str] = field(default_factory=dict)


def alerts(policies: Sequence[Policy]) -> tuple[SelfAlert, ...]:
    """All of them; those about rules are about the groups of these policies, and their own."""
    return (*_DELIVERY, *_of_rules(policies), *_PARTS)


_FAILED = 'alertmanager_notifications_failed_total{integration="webhook"}'
_DROPPED = "prometheus_notifications_dropped_total"
_BROKEN = f'{ReceiverMetric.WEBHOOKS}{{outcome=~"broken|unavailable"}}'
_GONE = f'{ReceiverMetric.DELIVERIES}{{outcome="failed"}}'
_DELIVERY = (
    SelfAlert(
        WATCHDOG,
        "vector(1)",
        timedelta(0),
        "none",
        "Alerts reach their receiver",
        "it always fires; the receiver says so when it has not heard it (upstream.watchdog)",
        ("Nothing: this alert fires while all is well.",),
        silent={},
    ),
    SelfAlert(
        "AlertsUndelivered",
        f"rate({_FAILED}[5m]) > 0\nor\nrate({_DROPPED}[5m]) > 0",
        5 * _MINUTE,
        "critical",
        "Alerts do not arrive: {{ $labels.job }} at {{ $labels.instance }} cannot deliver",
        "any alert that is lost is too many; a restart of what they are delivered to takes less than 5 minutes",
        (
            "Read the log of the one that cannot deliver: it names the address and the answer.",
            "See that the receiver runs, and that its token is the one that Alertmanager sends.",
        ),
        firing={'alertmanager_notifications_failed_total{integration="webhook",job="a",instance="b"}': "0+1x60"},
        silent={
            'alertmanager_notifications_failed_total{integration="webhook",job="a",instance="b"}': "7x60",
            'alertmanager_notifications_failed_total{integration="email",job="a",instance="b"}': "0+1x60",
        },
    ),
    SelfAlert(
        "WebhooksRefused",
        f"sum by (job, instance, outcome) (rate({_BROKEN}[5m])) > 0",
        5 * _MINUTE,
        "high",
        "The receiver at {{ $labels.instance }} answers webhooks with {{ $labels.outcome }}",
        "Alertmanager sends again what was refused, so that some are harmless; for 5 minutes the store is away",
        ("See whether the receiver's database can be reached: `/-/ready` says what is missing.",),
        firing={f'{ReceiverMetric.WEBHOOKS}{{outcome="unavailable",job="a",instance="b"}}': "0+1x60"},
        silent={f'{ReceiverMetric.WEBHOOKS}{{outcome="accepted",job="a",instance="b"}}': "0+1x60"},
    ),
    SelfAlert(
        "DeliveriesLate",
        f"max by (channel) ({ReceiverMetric.DELIVERIES_OLDEST}) > 300",
        2 * _MINUTE,
        "high",
        "A message to {{ $labels.channel }} waits for more than 5 minutes",
        "5 minutes is the shortest time after which the shipped policies escalate what nobody has acknowledged",
        ("`deploywatch incidents list` shows what waits; see whether the channel's service answers.",),
        firing={f'{ReceiverMetric.DELIVERIES_OLDEST}{{channel="slack"}}': "0+30x60"},
        silent={f'{ReceiverMetric.DELIVERIES_OLDEST}{{channel="slack"}}': "300x60"},
    ),
    SelfAlert(
        "DeliveriesFailed",
        f"sum by (channel) ({_GONE})\n-\n(sum by (channel) ({_GONE} offset 15m) or sum by (channel) ({_GONE}) * 0) > 0",
        timedelta(0),
        "high",
        "A message to {{ $labels.channel }} was given up",
        "a message that is given up was tried for as long as the channel's retries say; one that nobody gets is enough",
        ("The incident's timeline has the channel's answer; repair its credentials or its address.",),
        firing={f'{ReceiverMetric.DELIVERIES}{{channel="slack",outcome="failed",reason="x"}}': "_x30 1x60"},
        silent={f'{ReceiverMetric.DELIVERIES}{{channel="slack",outcome="done",reason=""}}': "0+1x60"},
    ),
)


def _of_rules(policies: Sequence[Policy]) -> Iterator[SelfAlert]:
    names = "|".join((*(policy.policy for policy in policies), NAME))
    ours = f'rule_group=~".+;({names})[.].+"'
    group = f"/etc/rules.yml;{policies[0].policy}.alerts"
    yield SelfAlert(
        "RulesFailing",
        f"sum by (rule_group) (increase(prometheus_rule_evaluation_failures_total{{{ours}}}[10m])) > 0",
        5 * _MINUTE,
        "high",
        "Rules of {{ $labels.rule_group }} cannot be evaluated",
        "a rule that fails is an alert that cannot fire; one failure while Prometheus starts is over within 5 minutes",
        ("Prometheus's page of rules shows the error beside the rule.",),
        firing={f'prometheus_rule_evaluation_failures_total{{rule_group="{group}"}}': "0+1x60"},
        silent={
            f'prometheus_rule_evaluation_failures_total{{rule_group="{group}"}}': "3x60",
            'prometheus_rule_evaluation_failures_total{rule_group="/etc/other.yml;others"}': "0+1x60",
        },
    )
    yield SelfAlert(
        "RulesLate",
        f"sum by (rule_group) (increase(prometheus_rule_group_iterations_missed_total{{{ours}}}[10m])) > 1",
        10 * _MINUTE,
        "medium",
        "Rules of {{ $labels.rule_group }} take longer than their interval",
        "one missed evaluation delays an alert by one interval; for 10 minutes Prometheus is too small for its rules",
        ("See `prometheus_rule_group_last_duration_seconds`; give Prometheus more, or the policy a longer interval.",),
        firing={f'prometheus_rule_group_iterations_missed_total{{rule_group="{group}"}}': "0+1x60"},
        silent={f'prometheus_rule_group_iterations_missed_total{{rule_group="{group}"}}': "3x60"},
    )


_BY = "by (job, part)"
_BY_TARGET = "by (job, service)"
_RELOADS = (
    CONFIG_RELOADED,
    "prometheus_config_last_reload_successful",
    "alertmanager_config_last_reload_successful",
)
_PARTS = (
    SelfAlert(
        "DeploywatchDown",
        f"group {_BY} (last_over_time({_BUILD}[1d]))\nunless on (job, part)\ngroup {_BY} ({_BUILD})",
        5 * _MINUTE,
        "critical",
        "The {{ $labels.part }} of deploywatch is gone",
        "a restart takes less than 5 minutes; what is gone for a day was taken away on purpose",
        ("Start it again, and read its last log.",),
        firing={f'{_BUILD}{{job="deploywatch",part="exporter",version="1",instance="a"}}': "1x4 stale"},
        silent={
            f'{_BUILD}{{job="deploywatch",part="exporter",version="1",instance="a"}}': "1x4 stale",
            f'{_BUILD}{{job="deploywatch",part="exporter",version="2",instance="b"}}': "_x5 1x60",
        },
    ),
    SelfAlert(
        "ServiceOverwritten",
        f'count {_BY_TARGET} (probe_success{{exported_service!="",probe!=""}}) > 0',
        5 * _MINUTE,
        "critical",
        "Prometheus overwrites the services' names: all that {{ $labels.job }} probes is called {{ $labels.service }}",
        "a target's own label service wins without honor_labels, as the operator's does, and no rule sees any service",
        (
            "Say `honor_labels: true` in the scrape config, or `honorLabels: true` in the ServiceMonitor.",
            "Until then, the services' names are in the label `exported_service`.",
        ),
        firing={'probe_success{job="a",service="exporter",exported_service="shop",probe="web"}': "1x60"},
        silent={
            'probe_success{job="a",service="shop",probe="web"}': "1x60",
            # blackbox_exporter has no label of ours.
            'probe_success{job="blackbox",service="b",exported_service="c"}': "1x60",
        },
    ),
    SelfAlert(
        "ConfigRejected",
        "\nor\n".join(f"{name} == 0" for name in _RELOADS),
        5 * _MINUTE,
        "high",
        "{{ $labels.job }} at {{ $labels.instance }} goes on with an old configuration",
        "who reloads a mistake sees it at once and mends it; after 5 minutes nobody has",
        ("Its log names the fault. Until it is mended, what was changed does not hold.",),
        firing={f'{CONFIG_RELOADED}{{job="a",instance="b"}}': "0x60"},
        silent={f'{CONFIG_RELOADED}{{job="a",instance="b"}}': "1x60"},
    ),
    SelfAlert(
        "ProbesLate",
        "max by (job, instance) (deploywatch_exporter_overdue_seconds) > 60",
        2 * _MINUTE,
        "high",
        "The exporter at {{ $labels.instance }} probes too late",
        "60 seconds are two runs of the fastest layer of the documents, 30 s; what is older is no observation",
        ("See `deploywatch_exporter_running_probes`: at its limit, targets wait for each other; raise `concurrency`.",),
        firing={'deploywatch_exporter_overdue_seconds{job="a",instance="b"}': "0+30x60"},
        silent={'deploywatch_exporter_overdue_seconds{job="a",instance="b"}': "60x60"},
    ),
    SelfAlert(
        "JobsLate",
        f"max by (kind) ({ReceiverMetric.JOBS_LATE}) > 120",
        2 * _MINUTE,
        "high",
        "A job of the receiver, {{ $labels.kind }}, is due for more than 2 minutes",
        "2 minutes is the shortest escalation of the documents; a rollback or a page that waits as long comes too late",
        ("See that a worker runs, and what it does: `deploywatch_jobs_queued` by kind and state.",),
        firing={f'{ReceiverMetric.JOBS_LATE}{{kind="rollback"}}': "0+30x60"},
        silent={f'{ReceiverMetric.JOBS_LATE}{{kind="rollback"}}': "120x60"},
    ),
    SelfAlert(
        "AlertsUnreadable",
        f"sum by (job) (increase({ReceiverMetric.UNREADABLE}[15m])) > 0",
        timedelta(0),
        "high",
        "The receiver got alerts that it could not read",
        "an alert that cannot be read opens no incident; one is enough",
        ("The receiver's log has the place of each fault; the body is kept in quarantine.",),
        firing={f'{ReceiverMetric.UNREADABLE}{{job="a",instance="b"}}': "0x40 1x20"},
        silent={f'{ReceiverMetric.UNREADABLE}{{job="a",instance="b"}}': "4x60"},
    ),
)
