"""The text of /metrics: each target's lines are rendered when it ran, and a scrape only puts them together.

The format is Prometheus's text 0.0.4 or OpenMetrics 1.0.0: the samples of a family stand together, below its HELP and
TYPE. The samples are written so that they are good in both; the heads and the end differ.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from weakref import WeakValueDictionary

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


_PLAIN = 10**15
"""Whole numbers below it are written without an exponent."""


def number(value: float) -> str:
    """A sample's value: as short as it can be and still be read back as the same number."""
    if type(value) is int and -_PLAIN < value < _PLAIN:
        return str(value)
    value = float(value)
    # Beyond it, floats do not hold every integer, and the shortest text is the exponent's.
    if value.is_integer() and abs(value) < _PLAIN:
        return str(int(value))
    text = repr(value)
    if text[-1] in "fn":
        return {"inf": "+Inf", "-inf": "-Inf", "nan": "NaN"}[text]
    return text


BASE = "\n="
"""Stands in a template for the labels of a target: no line begins so, and in a label's value no line ends."""

_BREAK = "\n\t"
"""Stands in a template between two families."""

Series = tuple[Family, str, Labels]
"""What a line tells beside its value: the family, the suffix of its name, and the labels beside those of the target."""


class Layout:
    """The lines of all targets that have the same series, but for their labels and values: made once, and shared.

    Of a series that is there twice the first counts: two would spoil the whole scrape.
    """

    __slots__ = ("__weakref__", "_order", "_template", "families")

    def __init__(self, series: Iterable[Series]) -> None:
        lines: dict[Family, dict[tuple[str, Labels], tuple[int, str]]] = {}
        for place, (family, suffix, labels) in enumerate(series):
            line = f"{family.name}{suffix}{{{BASE}{_more(labels)}}} %s\n"
            lines.setdefault(family, {}).setdefault((suffix, labels), (place, line))
        self.families = tuple(lines)
        self._order = [place for of_family in lines.values() for place, _ in of_family.values()]
        self._template = _BREAK.join("".join(line for _, line in of_family.values()) for of_family in lines.values())

    def fill(self, base: str, values: Sequence[float]) -> list[str]:
        """The text of each family, with the labels of a target as they stand between braces, and a value a series."""
        numbers = tuple([number(values[place]) for place in self._order])
        text = self._template % numbers
        if not base:
            text = text.replace(f"{{{BASE}}}", "").replace(f"{BASE},", "")
        return text.replace(BASE, base).split(_BREAK) if numbers else []


_LAYOUTS: WeakValueDictionary[tuple[Series, ...], Layout] = WeakValueDictionary()


def layout_of(series: tuple[Series, ...]) -> Layout:
    """The layout of these series; there is one for as long as somebody holds it."""
    layout = _LAYOUTS.get(series)
    if layout is None:
        layout = _LAYOUTS[series] = Layout(series)
    return layout


def series_of(samples: Iterable[Sample]) -> tuple[Series, ...]:
    """What the lines of samples tell beside their values."""
    return tuple([(sample.family, sample.suffix, sample.labels) for sample in samples])


@dataclass(slots=True)
class _Block:
    """A family's head in each format, and its lines by target: written out, or parts with the labels between them."""

    heads: dict[Format, str]
    texts: dict[Hashable, str] = field(default_factory=dict)
    alike: dict[Hashable, tuple[tuple[str, ...], str]] = field(default_factory=dict)

    def pieces(self, head: str) -> Iterator[str]:
        """The lines in pieces that none takes long to put together."""
        texts, alike = list(self.texts.values()), list(self.alike.values())
        for start in range(0, len(texts), _AT_ONCE):
            yield "".join((head, *texts[start : start + _AT_ONCE]))
            head = ""
        for start in range(0, len(alike), _AT_ONCE):
            yield "".join([head, *(base.join(parts) for parts, base in alike[start : start + _AT_ONCE])])
            head = ""


class Exposition:
    """The text of every target, by family."""

    def __init__(self) -> None:
        self._families: dict[str, _Block] = {}
        self._of_target: dict[Hashable, tuple[Family, ...]] = {}
        self._alike_of: dict[Hashable, Family] = {}

    def put(self, target: Hashable, families: tuple[Family, ...], texts: list[str]) -> None:
        """Take a target's text by family in place of what it had."""
        blocks = self._families
        for family, text in zip(families, texts, strict=True):
            block = blocks.get(family.name)
            (self._new(family) if block is None else block).texts[target] = text
        before = self._of_target.get(target, ())
        if before is not families:
            self._of_target[target] = families
            for gone in {family.name for family in before} - {family.name for family in families}:
                self._drop(gone, target)

    def put_samples(self, target: Hashable, labels: Labels, samples: Sequence[Sample]) -> None:
        """Take a target's samples, which bear its labels, in place of what it had."""
        layout = layout_of(series_of(samples))
        self.put(target, layout.families, layout.fill(pairs(labels), [sample.value for sample in samples]))

    def put_alike(self, target: Hashable, family: Family, parts: tuple[str, ...], base: str) -> None:
        """Take lines that are the same for many targets, in parts between which the labels of this one stand.

        They are put together when they are asked for: kept once, however many targets have them.
        """
        (self._families.get(family.name) or self._new(family)).alike[target] = parts, base
        self._alike_of[target] = family

    def remove(self, target: Hashable) -> None:
        """Forget a target."""
        for family in self._of_target.pop(target, ()):
            self._drop(family.name, target)
        alike = self._alike_of.pop(target, None)
        if alike:
            self._drop(alike.name, target)

    def text(self, format_: Format = Format.TEXT) -> str:
        """The whole page; without the mark of its end that OpenMetrics wants."""
        return "".join(self.pieces(format_))

    def pieces(self, format_: Format = Format.TEXT) -> Iterator[str]:
        """The page in pieces of one family each, a large one in several; what comes or goes meanwhile may be there."""
        for block in list(self._families.values()):
            yield from block.pieces(block.heads[format_])

    def _new(self, family: Family) -> _Block:
        block = self._families[family.name] = _Block({format_: _head(family, format_) for format_ in Format})
        return block

    def _drop(self, name: str, target: Hashable) -> None:
        block = self._families[name]
        block.texts.pop(target, None)
        block.alike.pop(target, None)
        if not (block.texts or block.alike):
            del self._families[name]


def _head(family: Family, format_: Format) -> str:
    name, text = family.name, family.help.replace("\\", "\\\\").replace("\n", "\\n")
    if format_ is Format.OPENMETRICS:
        text = text.replace('"', '\\"')
        name = name.removesuffix("_total") if family.type == "counter" else name
    return f"# HELP {name} {text}\n# TYPE {name} {family.type}\n"


def pairs(labels: Labels) -> str:
    """Labels as they stand between braces."""
    return ",".join(f'{name}="{escape(value)}"' for name, value in labels)


def _more(labels: Labels) -> str:
    """Labels that follow those of a target, in a template."""
    return f",{pairs(labels)}".replace("%", "%%") if labels else ""
