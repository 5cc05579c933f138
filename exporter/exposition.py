"""The text of /metrics: each target's lines are rendered when it ran, and a scrape only puts them together.

The format is Prometheus's text 0.0.4 or OpenMetrics 1.0.0: the samples of a family stand together, below its HELP and
TYPE. The samples are written so that they are good in both; the heads and the end differ.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum

from deploywatch.exporter.results import Family, Sample

_AT_ONCE = 250
"""Targets of a family in one piece: some hundred kilobytes, which take a millisecond."""


class Format(Enum):
    """How metrics are written; the value is the content type."""

    TEXT = "text/plain; version=0.0.4; charset=utf-8"
    OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


def negotiate(accept: str) -> Format:
    """The format that an Accept header prefers; text when it does not say."""
    best, weight = Format.TEXT, 0.0
    for part in accept.split(","):
        kind, *parameters = (word.strip() for word in part.lower().split(";"))
        format_asked = {"application/openmetrics-text": Format.OPENMETRICS, "text/plain": Format.TEXT}.get(kind)
        given = next((_weight(word[2:]) for word in parameters if word.startswith("q=")), 1.0)
        # Greater only: of equal weights the first counts, as Prometheus writes what it prefers first.
        if format_asked and given > weight:
            best, weight = format_asked, given
    return best


def _weight(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


Labels = Sequence[tuple[str, str]]


def escape(value: str) -> str:
    """A label value as it stands between quotes."""
    if "\\" in value or '"' in value or "\n" in value:
        value = value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
    return value.encode("utf-8", "replace").decode() if not value.isascii() else value


def number(value: float) -> str:
    """A sample's value: as short as it can be and still be read back as the same number."""
    value = float(value)
    # Beyond it, floats do not hold every integer, and the shortest text is the exponent's.
    if value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    text = repr(value)
    if text[-1] in "fn":
        return {"inf": "+Inf", "-inf": "-Inf", "nan": "NaN"}[text]
    return text


BASE = "\0"
"""Stands in a template for the labels of a target."""


class Page:
    """The lines of one target, and what its series look like, rendered once."""

    def __init__(self, labels: Labels) -> None:
        self._base = _pairs(labels)
        self._series: dict[tuple[str, Labels], str] = {}

    def fill(self, template: str) -> str:
        """Lines that are the same for many targets, with this one's labels in place of each BASE."""
        return template.replace(BASE, self._base)

    def render(self, samples: Iterable[Sample]) -> dict[Family, str]:
        """The text of each family; samples of one series must not be there twice."""
        known, count = self._series, 0
        lines: dict[Family, list[str]] = {}
        for sample in samples:
            count += 1
            key = (sample.family.name + sample.suffix, sample.labels)
            series = known.get(key)
            if series is None:
                series = known[key] = self._render_series(*key)
            lines.setdefault(sample.family, []).append(f"{series} {number(sample.value)}\n")
        if len(known) > 2 * count:
            # Labels come and go: what is not there now is forgotten, and rendered again should it come back.
            self._series = {}
        return {family: "".join(parts) for family, parts in lines.items()}

    def _render_series(self, name: str, labels: Labels) -> str:
        own = _pairs(labels)
        inside = f"{self._base},{own}" if self._base and own else self._base or own
        return f"{name}{{{inside}}}" if inside else name


@dataclass(slots=True)
class _Block:
    """A family's head in each format, and its lines by target."""

    heads: dict[Format, str]
    texts: dict[Hashable, str] = field(default_factory=dict)


class Exposition:
    """The text of every target, by family."""

    def __init__(self) -> None:
        self._families: dict[str, _Block] = {}
        self._of_target: dict[Hashable, frozenset[str]] = {}

    def put(self, target: Hashable, texts: dict[Family, str]) -> None:
        """Take a target's text in place of what it had."""
        for family, text in texts.items():
            if family.name not in self._families:
                self._families[family.name] = _Block({format_: _head(family, format_) for format_ in Format})
            self._families[family.name].texts[target] = text
        before, now = self._of_target.get(target, frozenset()), frozenset(family.name for family in texts)
        # Nearly always: the same families as a moment ago, and no set to work out.
        if before == now:
            return
        for name in before - now:
            self._drop(name, target)
        self._of_target[target] = now

    def remove(self, target: Hashable) -> None:
        """Forget a target."""
        for name in self._of_target.pop(target, frozenset()):
            self._drop(name, target)

    def text(self, format_: Format = Format.TEXT) -> str:
        """The whole page; without the mark of its end that OpenMetrics wants."""
        return "".join(self.pieces(format_))

    def pieces(self, format_: Format = Format.TEXT) -> Iterator[str]:
        """The page in pieces of one family each, a large one in several; what comes or goes meanwhile may be there."""
        for block in list(self._families.values()):
            texts = list(block.texts.values())
            yield "".join((block.heads[format_], *texts[:_AT_ONCE]))
            for start in range(_AT_ONCE, len(texts), _AT_ONCE):
                yield "".join(texts[start : start + _AT_ONCE])

    def _drop(self, name: str, target: Hashable) -> None:
        texts = self._families[name].texts
        texts.pop(target, None)
        if not texts:
            del self._families[name]


def _head(family: Family, format_: Format) -> str:
    name, text = family.name, family.help.replace("\\", "\\\\").replace("\n", "\\n")
    if format_ is Format.OPENMETRICS:
        text = text.replace('"', '\\"')
        name = name.removesuffix("_total") if family.type == "counter" else name
    return f"# HELP {name} {text}\n# TYPE {name} {family.type}\n"


def _pairs(labels: Labels) -> str:
    return ",".join(f'{name}="{escape(value)}"' for name, value in labels)
