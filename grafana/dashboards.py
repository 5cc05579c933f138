"""Which dashboards there are: those of a policy, and those that all policies share."""

from __future__ import annotations

from collections.abc import Iterator

from deploywatch.grafana import business, deployment, overview, self_dashboard, service, signals
from deploywatch.grafana.frame import Dashboard
from deploywatch.rules.resolved import ResolvedPolicy


def of_policy(policy: ResolvedPolicy) -> dict[str, Dashboard]:
    """A policy's dashboards, by the name of their file."""
    dashboards = {
        policy.given.policy: service.dashboard(policy),
        f"{policy.given.policy}.deployment": deployment.dashboard(policy),
    }
    if signals.business(policy):
        dashboards[f"{policy.given.policy}.business"] = business.dashboard(policy)
    return dashboards


def shared() -> dict[str, Dashboard]:
    """Those that show all services; a policy's name has no point, so that no policy's file has these names."""
    return {"all.overview": overview.dashboard(), "all.itself": self_dashboard.dashboard()}


def dashboard_files(policy: ResolvedPolicy) -> Iterator[tuple[str, str]]:
    """A stage of `rules build`: the policy's dashboards."""
    yield from _files(of_policy(policy))


def shared_files() -> Iterator[tuple[str, str]]:
    """The dashboards that come with deploywatch as they are."""
    yield from _files(shared())


def _files(dashboards: dict[str, Dashboard]) -> Iterator[tuple[str, str]]:
    for name, dashboard in dashboards.items():
        yield f"dashboards/{name}.json", dashboard.text()
