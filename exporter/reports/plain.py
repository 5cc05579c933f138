"""A check as JSON: the services with their probes, in the form of the health answers."""

from __future__ import annotations

from deploywatch.exporter.check import Checked
from deploywatch.terminal import as_json


def text(checked: Checked) -> str:
    """The JSON text."""
    status = "healthy" if checked.well else "unhealthy"
    body = {"status": status, "services": [service.body() for service in checked.services()]}
    if checked.remark:
        body["remark"] = checked.remark
    return as_json(body)
