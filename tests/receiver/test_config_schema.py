"""The JSON Schema that editors check the receiver's config with: committed as it is built, and of the models' mind."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from deploywatch import config
from deploywatch.errors import ConfigError
from deploywatch.receiver import config_schema
from deploywatch.receiver.settings.config import ReceiverConfig

ROOT = Path(__file__).parents[2]
SCHEMA = config_schema.schema()
VALIDATOR = Draft202012Validator(SCHEMA)


def plain(text: str) -> Any:
    """What a file says, dates as the text that they are in YAML 1.2 and to editors."""
    return json.loads(json.dumps(YAML(typ="safe", pure=True).load(text), default=str))


def test_the_committed_schema_is_what_is_built() -> None:
    assert config_schema.PATH.read_text() == config_schema.text(), "run: python -m deploywatch.receiver.config_schema"


def test_it_is_a_schema_with_every_key_of_the_file() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["properties"].keys() == {*ReceiverConfig.model_fields, "database_file"}
    assert SCHEMA["properties"]["keep_incidents"]["default"] == "365d"


def test_every_receiver_config_in_the_pages_and_examples_is_good() -> None:
    examples = [(str(file), file.read_text()) for file in sorted((ROOT / "examples").rglob("receiver*.yml"))]
    for page in sorted((ROOT / "docs").rglob("*.md")):
        blocks = re.findall(r"^```yaml\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
        examples += [(str(page), block) for block in blocks]
    ours = [
        (place, data)
        for place, text in examples
        if isinstance(data := _whole(text), dict) and data and data.keys() <= SCHEMA["properties"].keys()
    ]
    assert len(ours) > 40
    faults = [f"{place}: {fault.json_path}: {fault.message}" for place, data in ours for fault in _faults(data)]
    assert faults == []


def _whole(text: str) -> Any:
    """What a block says; nothing, of one that shows an excerpt."""
    try:
        return plain(text)
    except Exception:
        return None


def _faults(data: Any) -> Any:
    return VALIDATOR.iter_errors(data)


GOOD = [
    "",
    "database: postgresql://u@db/name",
    "database_file: database",
    "quiet_time: ${QUIET}\nmax_body: ${BODY}",
    "channels: {team: {kind: slack, token_file: secret, channel: '#x'}}",
    "channels: {team: {kind: webhook, url_file: secret, secret: 0123456789abcdef}}",
    "upstream: {alertmanagers: ['http://a:9093', {url: 'http://b:9093', token_file: secret}]}",
    """rollback:
  targets: [{kubectl: {deployment: x, container: x, image: 'x:{to_version}'}, verify: {url: 'http://exporter/health'}}]
""",
    """oncall:
  people: {ann: {}}
  rotations: {day: {people: [ann], every: 7d, starts: 2026-01-05}}
  teams: {shop: {primary: day, lead: [ann]}}
""",
]
BAD = [
    "quiet_tme: 5m",
    "quiet_time: 5",
    "max_body: 0",
    "database: a\ndatabase_file: b",
    "channels: {team: {kind: slak}}",
    "channels: {team: {kind: slack, channel: '#x'}}",
    "rollback: {mode: sometimes}",
    "upstream: {alertmanagers: [b:9093]}",
    "maintenance: [{name: x, at: '09:00', lasts: 1h, zone: UTC, days: [caturday]}]",
]


@pytest.mark.parametrize("text", GOOD)
def test_what_the_receiver_reads_is_good(text: str, tmp_path: Path) -> None:
    VALIDATOR.validate(plain(text) or {})
    (tmp_path / "secret").write_text("https://hush.example/")
    (tmp_path / "database").write_text("sqlite:///x.db")
    (tmp_path / "receiver.yml").write_text(text)
    config.load(tmp_path / "receiver.yml", ReceiverConfig, variables={"QUIET": "1m", "BODY": "7"})


@pytest.mark.parametrize("text", BAD)
def test_what_the_receiver_refuses_is_bad(text: str, tmp_path: Path) -> None:
    assert not VALIDATOR.is_valid(plain(text))
    (tmp_path / "receiver.yml").write_text(text)
    with pytest.raises(ConfigError):
        config.load(tmp_path / "receiver.yml", ReceiverConfig, variables={})
