"""The chart's values and examples, as far as they can be held without helm; scripts/chart does the rest."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator
from ruamel.yaml import YAML

from deploywatch import __version__
from tests.deploy.crd import faults

CHART = Path(__file__).parents[2] / "deploy/chart"
SCHEMA = json.loads((CHART / "values.schema.json").read_text())


def read(name: str) -> Any:
    return YAML(typ="safe").load(CHART / name)


def merged(values: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """The values as helm puts them together."""
    return values | {
        key: merged(values[key], value) if isinstance(value, dict) and isinstance(values.get(key), dict) else value
        for key, value in more.items()
    }


def wrong(values: dict[str, Any]) -> list[str]:
    validator = Draft7Validator(SCHEMA)
    return [error.json_path for error in validator.iter_errors(merged(read("values.yaml"), values))]


def _paths(values: dict[str, Any], above: str = "") -> Iterator[str]:
    for key, value in values.items():
        yield f"{above}{key}"
        if isinstance(value, dict):
            yield from _paths(value, f"{above}{key}.")


@pytest.mark.parametrize("name", ["five-values", "postgresql"])
def test_the_examples_values_keep_the_schema(name: str) -> None:
    assert wrong(read(f"examples/{name}.yaml")) == []


def test_every_value_is_used_and_every_use_has_a_value() -> None:
    text = "\n".join(path.read_text() for path in (CHART / "templates").iterdir())
    used = {match.rstrip(".") for match in re.findall(r"\.Values\.([A-Za-z.]+)", text)}
    values = set(_paths(read("values.yaml")))
    assert used <= values
    # These are passed on whole, or by the part's name.
    whole = {"monitoring.labels"}
    parts = {path for path in values if not any(other.startswith(f"{path}.") for other in values)}
    of_parts = {
        f"{part}.{key}" for part in ("exporter", "receiver") for key in ("nodeSelector", "tolerations", "enabled")
    }
    under_whole = {path for path in parts if any(path.startswith(f"{one}.") for one in used)}
    assert parts <= used | whole | of_parts | under_whole


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ({}, "$.receiver.webConfigSecret"),
        ({"receiver": {"webConfigSecret": "web", "config": {"database": "sqlite:///x"}}}, "$.receiver.config"),
        ({"receiver": {"webConfigSecret": "web", "externalUrl": "ops.example"}}, "$.receiver.externalUrl"),
        ({"receiver": {"webConfigSecret": "web", "replica": 3}}, "$.receiver"),
        ({"receiver": {"webConfigSecret": "web"}, "exporter": {"port": 80}}, "$.exporter.port"),
    ],
)
def test_a_value_that_cannot_be_right_is_refused(values: dict[str, Any], path: str) -> None:
    assert wrong(values) == [path]


@pytest.mark.parametrize("name", ["probe", "scrapeconfig"])
def test_the_examples_of_the_operators_kinds_keep_its_schema(name: str) -> None:
    assert faults(read(f"examples/{name}.yaml")) == []


def test_a_key_that_the_operator_does_not_know_is_a_fault() -> None:
    resource = read("examples/scrapeconfig.yaml")
    resource["spec"]["honourLabels"] = True
    assert [fault.split(":")[0] for fault in faults(resource)] == ["$.spec"]


def test_the_chart_has_the_distributions_version() -> None:
    chart = read("Chart.yaml")
    assert (chart["version"], chart["appVersion"]) == (__version__, __version__)


def test_what_is_scraped_keeps_its_labels() -> None:
    """Without it every probed service would bear the name of the exporter's Kubernetes Service."""
    assert (CHART / "templates/monitoring.yaml").read_text().count("honorLabels: true") == 1
    assert read("examples/scrapeconfig.yaml")["spec"]["honorLabels"] is True
