"""Checks of the verdict, its stages and the gate: limits that can be counted, one control, whole requirements."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from deploywatch.config import nearest
from deploywatch.files.document import Path
from deploywatch.rules.checks.draft import Draft, Fault, readable, verification_texts
from deploywatch.rules.checks.limits import comparison_fault
from deploywatch.rules.language.expression import Comparison
from deploywatch.rules.language.verification import LEVELS, NEEDS, TAKES, Requirement

_COUNTED = ("error_ratio", "latency_p95", "latency_p99")
# Below, no traffic that is met in practice could prove it; above, it is no limit.
_LEAST, _MOST = 0.00001, 0.9


def verdicts_are_of_counts(draft: Draft) -> Iterator[Fault]:
    """A limit of the verdict is one on a share of requests; what cannot be counted is watched."""
    for path, text in verification_texts(draft):
        condition = readable(text)
        if condition is None:
            continue
        if not isinstance(condition, Comparison):
            yield Fault(path, "takes one comparison; make an entry of each")
        elif path[-2] in ("fail", "tighter") and comparison_fault(draft, condition) is None:
            fault = _countable(draft, condition)
            if fault is not None:
                yield Fault(path, *fault)


def stages_are_judged(draft: Draft) -> Iterator[Fault]:
    """A verdict needs stages, a gate a verdict; tighter limits are tighter than the verdict's on the same signal."""
    given = draft.given
    if "verdict" in given and not given.get("stages"):
        yield Fault(("verdict",), "needs the policy's stages; add some, such as {stage: full, share: 100%, lasts: 30m}")
    if "gate" in given and "verdict" not in given:
        yield Fault(("gate",), "needs the policy's verdict; say what a deployment is judged by")
    usual = {comparison.signal: comparison for comparison in _comparisons(draft, ("verdict", "fail"))}
    for position, stage in draft.steps.items():
        if stage.at_most is not None and stage.at_most < stage.lasts:
            yield Fault(("stages", position, "at_most"), "is shorter than the stage lasts")
        if not 0 < stage.share.value <= 1:
            yield Fault(("stages", position, "share"), f"{stage.share} is no share; write one up to 100%")
        for number, text in enumerate(stage.tighter):
            condition, path = readable(text), ("stages", position, "tighter", number)
            if isinstance(condition, Comparison):
                yield from _tighter(path, condition, usual)


def roles_are_told_apart_everywhere(draft: Draft) -> Iterator[Fault]:
    """Where one series has a control, each that a limit counts must have it, or they would speak of other requests."""
    counted = {_series(series) for series in _comparisons(draft, ("verdict", "fail"))}
    lacking = [
        key
        for key in sorted(counted)
        if (series := getattr(draft.series, key, None)) is not None and series.control is None
    ]
    # None at all is a plan without a control; some is a mistake.
    if lacking and len(lacking) < len(counted):
        having = next(iter(sorted(counted - set(lacking))))
        message = f"needs a control as series.{having} has; the verdict compares both at the same moments"
        for key in lacking:
            yield Fault(("series", key), message)


def requirements_are_whole(draft: Draft) -> Iterator[Fault]:
    """Each thing that the gate asks for is known, and has what it needs."""
    for position, requirement in draft.gate.items():
        path: Path = ("gate", position)
        for kind in requirement.kinds:
            if kind not in TAKES:
                yield Fault((*path, "require"), f"unknown requirement {kind!r}{nearest(kind, TAKES)}")
                continue
            keys = _given(requirement)
            for key in sorted(NEEDS.get(kind, frozenset()) - keys):
                yield Fault(path, f"{kind} needs `{key}`")
            for key in sorted(keys - TAKES[kind]):
                yield Fault((*path, key), f"{kind} takes no `{key}`")
        if requirement.level is not None and requirement.level not in LEVELS:
            yield Fault((*path, "level"), f"unknown level {requirement.level!r}{nearest(requirement.level, LEVELS)}")
        for name in requirement.of:
            if "approval" in requirement.kinds and requirement.of.count(name) > 1:
                yield Fault((*path, "of"), f"{name} is asked for twice; name each role once")
                break


def verdicts_cite_known_sources(draft: Draft) -> Iterator[Fault]:
    """The verdict's figures come from a source that the policy names."""
    verdict = draft.given.get("verdict")
    cited = verdict.get("source") if isinstance(verdict, dict) else None
    for name in cited if isinstance(cited, dict) and draft.sources is not None else ():
        if name not in (draft.sources or ()):
            yield Fault(("verdict", "source", name), f"unknown source {name!r}{nearest(name, draft.sources or ())}")


def _countable(draft: Draft, comparison: Comparison) -> tuple[str, int] | None:
    """Why a limit is none on a share of requests, and at which character; None when it is one."""
    is_rise = comparison.function == "rise" and comparison.arguments[0].text == "error_ratio"
    if not is_rise and (comparison.function or comparison.signal not in _COUNTED):
        # What is counted can be proven on numbers; anything else is a measurement, whose chance of being wrong nobody
        # knows.
        known = ", ".join((*_COUNTED, "rise(error_ratio)"))
        return (
            f"{comparison.signal} is no share of requests; put it under `watch` (counted are {known})",
            comparison.signal_offset,
        )
    if comparison.operator not in (">", ">="):
        return (
            f"{comparison.operator} is no limit on bad requests; write > and how many are too many",
            comparison.signal_offset,
        )
    if is_rise:
        return (
            None
            # Sixteen times as many errors as before need no statistics to be seen.
            if comparison.quantity.value < 15
            else ("a rise of 1500% or more says nothing", comparison.quantity_offset)
        )
    if comparison.signal == "error_ratio":
        inside = _LEAST < comparison.quantity.value < _MOST
        return None if inside else (f"write a share between {_LEAST:.3%} and {_MOST:.0%}", comparison.quantity_offset)
    durations = draft.series.durations
    message = None if durations is None else durations.uncounted(comparison.quantity.value, comparison.written)
    return None if message is None else (message, comparison.quantity_offset)


def _tighter(path: Path, comparison: Comparison, usual: dict[str, Comparison]) -> Iterator[Fault]:
    if comparison.signal not in usual:
        yield Fault(
            path,
            f"verdict.fail has no limit on {comparison.signal}{nearest(comparison.signal, usual)}",
            comparison.signal_offset,
        )
    elif comparison.quantity.value >= usual[comparison.signal].quantity.value:
        message = f"{comparison.written} is not tighter than {usual[comparison.signal].written} of verdict.fail"
        yield Fault(path, message, comparison.quantity_offset)


def _comparisons(draft: Draft, where: Path) -> list[Comparison]:
    """The limits at a place that can be read, and counted."""
    texts = [text for path, text in verification_texts(draft) if path[:-1] == where]
    readable_ones = [comparison for comparison in map(readable, texts) if isinstance(comparison, Comparison)]
    return [
        comparison
        for comparison in readable_ones
        if comparison_fault(draft, comparison) is None and _countable(draft, comparison) is None
    ]


def _series(comparison: Comparison) -> str:
    return "durations" if comparison.signal.startswith("latency") else "requests"


def _given(requirement: Requirement) -> set[str]:
    values: dict[str, Any] = {
        "of": requirement.of,
        "in": requirement.in_,
        "level": requirement.level,
        "that": requirement.that,
        "within": requirement.within,
    }
    return {key for key, value in values.items() if value}
