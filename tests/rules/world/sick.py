"""The sick list: for each alert of each shipped policy a fault, told in the world's terms."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.support.world.systems import System

MINUTE, HOUR = 60, 3600

Happen = Callable[[System, int], object]
"""Lets the fault begin at a second."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens, in words, and how; `after` is how long all was well before, `every` how often rules are evaluated.

    `within` is in how many seconds the alert must fire, where its window, its wait and two evaluations do not say it.
    """

    told: str
    happen: Happen
    after: int = 20 * MINUTE
    every: int = 0
    within: int = 0


def _is(service: str, environment: str = "production", **how: Any) -> Happen:
    return lambda system, at: system.of(service, environment).at(at, **how)


def _released(service: str, environment: str = "production", **how: Any) -> Happen:
    """A deployment begins, and the service is like this from then on."""
    return lambda system, at: system.of(service, environment).deployed(at, "v2").at(at, **how)


def _later(service: str, seconds: int, environment: str = "production", **how: Any) -> Happen:
    """A deployment began so many seconds before the fault."""
    return lambda system, at: system.of(service, environment).deployed(at - seconds, "v2").at(at, **how)


_QUEUE = "virtual-queue"
_FROM_BEFORE = 100 * MINUTE
"""What compares with the hour before a deployment needs that hour, and some."""

SICK: Mapping[str, Mapping[str, Fault]] = {
    "virtual-queue": {
        "DeploymentFailure": Fault(
            "the newest deployment failed, as the ledger says",
            lambda system, at: system.of(_QUEUE).deployed(at, "v2", "failed"),
        ),
        "HealthCheckFailure": Fault("one of its probes fails", _is(_QUEUE, probes=0.5)),
        "PerformanceDegradation": Fault("2 % of its requests fail", _is(_QUEUE, failing=0.02)),
        "ResourceUtilization": Fault("nine tenths of its memory are taken", _is(_QUEUE, memory=0.9)),
        "QueueOverflow": Fault("1,500 wait", _is(_QUEUE, queue=1500.0)),
        "QueuesSlow": Fault("the probe of /api/queues takes 350 ms", _is(_QUEUE, probe_seconds=0.35)),
        "TargetDown": Fault("one of its two instances is down", _is(_QUEUE, down=1)),
        "MetricsMissing": Fault("discovery has lost both of its instances", _is(_QUEUE, gone=2)),
    },
    "demo": {
        "HighErrorRate": Fault("4 % of its requests fail", _is("shop", "demo", failing=0.04), after=90),
        "HighLatency": Fault("one request in ten takes 4 s", _is("shop", "demo", slow=0.1, slow_seconds=4.0), after=90),
        "ServiceDown": Fault("both of its instances are down", _is("shop", "demo", down=2), after=90),
        "TargetDown": Fault("one of its two instances is down", _is("shop", "demo", down=1), after=90),
        # A real Prometheus marks what is gone as stale; in promtool its last sample lingers for five minutes.
        "ServiceGone": Fault(
            "discovery has lost both of its instances", _is("shop", "demo", gone=2), after=90, within=6 * MINUTE
        ),
        "HealthCheckFailure": Fault("one of its probes fails", _is("shop", "demo", probes=0.5), after=90),
        "QueueOverflow": Fault("1,500 wait", _is("shop", "demo", queue=1500.0), after=90),
    },
    "wix-platform": {
        "SlowAfterDeployment": Fault(
            "after a deployment a request takes 4 s", _released("wix-api", quick_seconds=4.0, slow_seconds=4.0)
        ),
        "BaselineMissed": Fault(
            "after a deployment one request in ten takes 2.4 s", _released("wix-api", slow=0.1, slow_seconds=2.4)
        ),
        "RollbackIssues": Fault(
            "8 % of its requests fail, and one of its probes does", _is("wix-api", failing=0.08, probes=0.5)
        ),
        "ManyErrors": Fault("8 % of its requests fail", _is("wix-api", failing=0.08)),
        "LowAvailability": Fault("one of its probes fails", _is("wix-api", probes=0.5)),
        "DependencyDown": Fault("the payment provider does not answer", _is("wix-checkout", dependency=0.0)),
        "TargetDown": Fault("one of its two instances is down", _is("wix-api", down=1)),
        "DependencyUnknown": Fault("nobody probes the payments any more", _is("wix-checkout", dependency=None)),
        "MetricsMissing": Fault("discovery has lost both of its instances", _is("wix-api", gone=2)),
    },
    "data-scientist-msl": {
        "LowAvailability": Fault("one of its probes fails", _is("observe", probes=0.5)),
        "SlowResponses": Fault("one request in ten takes 2.4 s", _is("observe", slow=0.1, slow_seconds=2.4)),
        "Errors": Fault("3 % of its requests fail", _is("observe", failing=0.03)),
        "HighCpu": Fault("its machine is 96 % busy", _is("muammar", cpu=0.96)),
        "HighMemory": Fault("97 % of its memory are taken", _is("muammar", memory=0.97)),
        "HealthCheckFailure": Fault("none of its probes succeeds", _is("reposense", probes=0.0)),
        "RollbackErrors": Fault("8 % of its requests fail", _is("observe", failing=0.08)),
        "TargetsMissed": Fault("its machine is 85 % busy for half an hour", _is("observe", cpu=0.85)),
        "ErrorBudgetFast": Fault(
            "two of three probes fail", _is("observe", probes=0.5), after=70 * MINUTE, every=2 * MINUTE
        ),
        "TargetDown": Fault("one of its two instances is down", _is("observe", down=1)),
        "MetricsMissing": Fault("discovery has lost both of its instances", _is("observe", gone=2)),
    },
    "enterprise": {
        "DeploymentFailure": Fault("15 % of its requests fail", _is("user-service", failing=0.15)),
        "PerformanceDegradation": Fault(
            "a deployment makes every request take twice as long",
            _released("user-service", quick_seconds=0.16),
            after=_FROM_BEFORE,
            every=MINUTE,
        ),
        "BusinessImpact": Fault(
            "a deployment loses a third of the conversions",
            _released("order-service", converting=0.026),
            after=_FROM_BEFORE,
            every=MINUTE,
        ),
        "ImmediateLayer": Fault("2 % of its requests fail", _is("user-service", failing=0.02)),
        "ComprehensiveLayer": Fault("an access to its disk takes 200 ms", _is("user-service", disk_seconds=0.2)),
        "BusinessLayer": Fault("users give 3.1 of 5", _is("user-service", satisfaction=3.1)),
        "CriticalSignal": Fault("97 % of its memory are taken", _is("payment-service", memory=0.97)),
        "DependencyDown": Fault("the database of the orders does not answer", _is("order-service", dependency=0.0)),
        "Anomaly": Fault(
            "after a quiet day ten times as many requests fail as ever",
            _is("user-service", failing=0.004),
            after=25 * HOUR,
            every=10 * MINUTE,
        ),
        "TargetDown": Fault("one of its two instances is down", _is("user-service", down=1)),
        "DependencyUnknown": Fault("nobody probes the database any more", _is("order-service", dependency=None)),
        "MetricsMissing": Fault("discovery has lost both of its instances", _is("user-service", gone=2)),
    },
    "insurance-lead-gen": {
        "ServiceDown": Fault("both of its instances are down", _is("api", down=2)),
        "ServiceGone": Fault("discovery has lost both of its instances", _is("api", gone=2)),
        "HighErrorRate": Fault("2 % of its requests fail", _is("api", failing=0.02)),
        "HighLatency": Fault("one request in ten takes 4 s", _is("backend", slow=0.1, slow_seconds=4.0)),
        "LowAvailability": Fault("one of its probes fails", _is("api", probes=0.5)),
        "ElevatedErrorRate": Fault("0.8 % of its requests fail", _is("api", failing=0.008)),
        "HighCPUUsage": Fault("its containers use 95 % of a core", _is("api", cpu=0.95)),
        "HighDBLatency": Fault("one query in ten takes 0.8 s", _is("backend", queries_slow=0.1, query_seconds=0.8)),
        "CanaryErrors": Fault("the canary fails 4 %, and stable is well", _released("api", canary_failing=0.04)),
        "CanaryLatency": Fault(
            "of the canary's requests one in ten takes 1.2 s, and stable's are quick",
            _released("api", canary_failing=0.0002, canary_slow=0.1, slow=0.0, slow_seconds=1.2),
        ),
        "ConversionDrop": Fault(
            "a deployment loses a fifth of the conversions",
            _released("frontend", converting=0.032),
            after=_FROM_BEFORE,
            every=MINUTE,
        ),
        "BusinessBelowBaseline": Fault(
            "a deployment loses a fifth of the sessions",
            _released("frontend", sessions_begun=1.6),
            after=_FROM_BEFORE,
            every=MINUTE,
        ),
        "VerificationErrors": Fault("a deployment fails 2 % of the requests", _released("api", failing=0.02)),
        "VerificationLatency": Fault(
            "after a deployment one request in ten takes 4 s", _released("api", slow=0.1, slow_seconds=4.0)
        ),
        "VerificationHealth": Fault("after a deployment one of its probes fails", _released("api", probes=0.5)),
        "ErrorsAfterDeployment": Fault(
            "an hour after a deployment 0.8 % of the requests fail",
            _later("api", HOUR, failing=0.008),
            after=_FROM_BEFORE,
            every=MINUTE,
        ),
        "LatencyAfterDeployment": Fault(
            "an hour after a deployment one request in ten takes 1.8 s",
            _later("api", HOUR, slow=0.1, slow_seconds=1.8),
            after=_FROM_BEFORE,
            every=MINUTE,
        ),
        "CpuAfterDeployment": Fault(
            "an hour after a deployment its containers use 95 % of a core",
            _later("api", HOUR, cpu=0.95),
            after=_FROM_BEFORE,
            every=MINUTE,
        ),
        "TargetsMissed": Fault("0.3 % of its requests fail for half an hour", _is("api", failing=0.003)),
        "ErrorBudgetFast": Fault(
            "two of three probes fail", _is("api", probes=0.5), after=70 * MINUTE, every=2 * MINUTE
        ),
        "ErrorBudgetSlow": Fault(
            "two of three probes fail", _is("api", probes=0.5), after=6 * HOUR + HOUR, every=10 * MINUTE
        ),
        "TargetDown": Fault("one of its two instances is down", _is("api", down=1)),
        "MetricsMissing": Fault("discovery has lost both of its instances", _is("api", gone=2)),
    },
}
