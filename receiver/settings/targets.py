"""Which service and environment an alert is about: the labels that name them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from fnmatch import translate
from functools import cached_property, lru_cache
from typing import Annotated, Final

from pydantic import AfterValidator

from deploywatch.config import Settings
from deploywatch.conventions import AlertLabel
from deploywatch.receiver.alert import Alert

_NAME_LIMIT = 200
# From what people named themselves to what Kubernetes names for them; `job` is often the exporter's, and so near the
# end.
SERVICE_LABELS: Final = (
    *(AlertLabel.SERVICE, "service.name", "service_name", "app", "app.kubernetes.io/name", "app_kubernetes_io_name"),
    *("deployment", "statefulset", "daemonset", "cronjob", "job", "namespace"),
)
ENVIRONMENT_LABELS: Final = (
    *(AlertLabel.ENVIRONMENT, "env", "deployment.environment.name", "deployment.environment"),
    *("deployment_environment_name", "deployment_environment"),
)
EXPORTERS: Final = ("*kube-state-metrics", "*kubelet", "*cadvisor", "blackbox", "*blackbox-exporter")
"""Services and jobs that measure others, as kube-prometheus-stack calls them."""


def label_names(names: tuple[str, ...]) -> tuple[str, ...]:
    """Names of labels, which may have any character; ValueError for an empty one or one that is named twice."""
    for name in names:
        if not name.strip():
            raise ValueError(f"{name!r} is not a label's name")
        if names.count(name) > 1:
            raise ValueError(f"{name!r} is named twice")
    return names


class Targets(Settings):
    """Which labels say what an alert is about: the first that has a value; the defaults fit kube-prometheus-stack.

    `service_ignore` are values, with `*` for anything, that name what measured and not what is measured.
    """

    service_from: Annotated[tuple[str, ...], AfterValidator(label_names)] = SERVICE_LABELS
    """The labels that may name an alert's service; the first one that has a value."""
    service_ignore: tuple[str, ...] = EXPORTERS
    """Values that name what measured and not what is measured; `*` stands for anything."""
    environment_from: Annotated[tuple[str, ...], AfterValidator(label_names)] = ENVIRONMENT_LABELS
    """The labels that may name an alert's environment; `default` where none has a value."""

    def target(self, alert: Alert) -> tuple[str, str]:
        """Service and environment that the alert is about, cut to a sane length.

        An ignored value counts where no other label says anything; then the alert's name, and `default`.
        """
        services, environments = map(alert.labels.get, self.service_from), map(alert.labels.get, self.environment_from)
        return self._place(tuple(services), tuple(environments), alert.name)

    @cached_property
    def _place(self) -> Callable[[tuple[str | None, ...], tuple[str | None, ...], str], tuple[str, str]]:
        """A storm asks about the same labels again and again."""
        return lru_cache(maxsize=4096)(self._target)

    def _target(
        self, services: tuple[str | None, ...], environments: tuple[str | None, ...], name: str
    ) -> tuple[str, str]:
        values = [value for text in services if (value := (text or "").strip())]
        # Where only an exporter is named, the incident is about that rather than about nothing.
        service = next((value for value in values if not self._ignored.fullmatch(value)), values[0] if values else name)
        named = ((text or "").strip() for text in environments)
        return service[:_NAME_LIMIT], next(filter(None, named), "default")[:_NAME_LIMIT]

    @cached_property
    def _ignored(self) -> re.Pattern[str]:
        return re.compile("|".join(map(translate, self.service_ignore)) or "(?!)")


def correlation(alert: Alert, further: Iterable[str]) -> dict[str, str]:
    """The values that the alert has of these further labels, cut to a sane length; what it lacks is left out."""
    return {name: value[:_NAME_LIMIT] for name in further if (value := alert.labels.get(name))}
