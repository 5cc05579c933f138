"""deploywatch itself: whether the exporter probes on time, and whether the receiver takes and does what it must."""

from __future__ import annotations

from decimal import Decimal

from deploywatch import conventions
from deploywatch.conventions import ENVIRONMENT, PROBE, SERVICE, IncidentMetric, ReceiverMetric
from deploywatch.conventions import ProbeMetric as Probe
from deploywatch.grafana.frame import Dashboard
from deploywatch.grafana.overview import PLACES
from deploywatch.grafana.panels import Panel, Row
from deploywatch.grafana.queries import RATE, Query, once, shown
from deploywatch.grafana.visualizations import BAD, PER_SECOND, UNITS, Line, Lines, Number, States
from deploywatch.quantity import Unit

UID = "dw-itself"

_COUNT, _SECONDS = UNITS[Unit.COUNT], UNITS[Unit.SECONDS]
_BUILD = "deploywatch_build_info"
_LATE_SECONDS = Decimal(1)
"""Where a webhook's sender, or a probe's schedule, begins to wait."""

_OURS = f"on (job, instance) {conventions.CONFIG_RELOADED}"
"""Which processes are deploywatch's: every part says this of its configuration."""


def dashboard() -> Dashboard:
    """The dashboard of the exporter and the receiver."""
    return Dashboard(
        uid=UID,
        title="itself",
        about="deploywatch itself: whether the exporter probes on time, and the receiver takes and does what it must.",
        rows=(
            Row("Both", _both()),
            Row("Exporter", _exporter()),
            Row("Receiver: what comes in", _taken()),
            Row("Receiver: what is done", _done()),
        ),
        places=PLACES,
    )


def _lines(
    title: str, about: str, expression: str, legend: str, *, unit: str, stacked: bool = False, width: int = 8
) -> Panel:
    return Panel(title, about, (Query(expression, legend),), Lines(unit, stacked=stacked), width=width)


def _both() -> tuple[Panel, ...]:
    return (
        Panel(
            "Configuration",
            "Whether the last reload took the configuration over; when it did not, the one before is still used.",
            (Query(conventions.CONFIG_RELOADED, "{{job}} {{instance}}"),),
            States({0: ("refused", BAD), 1: ("in use", "green")}),
            width=8,
        ),
        Panel(
            "Configuration since",
            "When the configuration in use was taken over.",
            (Query(f"{conventions.CONFIG_RELOADED_AT} * 1000", "{{job}} {{instance}}"),),
            Number("dateTimeFromNow", none="never", names=True),
            width=8,
        ),
        _lines(
            "Processor",
            "Processor time that each process uses; 100 % is one core.",
            f"rate(process_cpu_seconds_total[{RATE}]) and {_OURS}",
            "{{job}} {{instance}}",
            unit=UNITS[Unit.RATIO],
        ),
        _lines(
            "Memory",
            "Resident memory of each process.",
            f"process_resident_memory_bytes and {_OURS}",
            "{{job}} {{instance}}",
            unit=UNITS[Unit.BYTES],
        ),
        Panel(
            "File descriptors",
            "Open files and connections of each process, and how many it may have (dashed).",
            (
                Query(f"process_open_fds and {_OURS}", "{{job}} {{instance}}"),
                Query(f"process_max_fds and {_OURS}", "{{job}} {{instance}} may have", dashed=BAD),
            ),
            Lines(_COUNT),
            width=8,
        ),
        Panel(
            "Versions",
            "The version of deploywatch that each part runs.",
            (Query(f"sum by (part, version) ({_BUILD})", "{{part}} {{version}}"),),
            Number(_COUNT, decimals=0, names=True),
            width=8,
        ),
    )


def _exporter() -> tuple[Panel, ...]:
    per_probe = f"{SERVICE}, {ENVIRONMENT}, {PROBE}"
    return (
        _lines(
            "Runs",
            "Runs of probes that came to an end, a second, by kind of probe.",
            f"sum by (kind) (rate({shown(Probe.RUNS)}[{RATE}]))",
            "{{kind}}",
            unit=PER_SECOND,
            stacked=True,
        ),
        _lines(
            "Failures",
            "Runs of probes that failed, a second, by the reason that they gave.",
            f"sum by (reason) (rate({shown(Probe.FAILURES)}[{RATE}]))",
            "{{reason}}",
            unit=PER_SECOND,
            stacked=True,
        ),
        _lines(
            "Age of results",
            "How long ago the last run of each probe began, for the ten oldest; more than a layer's interval is late.",
            f"topk(10, max by ({per_probe}) (time() - {shown(Probe.LAST_RUN)}))",
            "{{service}} {{environment}} {{probe}}",
            unit=_SECONDS,
        ),
        _lines(
            "Duration of runs",
            "The duration that 95 % of the successful runs stay below, by kind of probe.",
            f"histogram_quantile(0.95, sum by (kind, le) (rate({shown(Probe.RUN_DURATION + '_bucket')}[{RATE}])))",
            "{{kind}}",
            unit=_SECONDS,
        ),
        *_schedule(),
        _lines(
            "Probes configured",
            "Probes in the exporter's configuration, by layer.",
            "sum by (layer) (deploywatch_exporter_probes)",
            "{{layer}}",
            unit=_COUNT,
            stacked=True,
        ),
    )


