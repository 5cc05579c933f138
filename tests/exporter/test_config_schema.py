"""The JSON Schema that editors check a config with: committed as it is built, and of the models' mind."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from deploywatch.errors import ConfigError
from deploywatch.exporter import config
from deploywatch.exporter import config_schema as schema

Write = Callable[[str], Path]

ROOT = Path(__file__).parents[2]
PAGES = sorted([*(ROOT / "docs" / "probes").glob("*.md"), *(ROOT / "docs" / "exporter").glob("*.md")])
WITH_EXAMPLES = [page for page in PAGES if "```yaml" in page.read_text()]
EXAMPLES = [ROOT / "examples" / "exporter.yml", ROOT / "examples" / "demo" / "exporter.yml"]
VALIDATOR = Draft202012Validator(schema.schema())


def plain(text: str) -> Any:
    return YAML(typ="safe", pure=True).load(text)


def test_the_committed_schema_is_what_is_built() -> None:
    assert schema.PATH.read_text() == schema.text(), "run: python -m deploywatch.exporter.config_schema"


def test_it_is_a_schema() -> None:
    Draft202012Validator.check_schema(schema.schema())


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.parent.name)
def test_the_examples_are_good(path: Path) -> None:
    VALIDATOR.validate(plain(path.read_text()))


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=lambda path: path.stem)
def test_the_examples_in_the_pages_are_good(path: Path) -> None:
    examples = re.findall(r"```yaml\n(.*?)```", path.read_text(), re.DOTALL)
    assert examples
    for example in examples:
        VALIDATOR.validate(plain(example))


GOOD = [
    "services: {a: {probes: {x: {kind: http, url: http://x, password_file: secret}}}}",
    "services: {a: {probes: {x: {kind: http, url_file: secret}}}}",
    "services: {a: {probes: {x: {kind: http, url: http://x, expect: {status: [200, 2xx]}}}}}",
    "services: {a: {probes: {x: {kind: http, url: '${URL}', redirects: '${REDIRECTS}', method: '${METHOD}'}}}}",
    "concurrency: ${MANY}\nservices: {a: {probes: {x: {kind: redis, url: redis://x}}}}",
    "modules: {m: {kind: http, timeout: 5s}}",
    "modules: {m: {kind: postgres, password_file: secret, targets: ['x:1']}}",
    "modules: {m: {prober: http, timeout: 5s, http: {method: GET}}}",
]
BAD = [
    "enviroment: x",
    "services: {a: {probes: {x: {kind: htp}}}}",
    "services: {a: {probes: {x: {kind: redis}}}}",
    "services: {a: {probes: {x: {kind: http, url: http://x, redirects: many}}}}",
    "services: {a: {probes: {x: {kind: http, url: http://x, method: 'GET /'}}}}",
    "services: {a: {probes: {x: {kind: http, url: http://x, url_file: y}}}}",
    "services: {a: {probes: {x: {kind: redis, url: redis://x, password: a, password_file: b}}}}",
    "layers: {a: {interval: 5s}}",
    "modules: {m: {prober: smoke}}",
    "modules: {m: {timeout: 5s}}",
]


@pytest.mark.parametrize("text", GOOD)
def test_what_the_exporter_reads_is_good(text: str, write: Write, tmp_path: Path) -> None:
    VALIDATOR.validate(plain(text))
    (tmp_path / "secret").write_text("http://hush/")
    config.load(write(text), variables={"URL": "http://x", "REDIRECTS": "3", "METHOD": "GET", "MANY": "7"})


@pytest.mark.parametrize("text", BAD)
def test_what_the_exporter_refuses_is_bad(text: str, write: Write) -> None:
    assert not VALIDATOR.is_valid(plain(text))
    with pytest.raises(ConfigError):
        config.load(write(text), variables={})
