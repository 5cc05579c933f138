"""The systems that the six shipped policies are for, as they would be found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import product

from tests.support.world.exposition import Place, tracks
from tests.support.world.film import Track
from tests.support.world.state import State
from tests.support.world.timeline import Timeline


@dataclass(slots=True)
class System:
    """Places by service and environment; `length` and `step` in seconds."""

    places: dict[tuple[str, str], Place] = field(default_factory=dict)

    def of(self, service: str, environment: str = "production") -> Timeline:
        """A service's timeline."""
        return self.places[service, environment].timeline

    def tracks(self, *, length: float, step: float) -> list[Track]:
        """All series."""
        return [track for place in self.places.values() for track in tracks(place, length=length, step=step)]


def system(name: str) -> System:
    """The system of a policy, all well."""
    return _SYSTEMS[name]()


def service_places(services: Sequence[str], environments: Sequence[str]) -> System:
    """Services that have canaries, in environments."""
    return _places(tuple(services), tuple(environments), roles="deployment")


def _places(
    services: tuple[str, ...],
    environments: tuple[str, ...] = ("production",),
    *,
    environment_label: str = "environment",
    usual: State | None = None,
    containers: bool = False,
    business: bool = False,
    queues: tuple[str, ...] = (),
    roles: str = "",
) -> System:
    found = System()
    for service, environment in product(services, environments):
        found.places[service, environment] = Place(
            where={"service": service, environment_label: environment},
            probed={"service": service, "environment": environment},
            timeline=Timeline(usual or State()),
            containers=containers,
            business=business,
            queues=queues,
            roles=roles,
        )
    return found


def _depends(found: System, service: str, on: str) -> None:
    for (name, environment), place in found.places.items():
        if name == service:
            place.depends_on = on
            place.dependency = {"service": on, "environment": environment}


def _insurance() -> System:
    services = ("api", "backend", "data-service", "orchestrator", "frontend")
    return _places(
        services,
        ("production", "staging"),
        environment_label="namespace",
        containers=True,
        business=True,
        # Its canaries bear deployment="canary", as its runbook selects them.
        roles="deployment",
        # The runbook's targets are 0.1 % of errors and 1,000 requests a second.
        usual=State(requests=3000.0, query_seconds=0.04),
    )


def _enterprise() -> System:
    found = _places(("user-service", "payment-service", "order-service"), business=True)
    _depends(found, "order-service", "orders-db")
    return found


def _queue() -> System:
    return _places(("virtual-queue",), business=True, queues=("main", "vip"))


def _wix() -> System:
    found = _places(("wix-api", "wix-checkout"))
    _depends(found, "wix-checkout", "stripe")
    return found


def _msl() -> System:
    return _places(("reposense", "observe", "muammar"))


def _demo() -> System:
    return _places(("shop",), ("demo",), queues=("orders",))


_SYSTEMS: dict[str, Callable[[], System]] = {
    "virtual-queue": _queue,
    "insurance-lead-gen": _insurance,
    "enterprise": _enterprise,
    "data-scientist-msl": _msl,
    "wix-platform": _wix,
    "demo": _demo,
}
