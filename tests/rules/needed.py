"""What alerts need of the rules that are built: themselves, and what is recorded for them, and for that.

promtool evaluates every rule of its files at each step, which is most of its time; what no alert in question needs
cannot change what is said of it.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from deploywatch.rules.outputs.emit import yaml

_NAMES = re.compile(r"[a-zA-Z_:][\w:]*")


def keep_needed(files: Collection[Path], alerts: Collection[str]) -> None:
    """Take what these alerts do not need out of the files; AssertionError if none of the alerts is there."""
    texts: dict[Path, Any] = {file: YAML(typ="safe").load(file.read_text()) for file in files}
    rules = [rule for text in texts.values() for group in text["groups"] for rule in group["rules"]]
    assert set(alerts) & {rule.get("alert") for rule in rules}, f"there is none of {alerts}"
    wanted, more = set[str](), set(alerts)
    while more:
        wanted |= more
        more = {
            name
            for rule in rules
            if _name(rule) in wanted or ("alert" in rule and "ALERTS" in wanted)
            for name in _NAMES.findall(rule["expr"])
        } - wanted
    for file, text in texts.items():
        for group in text["groups"]:
            group["rules"] = [
                rule for rule in group["rules"] if _name(rule) in wanted or ("alert" in rule and "ALERTS" in wanted)
            ]
        file.write_text(yaml(text))


def _name(rule: dict[str, Any]) -> str:
    return str(rule.get("record") or rule["alert"])
