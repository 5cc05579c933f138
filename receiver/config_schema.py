"""The JSON Schema of the receiver's config, for editors; write it with: python -m deploywatch.receiver.config_schema.

It is made from the models, and says the form of the file; what depends on several keys, only `--config.check` knows.
"""

from __future__ import annotations

import json
from pathlib import Path

from deploywatch.files.editor_schema import DIALECT, Schema, explain, finished, offer_files
from deploywatch.receiver.settings.config import ReceiverConfig

PATH = Path(__file__).parent / "schema.json"


def schema() -> Schema:
    """The whole schema."""
    made = ReceiverConfig.model_json_schema(mode="validation")
    alertmanagers = made["$defs"]["Upstream"]["properties"]["alertmanagers"]
    alertmanagers["items"] = {"anyOf": [made["$defs"]["Alertmanager"]["properties"]["url"], alertmanagers["items"]]}
    explain(made, ReceiverConfig)
    offer_files(made)
    return {
        "$schema": DIALECT,
        "title": "Configuration of deploywatch receiver",
        **finished({key: value for key, value in made.items() if key != "title"}),
    }


def text() -> str:
    """The schema as it is committed."""
    return json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    PATH.write_text(text(), encoding="utf-8")
