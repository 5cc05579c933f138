"""JSON Schemas of configs, for editors: what a pydantic model gives, made fit for files in which `${VAR}` may stand."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"

VARIABLE: Schema = {"type": "string", "pattern": r"\$\{[A-Za-z_]"}
"""A value that comes from the environment, and can be anything."""

_NOT_TEXT = {"integer", "number", "boolean"}


def finished(value: Any) -> Any:
    """A model's schema without what only pydantic knows; and what is not text may be a variable."""
    if isinstance(value, list):
        return [finished(item) for item in value]
    if not isinstance(value, dict):
        return value
    noise = {"writeOnly", "discriminator"} | ({"format"} if value.get("format") == "password" else set())
    if not isinstance(value.get("default", ""), (str, int, float, bool)) or str(value.get("default")).startswith("PT"):
        noise.add("default")
    if isinstance(value.get("title"), str) and "properties" not in value:
        noise.add("title")
    out = {key: finished(item) for key, item in value.items() if key not in noise}
    if (isinstance(out.get("type"), str) and out["type"] in _NOT_TEXT) or isinstance(out.get("enum"), list):
        kept = {key: out.pop(key) for key in ("default", "description") if key in out}
        return {"anyOf": [out, VARIABLE], **kept}
    return out
