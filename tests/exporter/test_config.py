"""The exporter's config: what is read, and that every fault is told with its place."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from deploywatch.config import redacted
from deploywatch.errors import ConfigError
from deploywatch.exporter import config
from deploywatch.exporter.config import ServiceKey
from deploywatch.exporter.settings.layers import LAYERS
from deploywatch.exporter.targets import Key, targets

Write = Callable[[str], Path]

GOOD = """
environment: production
layers: {often: {interval: 5s, timeout: 2s}, business: {interval: 10m, timeout: 60s}}
services:
  shop:
    depends_on: [billing]
    probes:
      cache: {kind: redis, url: redis://localhost, layer: often}
  shop-staging:
    service: shop
    environment: staging
    probes:
      cache: {kind: redis, url: redis://localhost}
  billing:
    probes:
      sales: {kind: redis, url: redis://localhost, layer: business}
"""


def faults(path: Path) -> list[str]:
    """The problems of a config, without the name of the file."""
    with pytest.raises(ConfigError) as caught:
        config.load(path, variables={})
    return [str(problem).removeprefix(f"{path}:") for problem in caught.value.problems]


def test_a_service_may_be_in_several_environments(write: Write) -> None:
    settings = config.load(write(GOOD))
    found = {target.key: target for target in targets(settings)}
    assert set(found) == {
        Key("shop", "production", "cache"),
        Key("shop", "staging", "cache"),
        Key("billing", "production", "sales"),
    }
    assert settings.dependencies() == {ServiceKey("shop", "production"): ("billing",)}


def test_layers_give_interval_and_timeout(write: Write) -> None:
    times = {t.key: (t.interval, t.timeout) for t in targets(config.load(write(GOOD)))}
    assert times[Key("shop", "production", "cache")] == (5, 2)
    assert times[Key("shop", "staging", "cache")] == (30, 10)
    assert times[Key("billing", "production", "sales")] == (600, 60)


def test_the_layers_that_are_always_there_are_those_of_source_002() -> None:
    assert {name: (layer.interval, layer.timeout) for name, layer in LAYERS.items()} == {
        "immediate": (timedelta(seconds=30), timedelta(seconds=10)),
        "comprehensive": (timedelta(minutes=2), timedelta(seconds=30)),
        "business": (timedelta(minutes=5), timedelta(seconds=60)),
    }


def test_five_faults_are_told_at_once_each_with_its_place(write: Write) -> None:
    text = """\
enviroment: x
services:
  shop:
    depends_on: [biling]
    probes:
      a: {kind: htp, url: x}
      b: {kind: http, url: "http://x", layer: imediate}
      c: {kind: redis}
  billing: {probes: {x: {kind: redis, url: "redis://x"}}}
"""
    assert faults(write(text)) == [
        "1:1: enviroment: unknown key; did you mean 'environment'?",
        "4:18: services.shop.depends_on[0]: no service 'biling' in environment 'default'; did you mean 'billing'?",
        "6:11: services.shop.probes.a.kind: unknown kind 'htp'; did you mean 'http'?",
        "7:40: services.shop.probes.b.layer: no layer 'imediate'; did you mean 'immediate'?",
        "8:7: services.shop.probes.c.url: is required; add it",
    ]


REDIS = "{kind: redis, url: redis://x}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "services: is empty; name a service and its probes"),
        ("services: {}", "services: is empty; name a service and its probes"),
        ("services: {shop: {probes: {}}}", "services.shop.probes: is empty; give the service a probe"),
        (
            f"services: {{a: {{service: b, probes: {{x: {REDIS}}}}}, b: {{probes: {{x: {REDIS}}}}}}}",
            "services.b: is 'b' in environment 'default', as services.a is",
        ),
        (f"services: {{a: {{depends_on: [a], probes: {{x: {REDIS}}}}}}}", "a service does not depend on itself"),
        ("layers: {a: {interval: 5s, timeout: 10s}}", "layers.a: timeout is longer than interval"),
        ("layers: {a: {interval: 0s, timeout: 0s}}", "layers.a: interval and timeout must be more than 0s"),
        ("layers: {a: {interval: 5}}", "'5' is not a duration"),
        (
            "layers: {a: {interval: 5s, timeout: 5s, jitter: 3s}}",
            "layers.a: jitter must be from 0s to half of interval",
        ),
        ("levels: {quick: {layers: [imediate]}}", "levels.quick.layers[0]: no layer 'imediate'; did you mean"),
        (
            (
                "services: {a: {probes: {x: {kind: postgres, dsn: 'postgresql://x', "
                "queries: {orders: {sql: SELECT 1, help: O., values: [total]}}}}}}"
            ),
            "'orders_total' is a gauge; the ending _total promises another type",
        ),
        (
            (
                "services: {a: {probes: {x: {kind: postgres, dsn: 'postgresql://x', queries: "
                "{a: {sql: SELECT 1, help: A., values: [b]}, a_b: {sql: SELECT 1, help: B.}}}}}}"
            ),
            "a_b has another help text at services.a.probes.x.queries.a",
        ),
        ("services: {a: {probes: {x: {kind: port}}}}", "services.a.probes.x: there is no registry to look at"),
        (
            "{services: {a: {probes: {x: {kind: port, ports: [wbe]}}}}, ports: {web: {address: 'a:1', free: true}}}",
            "services.a.probes.x.ports[0]: no port 'wbe' in the registry; did you mean 'web'?",
        ),
        (
            "ports: {a: {address: 'x:1', free: true}, b: {address: 'X:1', speaks: redis}}",
            "ports: a and b are both registered for X:1; change one",
        ),
        ("discover: [{files: [a.yml], module: x}]", "discover[0].module: no module 'x'"),
        ("discover: [{files: [a.txt], module: x}]", "'a.txt' ends in none of .json, .yml, .yaml"),
        ("discover: [{files: ['*/a.yml'], module: x}]", "in the name of a file only"),
        ("probe: {allow: [10.0.0.1/8]}", "is not a network"),
        ("buckets: [1, 0.5]", "buckets must increase"),
        ("buckets: [0]", "buckets are numbers of seconds above 0"),
        ("concurrency: 0", "concurrency: Input should be greater than or equal to 1".replace("Input", "input")),
        ("services: [1]", "services: "),
        ("services: {a: 1}", "services.a: "),
        ("services: {a: {probes: {x: 1}}}", "services.a.probes.x"),
    ],
)
def test_a_fault_says_what_to_do(write: Write, text: str, message: str) -> None:
    assert any(message in fault for fault in faults(write(text))), faults(write(text))


@pytest.mark.parametrize(
    ("probe", "message"),
    [
        ("kind: http, url: 'ftp://x'", "url: not an HTTP URL"),
        ("kind: http, url: 'http://x:port'", "url: not a URL"),
        ("kind: http, url: 'http://x', expect: {status: [600]}", "'600' is neither"),
        ("kind: http, url: 'http://x', expect: {status: []}", "status: is empty"),
        ("kind: http, url: 'http://x', expect: {body: '('}", "not a regular expression"),
        ("kind: http, url: 'http://x', max_body: 5s", "max_body: 5s is not a size"),
        ("kind: http, url: 'http://x', headers: {'a b': c}", "not a header name"),
        ('kind: http, url: "http://x", headers: {a: "b\\nc"}', "must be one line"),
        ("kind: http, url: 'http://x', tls: {ca_file: nope}", "cannot be used"),
        ("kind: http, url: 'http://x', tls: {key_file: k}", "without cert_file"),
        ("kind: postgres, dsn: 'mysql://x'", "dsn: not a PostgreSQL URL"),
        ("kind: postgres, dsn: 'postgres://x:port'", "dsn: not a PostgreSQL URL"),
        ("kind: redis, url: 'http://x'", "url: not a Redis URL"),
        ("kind: redis, url: 'redis://x:port'", "url: not a Redis URL"),
        ("kind: redis, url: 'redis://x?nonsense=1'", "url: nonsense: no parameter of a Redis URL"),
        ("kind: redis, url: 'redis://x', password: p, password_file: f", "password and password_file are both given"),
        ("kind: postgres, dsn: 'postgres://x', queries: {'a-b': {sql: s, help: h}}", "not a metric name"),
        ("kind: postgres, dsn: 'postgres://x', queries: {probe_a: {sql: s, help: h}}", "are deploywatch's own"),
        ("kind: postgres, dsn: 'postgres://x', queries: {a_total: {sql: s, help: h}}", "promises another type"),
    ],
)
def test_a_fault_of_a_probe_says_what_to_do(write: Write, probe: str, message: str) -> None:
    text = f"services: {{a: {{probes: {{x: {{{probe}}}}}}}}}"
    assert any(message in fault for fault in faults(write(text))), faults(write(text))


def test_a_metric_with_two_help_texts_is_told(write: Write) -> None:
    text = """
services:
  a:
    probes:
      x: {kind: postgres, dsn: "postgres://x", queries: {q: {sql: s, help: one}}}
      y: {kind: postgres, dsn: "postgres://x", queries: {q: {sql: s, help: other}}}
"""
    assert any("q has another help text at services.a.probes.x.queries.q" in fault for fault in faults(write(text)))


def test_a_redacted_config_shows_no_secret(write: Write) -> None:
    text = """
services:
  shop:
    probes:
      a: {kind: http, url: "https://ann:hush1@x/", headers: {X-Token: hush2}, password: hush3, bearer_token: hush4}
      b: {kind: postgres, dsn: "postgresql://ann:hush5@x/y", password: hush6}
      c: {kind: redis, url: "redis://:hush7@x", password: hush8}
"""
    settings = config.load(write(text))
    assert "hush" not in str(redacted(settings))
    assert "hush" not in repr(settings)
    assert "hush" not in repr(list(targets(settings)))


@pytest.mark.parametrize("probe", ["kind: http, url", "kind: redis, url", "kind: postgres, dsn"])
@pytest.mark.parametrize("scheme", ["http", "redis", "postgresql", "nonsense"])
@pytest.mark.parametrize("rest", ["ann:zq/zq@x:y", "ann:zq", "[ann:zq@x"])
def test_no_fault_shows_a_secret(write: Write, probe: str, scheme: str, rest: str) -> None:
    text = f"services: {{a: {{probes: {{x: {{{probe}: '{scheme}://{rest}', layer: nowhere}}}}}}}}"
    told = faults(write(text))
    assert told
    assert not any("zq" in fault for fault in told), told


def test_unchanged_targets_are_equal_and_changed_ones_are_not(write: Write) -> None:
    first = list(targets(config.load(write(GOOD))))
    assert first == list(targets(config.load(write(GOOD))))
    assert first != list(targets(config.load(write(GOOD.replace("5s", "6s")))))
    assert first != list(targets(config.load(write(GOOD.replace("localhost", "elsewhere")))))
