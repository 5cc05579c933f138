"""Which executor a target has: exactly one of those that its action knows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import ModuleType
from typing import Annotated, Any, ClassVar, Self, get_args

from pydantic import Field, field_validator, model_validator

from deploywatch.config import Settings
from deploywatch.quantity import Duration, parse_duration
from deploywatch.receiver.settings.executors import http as http_module
from deploywatch.receiver.settings.executors import presets, scaling
from deploywatch.receiver.settings.executors.http import GitHub, Http
from deploywatch.receiver.settings.executors.plan import Executor, Plan, Steps, Values, steps
from deploywatch.receiver.settings.executors.presets import Azd, AzureSlotSwap, DockerCompose, Helm, Kubectl
from deploywatch.receiver.settings.executors.scaling import ScaleAzure, ScaleDockerCompose, ScaleKubectl
from deploywatch.receiver.settings.placeholders import PLACEHOLDERS, check_template


def _executors(choice: type[Settings], name: str) -> Iterator[type]:
    """The executors that a field may hold."""
    field = choice.model_fields.get(name)
    return (kind for kind in get_args(field.annotation) if hasattr(kind, "plan")) if field else iter(())


class Choice(Settings):
    """One way to do it, within `timeout`.

    `command` is an argv list, never a shell; placeholders such as `{to_version}` are filled in within each argument.
    """

    ways: ClassVar[tuple[str, ...]] = ("command", "http", "github")
    placeholders: ClassVar[frozenset[str]] = PLACEHOLDERS

    command: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    http: Http | None = None
    github: GitHub | None = None
    timeout: Duration = parse_duration("5m")

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        """Refuse an executor that has a field here and is no way: no config could choose it."""
        own = vars(cls).get("__annotations__", {})
        if left := [name for name in own if name not in cls.ways and any(_executors(cls, name))]:
            raise TypeError(f"{cls.__name__}: {', '.join(left)} is a field and no way; add its name to `ways`")

    @field_validator("command")
    @classmethod
    def _known_placeholders(cls, command: tuple[str, ...] | None) -> tuple[str, ...] | None:
        check_template(command or (), cls.placeholders)
        return command

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        given = [way for way in self.ways if getattr(self, way) is not None]
        if len(given) != 1:
            given_ways = f"not {' and '.join(given)}" if given else "none is given"
            raise ValueError(f"write exactly one of {', '.join(self.ways)}; {given_ways}")
        try:
            # Tried with values of its own, so that an unknown placeholder is found when the file is read, and not in a
            # night.
            self.plan(self._anything())
        except KeyError as error:
            known = ", ".join(f"{{{name}}}" for name in sorted(self.placeholders | {"id"}))
            raise ValueError(f"{given[0]} has {{{error.args[0]}}}, which is not known here; known: {known}") from error
        return self

    def _anything(self) -> Values:
        # "1" is a good value everywhere: a number, a name, a version, an argument.
        return dict.fromkeys((*self.placeholders, "id"), "1")

    def plan(self, values: Values) -> Plan:
        """What is about to be done; ValueError for a value that could mean more than itself."""
        if self.command is not None:
            return self._own(self.command, values)
        chosen: Executor = next(way for name in self.ways if (way := getattr(self, name)) is not None)
        return chosen.plan(values, self.timeout)

    @staticmethod
    def _own(command: tuple[str, ...], values: Values) -> Steps:
        return steps((command,), values)

    @property
    def programs(self) -> tuple[str, ...]:
        """The programs that it starts."""
        return self.plan(self._anything()).programs


class RollbackChoice(Choice):
    """The ways to go back to a version."""

    ways: ClassVar[tuple[str, ...]] = (
        *("command", "kubectl", "docker_compose", "helm", "azure_slot_swap", "azd"),
        *("http", "github"),
    )

    kubectl: Kubectl | None = None
    docker_compose: DockerCompose | None = None
    helm: Helm | None = None
    azure_slot_swap: AzureSlotSwap | None = None
    azd: Azd | None = None


class ScaleChoice(Choice):
    """The ways to run more of a service."""

    ways: ClassVar[tuple[str, ...]] = ("command", "kubectl", "docker_compose", "azure", "http", "github")
    placeholders: ClassVar[frozenset[str]] = frozenset({"service", "environment", "replicas"})

    kubectl: ScaleKubectl | None = None
    docker_compose: ScaleDockerCompose | None = None
    azure: ScaleAzure | None = None


def unchosen(modules: Iterable[ModuleType], choices: Iterable[type[Choice]]) -> list[str]:
    """What is to be done about executors that are declared in these modules and that no choice has: a sentence each."""
    known = {kind for choice in choices for name in choice.model_fields for kind in _executors(choice, name)}
    return [
        f"{kind.__module__}: no config can choose the executor {kind.__name__}: give it a field, and the field's name "
        "a place among `ways`, in RollbackChoice or ScaleChoice of settings/executors/choice.py"
        for module in modules
        for kind in vars(module).values()
        if isinstance(kind, type) and hasattr(kind, "plan") and kind.__module__ == module.__name__ and kind not in known
    ]


# At import, so that an executor that was half added fails every start and every test.
if _faults := unchosen((http_module, presets, scaling), (RollbackChoice, ScaleChoice)):
    raise TypeError("; ".join(_faults))
