"""Gauges and counters of the user's own: their names, types and help texts, as a config gives them."""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from deploywatch import conventions
from deploywatch.config import Settings
from deploywatch.exporter.results import Family

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL = re.compile(r"(?!__)[a-zA-Z_][a-zA-Z0-9_]*")
LABELS_TAKEN = frozenset(
    {conventions.SERVICE, conventions.ENVIRONMENT, conventions.PROBE, conventions.KIND, "le", "quantile"}
)
# What a server says may be long and always new; each value of a label is a series for ever.
LABEL_LIMIT = 128
"""Characters of a label's value that are kept."""

_NUMBER = re.compile(r"[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|inf(?:inity)?)", re.ASCII | re.IGNORECASE)
_TAKEN = ("probe_", "deploywatch_", "process_", "python_", "service_dependency")


def gauge_name(name: str) -> str:
    """The name, when it can be one; else ValueError."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is not a metric name; use letters, digits and _, such as queue_length")
    if name.startswith(_TAKEN):
        raise ValueError(f"{name!r}: names that start with {', '.join(_TAKEN[:-1])} are deploywatch's own")
    # Prometheus and its tools read these endings as parts of histograms, summaries and infos.
    if name.endswith(("_bucket", "_count", "_sum", "_info")):
        raise ValueError(
            f"{name!r} is a gauge or a counter; the ending _{name.rpartition('_')[2]} promises another type"
        )
    return name


def check_type(family: Family) -> None:
    """ValueError when a name promises another type than the metric has: `_total` is for counters alone."""
    gauge_name(family.name)
    if family.name.endswith("_total") is not (family.type == "counter"):
        raise ValueError(
            f"{family.name!r} is a {family.type}; "
            + (
                "the ending _total promises another type: write type: counter if it only rises, or another name"
                if family.type == "gauge"
                else f"call it {family.name}_total, as counters are called"
            )
        )


GaugeName = Annotated[str, AfterValidator(gauge_name)]
"""A metric name that a config gives to a gauge or a counter."""


def _label(name: str) -> str:
    if not is_label(name):
        raise ValueError(f"{name!r} cannot be a label; use letters, digits and _, and none of deploywatch's own")
    return name


def is_label(name: str) -> bool:
    """Whether a gauge may bear a label of this name beside those of its target."""
    return name not in LABELS_TAKEN and _LABEL.fullmatch(name) is not None


LabelName = Annotated[str, AfterValidator(_label)]
"""A label that a config gives to a gauge."""


def number(value: str | float | Decimal) -> float | None:
    """The number that a value is; None for text that is none, for NaN, and for what is beyond a sample's range.

    NaN is above no limit and below none, so that no alert would ever see it.
    """
    if isinstance(value, str):
        value = value.strip()
        if not _NUMBER.fullmatch(value):
            return None
    try:
        result = float(value)
    except OverflowError:
        return None
    # 1e400 is a number beyond a float's range, and not what "inf" means.
    if math.isinf(result):
        infinite = value.lower().lstrip("+-").startswith("inf") if isinstance(value, str) else _is_infinite(value)
        return result if infinite else None
    return None if math.isnan(result) else result


def _is_infinite(value: float | Decimal) -> bool:
    return value.is_infinite() if isinstance(value, Decimal) else math.isinf(value)


class Gauge(Settings):
    """What every metric of a config says: its help text, and whether it is a gauge or a counter.

    A counter only rises, but for a reset to 0: its series is there at 0 before anything was counted.
    """

    help: str = Field(min_length=1)
    type: Literal["gauge", "counter"] = "gauge"

    def family(self, name: str) -> Family:
        """The metric family that this makes."""
        return Family(name, self.type, self.help)
