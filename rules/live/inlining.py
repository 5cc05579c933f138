"""Expressions without recorded series: each is replaced by what it is recorded from.

So a policy can be asked of a Prometheus that does not have its rules yet, over time that has passed. A recorded series
over a range becomes a subquery with at most `POINTS` points, and one that remembers what it said before begins anew;
what comes out is then an estimate, and `is_estimate` says so.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from deploywatch.conventions import AlertLabel
from deploywatch.rules import promql
from deploywatch.rules.signals.signal import Record

POINTS = 120
"""Evaluations within a range that was recorded, at most: more would take a server minutes."""

_MATCHER = re.compile(r'\s*(?P<label>\w+)\s*(?P<sign>=~|!~|!=|=)\s*(?P<value>"(?:[^"\\]|\\.)*")\s*,?')
_RANGE = re.compile(r"\[(?P<over>\w+)(?::(?P<every>\w*))?\]")
_OFFSET = re.compile(r"\s+offset\s+(?P<back>\w+)")
_LENGTH = re.compile(r"(\d+)(ms|[wdhms])")
_UNITS = {"w": 604_800_000, "d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}
_ABSENT = re.compile(r"absent\($")


@dataclass(frozen=True, slots=True)
class _Selected:
    """A recorded series as an expression reads it, and where that ends in the text."""

    matchers: tuple[promql.Matcher, ...]
    over: str
    every: str
    back: str
    end: int


@dataclass(slots=True)
class Inliner:
    """Replaces the series that `records` leave for the policy `policy`."""

    policy: str
    records: Sequence[Record]
    interval: timedelta
    is_estimate: bool = False
    """Whether a range of a recorded series was thinned out, or what it had remembered is missing."""
    _named: dict[str, list[Record]] = field(default_factory=dict)
    _done: dict[int, str] = field(default_factory=dict)
    _open: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Sort the records by name."""
        for record in self.records:
            self._named.setdefault(record.name, []).append(record)

    def expression(self, text: str) -> str:
        """The expression, without any of the recorded series."""
        if not self._named:
            return text
        # The longest first, as one name may be the beginning of another.
        names = "|".join(re.escape(name) for name in sorted(self._named, key=len, reverse=True))
        out, position = "", 0
        for match in re.finditer(rf"(?<![\w:])({names})(?=\{{)", text):
            # Within the selector of the series before.
            if match.start() < position:
                continue
            selected = _selected(text, match.end())
            before, series = text[position : match.start()], self._series(match[1], selected)
            # `absent(x)` makes its labels of the selector's, which is gone once the expression stands in its place.
            if _ABSENT.search(before):
                before, series = _before_absent(before, _labelled(f"{series})", selected))
                selected = _Selected((), "", "", "", selected.end + 1)
            out += before + series
            position = selected.end
        return out + text[position:]

    def _series(self, name: str, selected: _Selected) -> str:
        ways = []
        if name in self._open:
            # It reads what it said before, which nobody has recorded yet: nothing, and the answer is an estimate.
            self.is_estimate = True
        else:
            self._open.add(name)
            ways = [way for record in self._named[name] if (way := self._way(record, selected.matchers)) is not None]
            self._open.remove(name)
        text = "\nor\n".join(ways) if ways else "vector(0) > 1"
        # What is no longer recorded can only be looked back at as a subquery.
        if selected.over:
            return (
                f"({text})[{selected.over}:{selected.every or self._resolution(selected.over)}]{_offset(selected.back)}"
            )
        if selected.back:
            every = promql.duration(self.interval)
            return f"last_over_time(({text})[{every}:{every}]{_offset(selected.back)})"
        return f"({text})"

    def _way(self, record: Record, matchers: Sequence[promql.Matcher]) -> str | None:
        """What one record leaves for these matchers; None when it bears a label that does not fit."""
        own = {**record.labels, AlertLabel.POLICY: self.policy}
        left = []
        for label, sign, value in matchers:
            if label not in own:
                left.append((label, sign, value))
            elif not _fits(own[label], sign, value):
                return None
        if id(record) not in self._done:
            # Each record once: they read each other, and doing it anew each time grows with every level.
            self._done[id(record)] = self.expression(record.expression)
        text = self._done[id(record)]
        for label, value in record.labels.items():
            text = f'label_replace({text}, "{label}", {promql.quoted(value)}, "", "")'
        for number, (label, sign, value) in enumerate(left):
            text = _held(f"held_{number}", text, label, sign, value)
        return text

    def _resolution(self, over: str) -> str:
        length = sum(int(count) * _UNITS[unit] for count, unit in _LENGTH.findall(over)) * timedelta(milliseconds=1)
        thin = length / POINTS
        if thin <= self.interval:
            return promql.duration(self.interval)
        # Fewer points than the rules have evaluations, or Prometheus refuses so many samples.
        self.is_estimate = True
        return promql.duration(-(-thin // promql.SECOND) * promql.SECOND)


def _before_absent(before: str, series: str) -> tuple[str, str]:
    """The text up to `absent(`, which then stands inside of what gives its labels back."""
    inside = series
    while inside.startswith("label_replace("):
        inside = inside.removeprefix("label_replace(")
    given_back = series[: len(series) - len(inside)]
    return before.removesuffix("absent("), f"{given_back}absent({inside}"


def _labelled(series: str, selected: _Selected) -> str:
    """What is absent, with the labels that its selector names."""
    for label, sign, value in selected.matchers:
        # What is not recorded bears no policy, or one service would be two.
        if sign == "=" and label != AlertLabel.POLICY:
            series = f'label_replace({series}, "{label}", {promql.quoted(value)}, "", "")'
    return series


def _selected(text: str, position: int) -> _Selected:
    """The matchers in braces from this position on, and the range and offset that may follow."""
    matchers: list[promql.Matcher] = []
    position += 1
    while (match := _MATCHER.match(text, position)) is not None:
        value = re.sub(r"\\(.)", lambda escape: "\n" if escape[1] == "n" else escape[1], match["value"][1:-1])
        matchers.append((match["label"], match["sign"], value))
        position = match.end()
    position = text.index("}", position) + 1
    over, back = _RANGE.match(text, position), None
    position = over.end() if over else position
    back = _OFFSET.match(text, position)
    position = back.end() if back else position
    return _Selected(
        tuple(matchers),
        over["over"] if over else "",
        (over["every"] or "") if over else "",
        back["back"] if back else "",
        position,
    )


def _fits(value: str, sign: str, wanted: str) -> bool:
    same = value == wanted if "~" not in sign else re.fullmatch(wanted, value) is not None
    return same is not sign.startswith("!")


def _held(mark: str, text: str, label: str, sign: str, value: str) -> str:
    """Only those values whose label fits: PromQL has no matcher for what is calculated, so each is marked first."""
    pattern = value if "~" in sign else re.escape(value)
    word = "unless" if sign.startswith("!") else "and"
    marked = f'label_replace({text}, "{mark}", "yes", "{label}", {promql.quoted(pattern)})'
    those = f'label_replace(vector(1), "{mark}", "yes", "", "")'
    return f"sum without ({mark}) ({marked} {word} on ({mark}) {those})"


def _offset(back: str) -> str:
    return f" offset {back}" if back else ""
