"""Packs examples that cannot disturb each other into one test, because each test evaluates every rule of the policy."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta

from deploywatch.rules.series.requests import Measured
from deploywatch.rules.signals.signal import Example, InputSeries, Signal


@dataclass(slots=True)
class Scene:
    """Examples of signals that are made of different series, and that agree on those that they share."""

    examples: list[tuple[Signal, Example]] = field(default_factory=list)
    kinds: set[type[Measured]] = field(default_factory=set)
    series: dict[str, str] = field(default_factory=dict)
    metrics: set[str] = field(default_factory=set)
    spacing: timedelta | None = None
    deployment: str = ""

    def takes(self, signal: Signal, example: Example) -> bool:
        """Whether the example's series, and those that it must not have, are its own here."""
        if not self.examples:
            return True
        given = {series.series: series.values for series in example.inputs}
        shared = given.keys() & self.series.keys()
        own = {_metric(series) for series in given.keys() - shared}
        return (
            bool(signal.needs)
            and (self.spacing, self.deployment) == (example.spacing, example.deployment)
            and not self.kinds.intersection(signal.needs)
            and all(given[series] == self.series[series] for series in shared)
            and not own & self.metrics
        )

    def add(self, signal: Signal, example: Example) -> None:
        """Put an example in, which `takes` has allowed; a signal without series of a known kind stays alone."""
        self.examples.append((signal, example))
        self.kinds |= set(signal.needs)
        self.series |= {series.series: series.values for series in example.inputs}
        self.metrics |= {_metric(series.series) for series in example.inputs}
        self.spacing, self.deployment = example.spacing, example.deployment

    @property
    def name(self) -> str:
        """What all of them are."""
        return "; ".join(f"{signal.name}: {example.name}" for signal, example in self.examples)

    @property
    def inputs(self) -> list[InputSeries]:
        """The series of all of them."""
        return [InputSeries(series, values) for series, values in self.series.items()]


def packed(examples: Iterable[tuple[Signal, Example]]) -> list[Scene]:
    """The examples, each in the first scene that takes it."""
    scenes: list[Scene] = []
    for signal, example in examples:
        alone = not signal.needs
        scene = next(
            (candidate for candidate in scenes if not alone and candidate.kinds and candidate.takes(signal, example)),
            None,
        )
        if scene is None:
            scene = Scene()
            scenes.append(scene)
        scene.add(signal, example)
    return scenes


def _metric(series: str) -> str:
    return series.partition("{")[0]
