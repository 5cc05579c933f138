"""The schemas of the operator, as strict as `kubectl apply --server-side`: a key that is not known is a fault."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

FOLDER = Path(__file__).with_name("crds")


def faults(resource: dict[str, Any]) -> list[str]:
    """What the operator's API would refuse in a resource of its kinds."""
    version = resource["apiVersion"].rpartition("/")[2]
    schema = _strict(json.loads((FOLDER / f"{resource['kind']}.{version}.json").read_text()))
    return [f"{error.json_path}: {error.message}" for error in Draft202012Validator(schema).iter_errors(resource)]


def _strict(schema: Any, *, root: bool = True) -> Any:
    """Kubernetes's dialect in JSON Schema's: unknown keys are faults, a flag stands at a pattern's start."""
    if isinstance(schema, list):
        return [_strict(part, root=False) for part in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: _strict(value, root=False) for key, value in schema.items()}
    if "properties" in schema and isinstance(schema.get("type"), str) and not root:
        # metadata has no properties here: it is Kubernetes's own.
        found.setdefault("additionalProperties", False)
    if isinstance(pattern := schema.get("pattern"), str) and "(?i)" in pattern:
        found["pattern"] = "(?i)" + re.sub(r"\(\?i\)", "", pattern)
    if schema.get("x-kubernetes-int-or-string"):
        found.pop("pattern", None)
    return found
