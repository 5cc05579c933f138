"""What holds for any config: a good one loads, agrees with its schema and shows no secret; no other one crashes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deploywatch.config import redacted
from deploywatch.errors import ConfigError
from deploywatch.exporter import config

SCHEMA = jsonschema.Draft202012Validator(json.loads((Path(config.__file__).parent / "schema.json").read_text()))
# How long it takes is the machine's affair.
BUSY = [HealthCheck.too_slow]
SECRET = "s3cret-that-nobody-may-see"

names = st.from_regex(r"[a-z][a-z0-9-]{0,12}", fullmatch=True)
durations = st.integers(1, 900).map(lambda seconds: f"{seconds}s")
status = st.sampled_from(["2xx", 200, 204, "3xx", 404])

http = st.fixed_dictionaries(
    {"kind": st.just("http"), "url": st.just("http://shop.example:8080/health")},
    optional={
        "bearer_token": st.just(SECRET),
        "redirects": st.integers(0, 50),
        "expect": st.fixed_dictionaries(
            {}, optional={"status": st.lists(status, min_size=1, max_size=3), "within": durations}
        ),
    },
)
postgres = st.fixed_dictionaries(
    {"kind": st.just("postgres"), "dsn": st.just(f"postgresql://probe:{SECRET}@db.example/shop")},
    optional={"queries": st.just({"tenants": {"sql": "SELECT 1", "help": "Tenants."}})},
)
redis = st.fixed_dictionaries(
    {"kind": st.just("redis"), "url": st.just("redis://cache.example/0")}, optional={"password": st.just(SECRET)}
)
services = st.fixed_dictionaries(
    {"probes": st.dictionaries(names, http | postgres | redis, min_size=1, max_size=3)},
    optional={"environment": names},
)
documents = st.fixed_dictionaries(
    {"services": st.dictionaries(names, services, min_size=1, max_size=3)},
    optional={"environment": names, "concurrency": st.integers(1, 5000)},
)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=12,
)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the configs are written; JSON is YAML too."""
    return tmp_path_factory.mktemp("config") / "exporter.yml"


@settings(suppress_health_check=BUSY, deadline=None)
@given(document=documents)
def test_a_good_config_loads_agrees_with_the_schema_and_shows_no_secret(file: Path, document: dict[str, Any]) -> None:
    file.write_text(json.dumps(document))
    loaded = config.load(file, variables={})
    SCHEMA.validate(document)
    shown = json.dumps(redacted(loaded))
    assert SECRET not in shown
    assert SECRET not in repr(loaded)


@settings(suppress_health_check=BUSY, deadline=None)
@given(document=documents, service=names, wrong=anything)
def test_whatever_stands_in_the_place_of_a_probe_is_said_with_its_place_or_loads(
    file: Path, document: dict[str, Any], service: str, wrong: Any
) -> None:
    document["services"][service] = {"probes": {"odd": wrong}}
    file.write_text(json.dumps(document))
    with pytest.raises(ConfigError) as caught:
        config.load(file, variables={})
    assert all(problem.line >= 1 for problem in caught.value.problems)
    assert all(problem.path.startswith(f"services.{service}") for problem in caught.value.problems)


@settings(suppress_health_check=BUSY, deadline=None)
@given(document=anything)
def test_no_document_crashes_the_reader(file: Path, document: Any) -> None:
    file.write_text(json.dumps(document))
    with pytest.raises(ConfigError):
        config.load(file, variables={})
