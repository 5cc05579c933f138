"""Which services a service depends on, near and far: what tells a cause from its victims."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence


def causes(service: str, depends_on: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Everything that the service depends on, the nearest first; circles do no harm."""
    seen, layer = {service}, [service]
    while layer:
        # In breadth: the nearest cause is the likeliest, and two layers of a tangle must not be walked twice.
        layer = [other for service in layer for other in depends_on.get(service, ()) if other not in seen]
        layer = list(dict.fromkeys(layer))
        seen.update(layer)
        yield from layer
