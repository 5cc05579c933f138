"""Which probes a check runs: levels and smoke suites, each a choice of layers and tags."""

from __future__ import annotations

from collections.abc import Mapping

from deploywatch.config import Settings
from deploywatch.exporter.probing.settings import ProbeSettings


class Selection(Settings):
    """Probes that are in one of the layers and bear one of the tags; a list that is not given chooses all."""

    layers: tuple[str, ...] | None = None
    tags: tuple[str, ...] | None = None

    def chooses(self, probe: ProbeSettings) -> bool:
        """Whether a probe is one of them."""
        in_layer = self.layers is None or probe.layer in self.layers
        return in_layer and (self.tags is None or not set(self.tags).isdisjoint(probe.tags))

    def __str__(self) -> str:
        """What it asks for, for people."""
        parts = []
        if self.layers is not None:
            parts.append(f"layer {' or '.join(self.layers)}")
        if self.tags is not None:
            parts.append(f"tag {' or '.join(self.tags)}")
        return " and ".join(parts) or "any probe"


LEVELS: Mapping[str, Selection] = {
    # Source 001, health check levels; each holds the one before.
    "basic": Selection(layers=("immediate",)),
    "detailed": Selection(layers=("immediate", "comprehensive")),
    "comprehensive": Selection(),
}

SMOKE: Mapping[str, Selection] = {
    # Source 001, smoke test levels.
    "critical": Selection(tags=("critical",)),
    "full": Selection(tags=("critical", "smoke")),
}

INTEGRATION = "integration"
"""The tag of the probes that /health/integrations answers for."""
