"""What could be read of a policy, whatever else is wrong with it, so that one fault hides no other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from deploywatch.files.document import Path
from deploywatch.quantity import parse_duration
from deploywatch.rules.conditions.deployments import Window, stage_windows
from deploywatch.rules.conditions.objectives import signals as objective_signals
from deploywatch.rules.language.expression import Condition, ExpressionError, parse
from deploywatch.rules.language.judgement import Health
from deploywatch.rules.language.objectives import Objective
from deploywatch.rules.language.verification import Requirement
from deploywatch.rules.policy import CustomSignal, Policy, Stage
from deploywatch.rules.series.inventory import Series
from deploywatch.rules.signals import known
from deploywatch.rules.signals.signal import Signal

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong at a key path; `offset` is the character of the value's text, when it is one."""

    path: Path
    message: str
    offset: int | None = None


@dataclass(frozen=True, slots=True)
class Draft:
    """What could be read."""

    interval: timedelta
    window: timedelta
    series: Series
    declared: frozenset[str]
    """The keys under `series`; one that is declared but could not be read is missing from `series` only."""
    sources: frozenset[str] | None
    custom: frozenset[str]
    """The names under `signals`, whether they could be read or not."""
    signals: Mapping[str, Signal]
    objectives: Mapping[str, Objective]
    stages: Mapping[str, Window]
    has_objective: bool
    alerts: tuple[Mapping[str, Any], ...]
    health: Health | None
    gate: Mapping[int, Requirement]
    steps: Mapping[int, Stage]
    given: Mapping[str, Any]


Check = Callable[[Draft], Iterator[Fault]]


def draft(data: Any) -> Draft:
    """Read what can be read."""
    given = data if isinstance(data, dict) else {}
    series, custom = _mapping(given.get("series")), _mapping(given.get("signals"))
    sources, alerts, stages = given.get("sources"), given.get("alerts"), given.get("stages")
    readable = {name: _model(CustomSignal, signal) for name, signal in custom.items()}
    stages = [_model(Stage, stage) for stage in stages] if isinstance(stages, list) else []
    read = {name: _model(Objective, objective) for name, objective in _mapping(given.get("objectives")).items()}
    aims = {name: objective for name, objective in read.items() if objective is not None}
    asked = given.get("gate")
    gate = [_model(Requirement, requirement) for requirement in asked] if isinstance(asked, list) else []
    return Draft(
        interval=duration(given.get("interval"), Policy.model_fields["interval"].default),
        window=duration(given.get("window"), Policy.model_fields["window"].default),
        series=_series(series),
        declared=frozenset(series),
        sources=frozenset(sources) if isinstance(sources, dict) else None,
        custom=frozenset(readable),
        signals=known({name: signal for name, signal in readable.items() if signal is not None})
        | objective_signals(aims),
        objectives=aims,
        stages=stage_windows([stage for stage in stages if stage is not None]),
        has_objective="objective" in given,
        alerts=tuple(alert if isinstance(alert, dict) else {} for alert in alerts) if isinstance(alerts, list) else (),
        health=_model(Health, given.get("health")),
        gate={position: requirement for position, requirement in enumerate(gate) if requirement is not None},
        steps={position: stage for position, stage in enumerate(stages) if stage is not None},
        given=given,
    )


def conditions(draft: Draft) -> Iterator[tuple[Path, str]]:
    """Every text that is a condition, where it stands."""
    for position, alert in enumerate(draft.alerts):
        if isinstance(alert.get("when"), str):
            yield ("alerts", position, "when"), alert["when"]
    judged = _mapping(draft.given.get("health"))
    for section, keys in (("signals", ("warning", "critical")), ("anomalies", ("medium", "high"))):
        entries = judged.get(section)
        for position, entry in enumerate(entries if isinstance(entries, list) else ()):
            for key in keys:
                if isinstance(_mapping(entry).get(key), str):
                    yield ("health", section, position, key), entry[key]
    yield from verification_texts(draft)


def verification_texts(draft: Draft) -> Iterator[tuple[Path, str]]:
    """Every condition of the verdict, of stages that are tighter, and of the gate, where it stands."""
    judged = _mapping(draft.given.get("verdict"))
    lists: list[tuple[Path, Any]] = [(("verdict", key), judged.get(key)) for key in ("fail", "watch")]
    stages, gate = draft.given.get("stages"), draft.given.get("gate")
    for position, stage in enumerate(stages if isinstance(stages, list) else ()):
        lists.append((("stages", position, "tighter"), _mapping(stage).get("tighter")))
    for path, texts in lists:
        for position, text in enumerate(texts if isinstance(texts, list) else ()):
            if isinstance(text, str):
                yield (*path, position), text
    for position, asked in enumerate(gate if isinstance(gate, list) else ()):
        if isinstance(_mapping(asked).get("that"), str):
            yield ("gate", position, "that"), asked["that"]


def readable(text: Any) -> Condition | None:
    """The condition, if it can be read."""
    try:
        return parse(text) if isinstance(text, str) else None
    except ExpressionError:
        return None


def duration(value: Any, default: timedelta) -> timedelta:
    """The duration, or the default when it is not given, or cannot be read."""
    try:
        return default if value is None else parse_duration(value)
    except ValueError:
        return default


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _model(model: type[M], value: Any) -> M | None:
    try:
        return model.model_validate(value)
    except ValidationError:
        return None


def _series(given: Mapping[str, Any]) -> Series:
    series = Series()
    for key in Series.model_fields.keys() & given.keys():
        try:
            series = Series.model_validate({**dict(series), key: given[key]})
        except ValidationError:
            continue
    return series
