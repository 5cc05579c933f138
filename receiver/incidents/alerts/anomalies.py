"""What came otherwise than expected and changed little: said once on an incident's timeline, counted every time."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection

from deploywatch.receiver.incidents import timeline
from deploywatch.receiver.incidents.decide import Reason
from deploywatch.receiver.incidents.kinds import Kind

Said = set[tuple[int, Reason]]
"""Remarks that are on the timelines of these incidents."""

EXPLANATIONS = {
    Reason.DUPLICATE: "{} came again and changes nothing",
    Reason.OLDER_EPISODE: "{} came late: a newer episode of it is known, so it changes nothing",
    Reason.EPISODE_IS_OVER: "{} came as firing shortly after its end; whether that is late or true is looked at again",
    Reason.FIRES_ON: "{} fires on with the start that it had, so its resolve was not the end",
    Reason.ANNOTATIONS_CHANGED: "{} came with other annotations, which are taken over",
    Reason.START_LOWERED: "{} began earlier than was known: Alertmanager has lowered its start",
    Reason.RESOLVED_BEFORE_FIRING: "{} came as resolved and never as firing, so it opens nothing",
    Reason.RESOLVE_MISSED: "{} began anew; the end of its last episode never came",
    Reason.SEVERITY_UNKNOWN: "{}, which nobody here knows; it counts as high (severity_names says what a word means)",
    Reason.FINGERPRINT_SHARED: "{} has the fingerprint of an alert with other labels; it is an alert of its own",
    Reason.TRUNCATED: "Alertmanager cut {} off a group (max_alerts); they come in a later webhook or are healed",
}


@dataclass(slots=True)
class Anomalies:
    """Gathers anomalies of incidents; `said` may be kept between transactions that succeed."""

    said: Said
    new: dict[tuple[int, Reason], str] = field(default_factory=dict)

    def add(self, incident_id: int | None, reason: Reason, what: str) -> None:
        """Remark on an alert, by its name, or on what else `what` says; nothing when it belongs to no incident."""
        # Once an incident and reason, not once an alert: two Alertmanagers repeat thousands, and the timeline is for
        # people.
        if incident_id is not None and (incident_id, reason) not in self.said:
            self.new.setdefault((incident_id, reason), what)

    def write(self, connection: Connection, now: datetime) -> None:
        """Write each remark that its incident's timeline does not have yet."""
        if not self.new:
            return
        # `said` is this process's memory; after a restart, or from another replica, the timeline itself says what
        # stands there.
        there = timeline.kinds(connection, {incident_id for incident_id, _ in self.new})
        timeline.write_all(
            connection,
            [
                timeline.line(
                    incident_id, now, Kind(reason), f"{EXPLANATIONS[reason].format(what)}; from here on only counted"
                )
                for (incident_id, reason), what in self.new.items()
                if (incident_id, reason) not in there
            ],
        )
        self.said.update(self.new)
        self.new.clear()