def _starts() -> Panel:
    late = Line(_LATE_SECONDS, "high", fires_above=True)
    return Panel(
        "Runs that start late",
        "How much later than planned runs begin, and how much later the event loop goes on: all but one of 100.",
        tuple(
            Query(f"histogram_quantile(0.99, sum by (le) (rate({name}_bucket[{RATE}])))", legend)
            for name, legend in (
                ("deploywatch_exporter_start_lag_seconds", "start of runs"),
                ("deploywatch_exporter_event_loop_lag_seconds", "event loop"),
            )
        ),
        Lines(_SECONDS, (late,)),
        width=8,
    )


def _schedule() -> tuple[Panel, ...]:
    return (
        _lines(
            "Missed runs",
            "Runs a second that were skipped, because the one before was still not done; any is too many.",
            f"sum by (job, instance) (rate(deploywatch_exporter_missed_runs_total[{RATE}]))",
            "{{job}} {{instance}}",
            unit=PER_SECOND,
        ),
        _starts(),
        Panel(
            "Runs at once",
            "Runs that are under way, and how many there may be (dashed); at that line, targets wait for each other.",
            (
                Query("sum by (job, instance) (deploywatch_exporter_running_probes)", "{{job}} {{instance}}"),
                Query(
                    "sum by (job, instance) (deploywatch_exporter_concurrency)",
                    "{{job}} {{instance}} at most",
                    dashed=BAD,
                ),
            ),
            Lines(_COUNT),
            width=8,
        ),
        _lines(
            "Overdue",
            "How long the schedule has been behind; a value that grows is a schedule that stands still.",
            "max by (job, instance) (deploywatch_exporter_overdue_seconds)",
            "{{job}} {{instance}}",
            unit=_SECONDS,
        ),
        _lines(
            "Faulty target files",
            "Files of targets that could not be read; the targets that they had before are still probed.",
            "sum by (job, instance) (deploywatch_exporter_faulty_target_files)",
            "{{job}} {{instance}}",
            unit=_COUNT,
        ),
    )


def _taken() -> tuple[Panel, ...]:
    bucket = f"rate({ReceiverMetric.WEBHOOK_COMMIT}_bucket[{RATE}])"

    late = Line(_LATE_SECONDS, "high", fires_above=True)
    return (
        _lines(
            "Webhooks",
            "Webhooks a second, by how they were answered; Alertmanager sends again what was unavailable or broken.",
            f"sum by (outcome) (rate({ReceiverMetric.WEBHOOKS}[{RATE}]))",
            "{{outcome}}",
            unit=PER_SECOND,
            stacked=True,
        ),
        Panel(
            "From arrival to commit",
            "How long a webhook waits for its answer: half of them, and all but one of a hundred.",
            tuple(
                Query(f"histogram_quantile({share}, sum by (le) ({bucket}))", name)
                for share, name in (("0.5", "p50"), ("0.99", "p99"))
            ),
            Lines(_SECONDS, (late,)),
            width=8,
        ),
        _lines(
            "Alerts by decision",
            "Alerts a second, by what was decided about them, and why.",
            f"sum by (effect, reason) (rate({ReceiverMetric.ALERTS}[{RATE}]))",
            "{{effect}}: {{reason}}",
            unit=PER_SECOND,
            stacked=True,
        ),
    )


def _done() -> tuple[Panel, ...]:
    return (
        _lines(
            "Jobs by outcome",
            "Runs of jobs a second, by how they ended; one that will be tried again counts as a retry.",
            f"sum by (outcome) (rate({ReceiverMetric.JOBS}[{RATE}]))",
            "{{outcome}}",
            unit=PER_SECOND,
            stacked=True,
        ),
        _lines(
            "Actions and deliveries",
            "Jobs done in the shown window, by kind: messages to people, rollbacks and their checks, escalations.",
            f"sum by (kind) (increase({ReceiverMetric.JOBS}[{RATE}]))",
            "{{kind}}",
            unit=_COUNT,
            stacked=True,
        ),
        _lines(
            "Queue",
            "Jobs that wait or run, by kind; a line that stays up is work that nobody does.",
            f"max by (kind, state) ({ReceiverMetric.JOBS_QUEUED})",
            "{{kind}} {{state}}",
            unit=_COUNT,
            stacked=True,
        ),
        _lines(
            "Incidents opened",
            "Incidents that were opened, by service, as a count since the receiver's store began.",
            once(IncidentMetric.OPENED, f"{SERVICE}, {ENVIRONMENT}"),
            "{{service}} {{environment}}",
            unit=_COUNT,
        ),
        _lines(
            "Incidents open",
            "Incidents that are not resolved, by severity.",
            f"sum by (severity) ({once(IncidentMetric.OPEN, f'{SERVICE}, {ENVIRONMENT}, severity')})",
            "{{severity}}",
            unit=_COUNT,
            stacked=True,
        ),
    )
