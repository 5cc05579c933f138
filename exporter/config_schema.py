"""The JSON Schema of the exporter's config, for editors; write it with: python -m deploywatch.exporter.config_schema.

It is made from the models, and told what these do not say of themselves: that a secret `x` may come as `x_file`, that
`${VAR}` may stand for any value, and that a module is a probe without its target.
"""

from __future__ import annotations

import json
from pathlib import Path

from deploywatch.exporter.config import ExporterSettings
from deploywatch.exporter.probes import KINDS
from deploywatch.exporter.settings.blackbox import PROBERS
from deploywatch.exporter.settings.modules import TARGET_KEYS
from deploywatch.files.editor_schema import DIALECT, Schema, explain, finished, offer_files

PATH = Path(__file__).parent / "schema.json"


def schema() -> Schema:
    """The whole schema."""
    made = ExporterSettings.model_json_schema()
    definitions: dict[str, Schema] = made["$defs"]
    definitions["Module"] = _module(definitions)
    _accept_status_numbers(definitions["Expect"])
    explain(made, ExporterSettings)
    offer_files(made)
    return {
        "$schema": DIALECT,
        "title": "Configuration of deploywatch exporter",
        **finished({key: value for key, value in made.items() if key != "title"}),
    }


def text() -> str:
    """The schema as it is committed."""
    return json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"


def _module(definitions: dict[str, Schema]) -> Schema:
    """A module: the keys of a kind, whose target may be left out, beside the module's own; or blackbox_exporter's."""
    wrapper = definitions["Module"]
    own = {key: value for key, value in wrapper["properties"].items() if key != "probe"}
    kinds = []
    for kind, (target, _) in TARGET_KEYS.items():
        probe = definitions[KINDS[kind].__name__]
        kinds.append(
            {
                **probe,
                "title": f"{kind} module",
                "properties": {**probe["properties"], **own},
                "required": [key for key in probe["required"] if key != target],
            }
        )
    several = [*kinds, _blackbox(own)]
    return {"title": "Module", "description": definitions["Module"]["description"], "oneOf": several}


def _blackbox(own: Schema) -> Schema:
    return {
        "title": "module of blackbox_exporter",
        "type": "object",
        "properties": {
            "prober": {"enum": list(PROBERS)},
            **{prober: {"type": ["object", "null"]} for prober in PROBERS},
            **own,
        },
        "required": ["prober"],
        "additionalProperties": False,
    }


def _accept_status_numbers(expect: Schema) -> None:
    """`200` is read as well as `"200"` and `2xx`."""
    status = expect["properties"]["status"]
    status["items"] = {"anyOf": [status["items"], {"type": "integer", "minimum": 100, "maximum": 599}]}


if __name__ == "__main__":
    PATH.write_text(text(), encoding="utf-8")
