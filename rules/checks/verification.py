"""Checks of the verdict, its stages and the gate: limits that can be counted, one control, whole requirements."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from deploywatch.config import nearest
from deploywatch.document import Path
from deploywatch.rules.checks.draft import Draft, Fault, readable, verification_texts
from deploywatch.rules.checks.limits import comparison_fault
from deploywatch.rules.language.expression import Comparison
from deploywatch.rules.language.verification import LEVELS, NEEDS, TAKES, Requirement

_COUNTED = ("error_ratio", "latency_p95", "latency_p99")
_LEAST, _MOST = 0.00001, 0.9


def verdicts_are_of_counts(found: Draft) -> Iterator[Fault]:
    """A limit of the verdict is one on a share of requests; what cannot be counted is watched."""
    for path, text in verification_texts(found):
        condition = readable(text)
        if condition is None:
            continue
        if not isinstance(condition, Comparison):
            yield Fault(path, "takes one comparison; make an entry of each")
        elif path[-2] in ("fail", "tighter") and comparison_fault(found, condition) is None:
            fault = _countable(found, condition)
            if fault is not None:
                yield Fault(path, *fault)


def stages_are_judged(found: Draft) -> Iterator[Fault]:
    """A verdict needs stages, a gate a verdict; tighter limits are tighter than the verdict's on the same signal."""
    given = found.given
    if "verdict" in given and not given.get("stages"):
        yield Fault(("verdict",), "needs the policy's stages; add some, such as {stage: full, share: 100%, lasts: 30m}")
    if "gate" in given and "verdict" not in given:
        yield Fault(("gate",), "needs the policy's verdict; say what a deployment is judged by")
    usual = {one.signal: one for one in _comparisons(found, ("verdict", "fail"))}
    for position, stage in found.steps.items():
        if stage.at_most is not None and stage.at_most < stage.lasts:
            yield Fault(("stages", position, "at_most"), "is shorter than the stage lasts")
        if not 0 < stage.share.value <= 1:
            yield Fault(("stages", position, "share"), f"{stage.share} is no share; write one up to 100%")
        for number, text in enumerate(stage.tighter):
            condition, path = readable(text), ("stages", position, "tighter", number)
            if isinstance(condition, Comparison):
                yield from _tighter(path, condition, usual)


def roles_are_told_apart_everywhere(found: Draft) -> Iterator[Fault]:
    """Where one series has a control, each that a limit counts must have it, or they would speak of other requests."""
    counted = {_series(one) for one in _comparisons(found, ("verdict", "fail"))}
    lacking = [
        key for key in sorted(counted) if (one := getattr(found.series, key, None)) is not None and one.control is None
    ]
    if lacking and len(lacking) < len(counted):
        having = next(iter(sorted(counted - set(lacking))))
        message = f"needs a control as series.{having} has; the verdict compares both at the same moments"
        for key in lacking:
            yield Fault(("series", key), message)


def requirements_are_whole(found: Draft) -> Iterator[Fault]:
    """Each thing that the gate asks for is known, and has what it needs."""
    for position, one in found.gate.items():
        path: Path = ("gate", position)
        for kind in one.kinds:
            if kind not in TAKES:
                yield Fault((*path, "require"), f"unknown requirement {kind!r}{nearest(kind, TAKES)}")
                continue
            given = _given(one)
            for key in sorted(NEEDS.get(kind, frozenset()) - given):
                yield Fault(path, f"{kind} needs `{key}`")
            for key in sorted(given - TAKES[kind]):
                yield Fault((*path, key), f"{kind} takes no `{key}`")
        if one.level is not None and one.level not in LEVELS:
            yield Fault((*path, "level"), f"unknown level {one.level!r}{nearest(one.level, LEVELS)}")
        for name in one.of:
            if "approval" in one.kinds and one.of.count(name) > 1:
                yield Fault((*path, "of"), f"{name} is asked for twice; name each role once")
                break


def verdicts_cite_known_sources(found: Draft) -> Iterator[Fault]:
    """The verdict's figures come from a source that the policy names."""
    verdict = found.given.get("verdict")
    cited = verdict.get("source") if isinstance(verdict, dict) else None
    for name in cited if isinstance(cited, dict) and found.sources is not None else ():
        if name not in (found.sources or ()):
            yield Fault(("verdict", "source", name), f"unknown source {name!r}{nearest(name, found.sources or ())}")


def _countable(found: Draft, one: Comparison) -> tuple[str, int] | None:
    """Why a limit is none on a share of requests, and at which character; None when it is one."""
    is_rise = one.function == "rise" and one.arguments[0].text == "error_ratio"
    if not is_rise and (one.function or one.signal not in _COUNTED):
        known = ", ".join((*_COUNTED, "rise(error_ratio)"))
        return f"{one.signal} is no share of requests; put it under `watch` (counted are {known})", one.signal_offset
    if one.operator not in (">", ">="):
        return f"{one.operator} is no limit on bad requests; write > and how many are too many", one.signal_offset
    if is_rise:
        return None if one.quantity.value < 15 else ("a rise of 1500% or more says nothing", one.quantity_offset)
    if one.signal == "error_ratio":
        inside = _LEAST < one.quantity.value < _MOST
        return None if inside else (f"write a share between {_LEAST:.3%} and {_MOST:.0%}", one.quantity_offset)
    durations = found.series.durations
    if durations is not None and one.quantity.value not in durations.bounds:
        message = f"{durations.metric} has no bucket at {one.written}, which counts the slower ones; add one"
        return message, one.quantity_offset
    return None


def _tighter(path: Path, one: Comparison, usual: dict[str, Comparison]) -> Iterator[Fault]:
    if one.signal not in usual:
        yield Fault(path, f"verdict.fail has no limit on {one.signal}{nearest(one.signal, usual)}", one.signal_offset)
    elif one.quantity.value >= usual[one.signal].quantity.value:
        message = f"{one.written} is not tighter than {usual[one.signal].written} of verdict.fail"
        yield Fault(path, message, one.quantity_offset)


def _comparisons(found: Draft, where: Path) -> list[Comparison]:
    """The limits at a place that can be read, and counted."""
    texts = [text for path, text in verification_texts(found) if path[:-1] == where]
    every = [one for one in map(readable, texts) if isinstance(one, Comparison)]
    return [one for one in every if comparison_fault(found, one) is None and _countable(found, one) is None]


def _series(one: Comparison) -> str:
    return "durations" if one.signal.startswith("latency") else "requests"


def _given(one: Requirement) -> set[str]:
    every: dict[str, Any] = {"of": one.of, "in": one.in_, "level": one.level, "that": one.that, "within": one.within}
    return {key for key, value in every.items() if value}
