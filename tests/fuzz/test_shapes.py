"""A config whose parts are of another kind than they should be is refused in words, each with its place."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import pytest

from deploywatch import config
from deploywatch.access.settings import WebConfig
from deploywatch.errors import ConfigError
from deploywatch.exporter import config as exporter_config
from deploywatch.exporter.settings.blackbox import is_literal
from deploywatch.files import yaml_reader
from deploywatch.files.document import Document
from deploywatch.receiver.settings.config import ReceiverConfig
from deploywatch.rules.loading import checked
from tests.fuzz.shapes import reshaped
from tests.fuzz.targets import NOWHERE, TARGETS

Build = Callable[[Document], object]
BUILDS: dict[str, Build] = {
    "policy": lambda document: checked(document, NOWHERE),
    "exporter": lambda document: exporter_config.built(document, NOWHERE),
    "receiver": lambda document: config.build(document, ReceiverConfig, base=NOWHERE),
    "web": lambda document: config.build(document, WebConfig, base=NOWHERE),
}
TIMES = 150
FOUND = {
    "exporter": (
        "services: {a: {depends_on: [{b: c}], probes: {x: {kind: http, url: 'http://h/', layer: [1]}}}}",
        "services: {a: {service: {b: c}, environment: [d], probes: {}}}",
        "services: {a: {service: 7, probes: {}}, b: {depends_on: [c], probes: {}}}",
        "discover: [{module: {}}]\nlevels: {x: {layers: [{}]}}\nsmoke: {x: {layers: [[]]}}\nmodules: {m: {kind: http}}",
        "services: {a: {probes: {x: {kind: port, ports: [{}]}}}}\nports: {p: {address: 'h:1'}}",
        "environment: [a]\nservices: {a: {probes: {}}}",
    ),
    "policy": ("policy: a\npreset: [{}]\n", "policy: a\nsignals: {s: {query: up, unit: {}}}\n"),
}
"""What ended in a traceback."""


def _documents(name: str) -> Iterator[Document]:
    if name == "policy":
        for seed in TARGETS["policy"].seeds():
            yield yaml_reader.read(seed.decode(), "a.yml", {"HOME": "x"})
        return
    literal = is_literal if name == "exporter" else lambda _: False
    for seed in TARGETS["config"].seeds():
        if seed[:1] == name[:1].encode():
            yield yaml_reader.read(seed[1:].decode(), "a.yml", {"HOME": "x"}, literal=literal)


def _refused_in_words(build: Build, document: Document) -> None:
    refused = None
    try:
        build(document)
    except ConfigError as error:
        refused = error
    assert refused is None or (refused.problems and all(problem.message for problem in refused.problems))


@pytest.mark.parametrize("name", BUILDS)
def test_whatever_kind_a_part_is_of_it_is_refused_in_words(name: str) -> None:
    dice = random.Random(7)  # noqa: S311 - it deals inputs, no secrets
    documents = list(_documents(name))
    assert len(documents) > 10
    for _ in range(TIMES):
        _refused_in_words(BUILDS[name], reshaped(dice.choice(documents), dice))


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in FOUND.items() for text in texts])
def test_what_ended_in_a_traceback_is_refused_in_words(name: str, text: str) -> None:
    with pytest.raises(ConfigError):
        BUILDS[name](yaml_reader.read(text, "a.yml", {}))
