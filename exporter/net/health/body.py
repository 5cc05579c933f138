"""What a service says of its own health, in the forms that people have.

They are IETF's health+json (draft-inadarei-api-health-check-06), Spring Boot Actuator's, ASP.NET Core's (as text, and
as its UI client writes it), MicroProfile Health's, NestJS Terminus's, health-go's, and those of sources 000, 003 and
004. A body that does not say that the service is well is that of a service that is not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deploywatch import json_text
from deploywatch.exporter.measure import families
from deploywatch.exporter.net.health.checks import Check, read_checks, trouble_of
from deploywatch.exporter.net.health.resources import HealthUnits, resources, uptime
from deploywatch.exporter.net.health.words import WORDS, said, state_of
from deploywatch.exporter.probing.measurement import Measurement
from deploywatch.exporter.results import Application, Failed, Reason, State

_LONGEST_WORD = 64


def read(body: bytes) -> Any:
    """The document of a body in JSON, or of one that is a single word as ASP.NET's; Failed(json) for anything else."""
    try:
        document = json_text.parse(body)
    except ValueError as error:
        word = body[:_LONGEST_WORD].decode("utf-8", "replace").strip()
        if len(body) < _LONGEST_WORD and word.lower() in WORDS:
            return {"status": word}
        raise Failed(Reason.JSON, f"the body is not JSON: {error}") from error
    # `"UP"` and `true` are whole bodies of some frameworks.
    return {"status": document} if isinstance(document, (str, bool)) else document


# Keys are folded: `releaseId` and `releaseid`, `Status` and `status` are all met in the wild.
def note_health(document: Any, units: HealthUnits, measurement: Measurement) -> None:
    """Add what a health body says to `measurement`; Failed(unhealthy) when it does not say that the service is well."""
    if not isinstance(document, dict):
        raise Failed(Reason.JSON, "the body is JSON, but not an object as a health body is")
    body = {str(key).lower(): value for key, value in document.items()}
    checks = read_checks(body, measurement, {name.lower() for name in units.facts})
    own = said(document)
    state, word = _with_its_checks(own, checks)
    version = next((str(body[key]) for key in ("version", "releaseid") if body.get(key) not in (None, "")), None)
    measurement.application = Application(
        state=state,
        status=measurement.label(word) if word is not None else None,
        version=measurement.label(version) if version is not None else None,
        uptime=uptime(body, units, measurement),
        checks={name: check.word for name, check in checks.items()},
    )
    _note(measurement.application, checks, measurement)
    for family, number in resources(body, units, measurement):
        measurement.add(family, number)
    if state is State.UNHEALTHY:
        raise Failed(Reason.UNHEALTHY, _explanation(own, body, checks))


def _with_its_checks(own: Any, checks: Mapping[str, Check]) -> tuple[State, str | None]:
    """The state and the words; who says that all is well, and of a part that it is not, is believed in neither."""
    if own is None:
        return State.UNHEALTHY, None
    state = state_of(own)
    bad = [name for name, check in checks.items() if check.state is State.UNHEALTHY]
    degraded = [name for name, check in checks.items() if check.state is State.DEGRADED]
    # What the service says of itself as a whole counts; its checks can only make it milder news, not better.
    if state is State.UNHEALTHY or not (bad or degraded):
        return state, str(own)
    if state is State.DEGRADED:
        return state, f"{own} ({', '.join([*bad, *degraded])})"
    remarks = ([f"not well: {', '.join(bad)}"] if bad else []) + (
        [f"degraded: {', '.join(degraded)}"] if degraded else []
    )
    return State.DEGRADED, f"{own}, but {'; '.join(remarks)}"


def _note(application: Application, checks: Mapping[str, Check], measurement: Measurement) -> None:
    for candidate in State:
        measurement.add(families.APPLICATION_STATUS, candidate is application.state, status=str(candidate))
    if application.version is not None:
        measurement.add(families.APPLICATION_INFO, 1, version=application.version)
    if application.uptime is not None:
        measurement.add(families.APPLICATION_UPTIME, application.uptime)
    for name, check in checks.items():
        measurement.add(families.APPLICATION_CHECK, check.state is not State.UNHEALTHY, check=name)
        if check.took is not None:
            measurement.add(families.APPLICATION_CHECK_DURATION, check.took, check=name)


def _explanation(own: Any, body: Mapping[str, Any], checks: Mapping[str, Check]) -> str:
    bad = [
        f"{name}: {check.trouble}" if check.trouble else name
        for name, check in checks.items()
        if check.state is State.UNHEALTHY
    ]
    named = f" ({', '.join(bad)})" if bad else ""
    if own is None:
        return f"the body has no status, so it does not say that the service is well{named}"
    trouble = trouble_of(body)
    return f"it says of itself: {own}{named}" + (f": {trouble}" if trouble else "")
