"""The live table of `deployments watch`: where a stage stands, what was decided, and how each limit is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from deploywatch.quantity import format_duration
from deploywatch.receiver.rendering.stage_state import OVER
from deploywatch.receiver.rendering.text import line

WIDE: Final = 110
"""Columns of a terminal from which a limit fits in one row."""
_BAR = 20
_SENTENCES = 12

_HEADLINES: Final[Mapping[str, tuple[str, str]]] = {
    "promote": ("PROMOTE: proven good", "green"),
    "roll_back": ("ROLL BACK: proven bad; the receiver rolls it back, within its brakes", "red"),
    "hold": ("HOLD: not decided yet; it goes on being watched", "yellow"),
    "error": ("ERROR: it cannot be judged now; nothing is promoted or rolled back meanwhile", "magenta"),
}
_PERSON = ("HOLD: a person must decide: deploywatch deployments accept-hold {id} --why …, or roll it back", "yellow")
_OVER: Final[Mapping[str, tuple[str, str]]] = {
    "promoted": ("PROMOTED: the stage is over", "green"),
    "rolled_back": _HEADLINES["roll_back"],
    **{state: (f"OVER: {words}", "yellow") for state, words in OVER.items()},
}


_LAST_SAID = "the receiver does not answer, this is the last that it said"


def table(answer: Mapping[str, Any] | None, trouble: str, width: int) -> Group:
    """Where the stage stands, for a terminal of so many columns; `trouble` is why the receiver does not answer now."""
    if answer is None:
        return Group(Text(line(trouble, 400), style="magenta") if trouble else Text("nothing is known yet"))
    words, style = headline(answer)
    parts: list[RenderableType] = [
        Text(line(_what(answer), 200)),
        Text(line(_time(answer), 200)),
        *((Text(line(f"{_LAST_SAID}: {trouble}", 400), style="magenta"),) if trouble else ()),
        Text(line(words, 400), style=f"bold {style}"),
    ]
    sentences = (answer["verdict"] or {}).get("sentences", ())
    parts += [Text(f"  {line(text, 300)}") for text in sentences[:_SENTENCES]]
    if len(sentences) > _SENTENCES:
        parts.append(Text(f"  and {len(sentences) - _SENTENCES} more: --format json has them all"))
    if answer["evidence"]:
        parts += [Text(""), *(_rows(_limits(answer)) if width >= WIDE else _lines(_limits(answer)))]
    return Group(*parts)


def headline(answer: Mapping[str, Any]) -> tuple[str, str]:
    """What was decided, or what is waited for, in words; and its colour."""
    stage, verdict = answer["stage"], answer["verdict"]
    if stage["state"] == "accepted":
        return f"ACCEPTED by {stage['accepted_by']}: {stage['accepted_why']}", "green"
    if stage["state"] in _OVER:
        return _OVER[stage["state"]]
    if verdict is None:
        return "WAITING: the first look is not over yet", "yellow"
    if verdict["reason"] == "needs_person":
        return _PERSON[0].replace("{id}", str(stage["deployment"])), _PERSON[1]
    return _HEADLINES[verdict["answer"]]


def _what(answer: Mapping[str, Any]) -> str:
    stage, deployment = answer["stage"], answer["deployment"]
    return (
        f"{deployment['service']} {deployment['version']} into {deployment['environment']}: stage {stage['stage']}, "
        f"{stage['share']:.0%} of the traffic"
    )


def _time(answer: Mapping[str, Any]) -> str:
    least, most = answer["stage"]["lasts_seconds"], answer["at_most_seconds"]
    since = f"{lasting(answer['elapsed_seconds'])} of at least {lasting(least)}"
    return f"{since}; after {lasting(most)} a person is asked"


@dataclass(frozen=True, slots=True)
class _Limit:
    """One limit: the counts of the new version and of the old one (empty without one), and how far proof has come."""

    name: str
    version: str
    new: str
    old: str
    bad: Text
    good: Text


def _limits(answer: Mapping[str, Any]) -> list[_Limit]:
    findings = (answer["verdict"] or {}).get("findings", ())
    by_name = {finding["name"]: finding["counts"] for finding in findings}
    compared = any(counts.get("control_requests") for counts in by_name.values())
    limits = []
    for evidence in answer["evidence"]:
        counts = by_name.get(evidence["name"], {})
        old = _counted(counts.get("control_bad") or 0, counts.get("control_requests") or 0)
        limits.append(
            _Limit(
                line(evidence["name"], 60),
                line(answer["deployment"]["version"], 20),
                _counted(counts.get("bad") or 0, counts.get("requests") or 0),
                old if compared else "",
                _bar(evidence["bad"], "red"),
                # A comparison alone never proves a version good.
                Text("") if evidence["relative"] else _bar(evidence["good"], "green"),
            )
        )
    return limits


def _rows(limits: Sequence[_Limit]) -> list[RenderableType]:
    rows = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    rows.add_column("limit", overflow="fold")
    rows.add_column("proven bad", no_wrap=True)
    rows.add_column("proven good", no_wrap=True)
    rows.add_column(Text(f"bad in {limits[0].version}"), no_wrap=True)
    rows.add_column("bad in the old version" if limits[0].old else "", overflow="fold")
    for limit in limits:
        rows.add_row(Text(limit.name), limit.bad, limit.good, Text(limit.new), Text(limit.old))
    return [rows]


def _lines(limits: Sequence[_Limit]) -> list[RenderableType]:
    lines: list[RenderableType] = []
    for limit in limits:
        old = f"; in the old version {limit.old}" if limit.old else ""
        lines += [Text(limit.name), Text(f"  bad in {limit.version} {limit.new}{old}")]
        proof = [Text("  proven bad  "), limit.bad]
        if limit.good:
            proof += [Text("  proven good "), limit.good]
        lines.append(Text.assemble(*proof))
    return lines


def _counted(bad: int, requests: int) -> str:
    return f"{bad:,} of {requests:,} ({bad / requests:.2%})" if requests else "no requests"


def _bar(share: float, colour: str) -> Text:
    # Only what is proven is full.
    full = int(_BAR * min(1.0, max(0.0, share)))
    return Text("█" * full + "·" * (_BAR - full), style=colour)


def lasting(seconds: float) -> str:
    """So many seconds as people read them, without fractions."""
    return format_duration(timedelta(seconds=int(seconds)))
