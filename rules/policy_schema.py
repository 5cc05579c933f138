"""The JSON Schema of a policy, for editors; write it with: python -m deploywatch.rules.policy_schema.

It is made from the model, and says the form of a policy; what a condition means, only `rules check` knows.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from deploywatch.files.editor_schema import DIALECT, Schema, explain, finished
from deploywatch.quantity import Unit
from deploywatch.rules.policy import Policy

PATH = Path(__file__).parent / "schema.json"


def schema() -> Schema:
    """The whole schema."""
    made = Policy.model_json_schema(mode="validation")
    definitions: dict[str, Schema] = made["$defs"]
    # A unit is written by its name or its sign, and the model knows only one of them.
    definitions["Unit"] = {"enum": [text for unit in Unit for text in dict.fromkeys((unit.name.lower(), unit.value))]}
    made["properties"]["preset"] = {"anyOf": [made["properties"]["preset"]["items"], made["properties"]["preset"]]}
    for name in ("of", "in"):
        asked = definitions["Requirement"]["properties"]
        asked[name] = {"anyOf": [{"type": "string"}, asked[name]]}
    _accept_numbers(made)
    explain(made, Policy)
    return {
        "$schema": DIALECT,
        "title": "A policy of deploywatch",
        **finished({key: value for key, value in made.items() if key != "title"}),
    }


def text() -> str:
    """The schema as it is committed."""
    return json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"


def _accept_numbers(part: Any) -> None:
    """A quantity without a unit may be written as a number: `per: 1000`."""
    if isinstance(part, list):
        for item in part:
            _accept_numbers(item)
    elif isinstance(part, dict):
        if part.get("type") == "string" and "1000" in part.get("examples", ()):
            part["type"] = ["string", "number"]
        for item in part.values():
            _accept_numbers(item)


if __name__ == "__main__":
    PATH.write_text(text(), encoding="utf-8")
