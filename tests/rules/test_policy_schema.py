"""The JSON Schema that editors check a policy with: committed as it is built, and of the model's mind."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from deploywatch.errors import ConfigError
from deploywatch.rules import policy_schema
from tests.rules.tools import GOOD, SHIPPED, policy_from

VALIDATOR = Draft202012Validator(policy_schema.schema())
PAGE = Path(__file__).parents[2] / "docs" / "rules" / "policy.md"


def plain(text: str) -> Any:
    return YAML(typ="safe", pure=True).load(text)


def test_the_committed_schema_is_what_is_built() -> None:
    assert policy_schema.PATH.read_text() == policy_schema.text(), "run: python -m deploywatch.rules.policy_schema"


def test_it_is_a_schema() -> None:
    Draft202012Validator.check_schema(policy_schema.schema())


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_the_shipped_policies_are_good(path: Path) -> None:
    VALIDATOR.validate(plain(path.read_text()))


def test_the_policy_of_the_page_is_good() -> None:
    examples = re.findall(r"```yaml\n(policy:.*?)```", PAGE.read_text(), re.DOTALL)
    assert examples
    for example in examples:
        VALIDATOR.validate(plain(example))


VARIED = {
    "a selector of one value": ("interval: 30s", "interval: 30s\nselectors: {service: api}"),
    "a selector of several": ("interval: 30s", "interval: 30s\nselectors: {service: [api, web]}"),
    "a selector by pattern": ("interval: 30s", "interval: 30s\nselectors: {service: {pattern: a.*, such_as: api}}"),
    "no wait": ("    for: 2m\n", ""),
    "a variable for a severity": ("severity: critical", "severity: ${HOW_BAD}"),
    "a unit by its name": (
        "interval: 30s",
        "interval: 30s\nsignals: {x: {about: X, unit: per_second, query: 'sum by (service, environment) (x)'}}",
    ),
}
BAD = {
    "an unknown key": ("interval: 30s", "interwal: 30s"),
    "an unknown severity": ("severity: critical", "severity: urgent"),
    "an unknown action": ("action: rollback", "action: roll_back"),
    "no summary": ('    summary: "{service} fails"\n', ""),
    "a name that is none": ("alert: Sample", "alert: sample alert"),
    "a selector that is none": ("interval: 30s", "interval: 30s\nselectors: {service: {such_as: api}}"),
    "a unit that is none": (
        "interval: 30s",
        "interval: 30s\nsignals: {x: {about: X, unit: furlongs, query: 'sum by (service, environment) (x)'}}",
    ),
}


@pytest.mark.parametrize("change", VARIED.values(), ids=VARIED)
def test_what_loads_is_good(change: tuple[str, str], tmp_path: Path) -> None:
    text = GOOD.replace(*change)
    VALIDATOR.validate(plain(text))
    policy_from(text.replace("${HOW_BAD}", "low"), tmp_path)


@pytest.mark.parametrize("change", BAD.values(), ids=BAD)
def test_what_does_not_load_is_bad(change: tuple[str, str], tmp_path: Path) -> None:
    text = GOOD.replace(*change)
    assert not VALIDATOR.is_valid(plain(text))
    with pytest.raises(ConfigError):
        policy_from(text, tmp_path)
