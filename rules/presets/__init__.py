"""Series that well-known exporters and proxies expose, for `preset:` in a policy; what the policy says itself wins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

PRESETS: Mapping[str, Path] = {path.stem: path for path in sorted(Path(__file__).parent.glob("*.yml"))}


def filled_in(series: Mapping[str, Any], presets: Sequence[str]) -> dict[str, Any]:
    """The policy's series, with what these presets say beside it; of two presets, the later wins."""
    merged: dict[str, Any] = {}
    for name in presets:
        merged = _merged(merged, _read(PRESETS[name]))
    return _merged(merged, series)


@cache
def _read(path: Path) -> dict[str, Any]:
    series: dict[str, Any] = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    return series


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    both = {
        key: _merged(below[key], value) if isinstance(below.get(key), dict) and isinstance(value, dict) else value
        for key, value in above.items()
    }
    return {**below, **both}
