"""`deploywatch rules`, whose builds have dashboards beside the rules."""

from __future__ import annotations

from deploywatch.grafana.dashboards import dashboard_files
from deploywatch.rules import commands

__all__ = ["rules"]

commands.BESIDE.append(dashboard_files)
rules = commands.rules
