"""Targets from files that change while the exporter runs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient, TestServer

from deploywatch.exporter import config
from deploywatch.exporter.app import make_server
from deploywatch.exporter.config import ExporterSettings
from deploywatch.exporter.discovery.files import TargetFiles, together
from deploywatch.exporter.exporter import Exporter
from deploywatch.exporter.targets import Key, targets
from tests.exporter.support import Web, eventually

Write = Callable[[str], Path]

CONFIG_PAGE = Path(__file__).parents[2] / "docs" / "exporter" / "config.md"
CONFIG = """
environment: production
modules: {http_2xx: {kind: http}, quick: {kind: http, layer: comprehensive}}
discover: [{files: ["*.json", more.yml], module: http_2xx, service: web, refresh: 100ms}]
"""


@pytest.fixture
def settings(write: Write) -> ExporterSettings:
    return config.load(write(CONFIG))


@pytest.fixture
def files(settings: ExporterSettings) -> TargetFiles:
    return TargetFiles(settings)


def keys(files: TargetFiles) -> list[Key]:
    return [target.key for target in files.targets()]


def test_json_and_yaml_are_read_with_their_labels(files: TargetFiles, tmp_path: Path) -> None:
    groups = [
        {"targets": ["a:80", "https://b/x"]},
        {
            "targets": ["c:80"],
            "labels": {"service": "s", "environment": "e", "probe": "p", "module": "quick", "x": "y"},
        },
    ]
    (tmp_path / "one.json").write_text(json.dumps(groups))
    (tmp_path / "more.yml").write_text("- targets: [d]\n  labels: {environment: staging}\n")
    assert files.refresh()
    assert keys(files) == [
        Key("web", "staging", "d"),
        Key("web", "production", "a:80"),
        Key("web", "production", "https://b/x"),
        Key("s", "e", "p"),
    ]
    assert [target.layer for target in files.targets()][-1] == "comprehensive"


def test_the_pages_example_is_read_as_the_page_says(write: Write, tmp_path: Path) -> None:
    page = CONFIG_PAGE.read_text().partition("## Targets from files")[2]
    files = TargetFiles(config.load(write(page.split("```yaml\n")[1].split("```")[0])))
    (found,) = re.findall(r"^    (\[\{.*\}\])$", page, re.MULTILINE)
    (tmp_path / "targets").mkdir()
    (tmp_path / "targets" / "web.json").write_text(found)
    (tmp_path / "more.yml").write_text(found.replace("a.example", "c.example"))
    files.refresh()
    assert keys(files) == [Key("web", "staging", f"https://{name}.example/") for name in "cbab"]
    assert (files.problems(), files.dropped()) == ({}, [])


def test_nothing_is_read_again_that_has_not_changed(files: TargetFiles, tmp_path: Path) -> None:
    path = tmp_path / "one.json"
    path.write_text('[{"targets": ["a"]}]')
    assert files.refresh()
    before = list(files.targets())
    assert not files.refresh()
    path.write_text('[{"targets": ["a", "b"]}]')
    assert files.refresh()
    assert next(files.targets()) == before[0], "an unchanged target is the same, and keeps its results"


def test_a_file_that_is_gone_takes_its_targets_along(files: TargetFiles, tmp_path: Path) -> None:
    path = tmp_path / "one.json"
    path.write_text('[{"targets": ["a"]}]')
    files.refresh()
    path.unlink()
    assert files.refresh()
    assert keys(files) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ("{}", "must be a list of groups"),
        ("[1]", "group 0: must be a mapping"),
        ('[{"target": ["a"]}]', "unknown key; did you mean 'targets'?"),
        ('[{"targets": "a"}]', "targets must be a list of texts"),
        ('[{"targets": [""]}]', "targets must be a list of texts"),
        ('[{"targets": ["a"], "labels": [1]}]', "labels must be a mapping of texts"),
        ('[{"targets": ["a"], "labels": {"service": ["x"]}}]', "the label service must be a text"),
        ('[{"targets": ["a"], "labels": {"module": "quik"}}]', "no module 'quik'; did you mean 'quick'?"),
        ('[{"targets": ["ftp://ann:hush@a"]}]', "ftp://ann:***@a: not a target of http"),
    ],
)
def test_a_faulty_file_keeps_what_it_said_before(files: TargetFiles, tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "one.json"
    path.write_text('[{"targets": ["a"]}]')
    files.refresh()
    path.write_text(text)
    assert not files.refresh()
    assert keys(files) == [Key("web", "production", "a")]
    assert message in files.problems()[path]
    assert "hush" not in files.problems()[path]
    path.write_text('[{"targets": ["a", "b"]}]')
    assert files.refresh()
    assert files.problems() == {}


def test_one_bad_target_is_put_aside_and_the_others_are_probed(files: TargetFiles, tmp_path: Path) -> None:
    path = tmp_path / "one.json"
    good, bad = {"targets": ["b"]}, {"targets": ["c"], "labels": {"module": "quik"}}
    path.write_text(json.dumps([{"targets": ["a", "ftp://ann:hush@a", "", ["x"]]}, bad, good]))
    assert files.refresh()
    assert keys(files) == [Key("web", "production", "a"), Key("web", "production", "b")]
    assert files.problems() == {}
    assert [target.reason for target in files.dropped()] == ["target", "target", "target", "module"]
    assert not any("hush" in target.detail for target in files.dropped())
    path.write_text(json.dumps([good]))
    assert files.refresh()
    assert files.dropped() == []


def test_scalars_become_text_as_prometheus_reads_them(files: TargetFiles, tmp_path: Path) -> None:
    labels = "environment: 2, canary: true, weight: 1.5, none: , odd: [1]"
    (tmp_path / "more.yml").write_text(f"- targets: [a, 8080]\n  labels: {{{labels}}}")
    files.refresh()
    assert keys(files) == [Key("web", "2", "a"), Key("web", "2", "8080")]
    assert [target.reason for target in files.dropped()] == ["label"]


@pytest.mark.parametrize("text", ["2.10", "0x10", "1_000", "1e3", ".inf", "+5", "True", "yes", "012", "2026-01-01"])
def test_a_scalar_of_yaml_is_the_text_that_stands_there(files: TargetFiles, tmp_path: Path, text: str) -> None:
    (tmp_path / "more.yml").write_text(f"- targets: [{text}]\n  labels: {{environment: {text}}}")
    files.refresh()
    assert keys(files) == [Key("web", text, text)]


def test_what_is_named_twice_is_counted(settings: ExporterSettings, files: TargetFiles, tmp_path: Path) -> None:
    (tmp_path / "one.json").write_text('[{"targets": ["a", "b", "b"]}]')
    files.refresh()
    for _ in range(2):
        together(list(targets(settings)), files.targets(), files.doubles)
        assert [target.detail for target in files.dropped()] == ["web/production/b is there already, and probed once"]


def test_a_modules_timeout_is_that_of_its_targets(write: Write, tmp_path: Path) -> None:
    text = CONFIG.replace("layer: comprehensive", "layer: comprehensive, timeout: 3s, interval: 7s")
    files = TargetFiles(config.load(write(text)))
    (tmp_path / "one.json").write_text('[{"targets": ["a"], "labels": {"module": "quick"}}]')
    files.refresh()
    assert [(target.interval, target.timeout) for target in files.targets()] == [(7, 3)]


def test_a_fault_in_yaml_is_told_with_its_place(files: TargetFiles, tmp_path: Path) -> None:
    (tmp_path / "more.yml").write_text("- targets: [a\n- b")
    files.refresh()
    assert f"{tmp_path / 'more.yml'}:2:4" in files.problems()[tmp_path / "more.yml"]


def test_a_service_must_be_named_somewhere(write: Write, tmp_path: Path) -> None:
    files = TargetFiles(config.load(write(CONFIG.replace("service: web, ", ""))))
    (tmp_path / "one.json").write_text('[{"targets": ["a"]}]')
    files.refresh()
    assert "name the service" in files.problems()[tmp_path / "one.json"]


def test_the_config_wins_over_files_and_every_key_is_there_once(write: Write, tmp_path: Path) -> None:
    settings = config.load(write(CONFIG + "services: {web: {probes: {a: {kind: http, url: 'http://own'}}}}"))
    (tmp_path / "one.json").write_text('[{"targets": ["a", "b", "b"]}]')
    files = TargetFiles(settings)
    files.refresh()
    found = together(list(targets(settings)), files.targets())
    assert [target.key.probe for target in found] == ["a", "b"]
    assert found[0].settings == settings.services["web"].probes["a"]


def test_a_faulty_file_keeps_its_targets_over_a_reload(files: TargetFiles, tmp_path: Path, write: Write) -> None:
    path = tmp_path / "one.json"
    path.write_text('[{"targets": ["a"]}]')
    files.refresh()
    path.write_text("{")
    files.refresh()
    after = files.successor(config.load(write(CONFIG)))
    after.refresh()
    assert keys(after) == [Key("web", "production", "a")]
    assert list(after.problems()) == [path]


def numbers(text: str, name: str) -> Iterator[str]:
    return (line.rpartition(" ")[2] for line in text.splitlines() if line.startswith(name))


async def test_a_running_exporter_takes_over_what_changes(web: Web, write: Write, tmp_path: Path) -> None:
    path, found = write(CONFIG), tmp_path / "one.json"
    found.write_text(json.dumps([{"targets": [web.say("/a", "hello")]}]))
    running = Exporter(path, config.load(path))
    async with TestClient(TestServer(make_server(running, listen=":0", web_config=None).app)) as client:
        await eventually(lambda: running.not_ready() is None)
        first = running.board.records[Key("web", "production", web.url + "/a")]
        found.write_text(json.dumps([{"targets": [web.url + "/a", web.say("/b", "hello")]}]))
        await eventually(lambda: len(running.board.records) == 2)
        assert running.board.records[first.target.key] is first
        found.write_text("{")
        await eventually(lambda: bool(running.files.problems()))
        assert len(running.board.records) == 2
        async with client.get("/metrics") as response:
            text = await response.text()
        assert list(numbers(text, "deploywatch_exporter_faulty_target_files")) == ["1.0"]
        assert list(numbers(text, "deploywatch_exporter_target_files")) == ["1.0"]
        found.unlink()
        await eventually(lambda: not running.board.records)


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        (
            "more.yml",
            "".join(f"- &a{level} [{', '.join([f'*a{level - 1}'] * 9) if level else 'x'}]\n" for level in range(13)),
            "aliases repeat more than",
        ),
        ("one.json", "[" * 200_000, "nested more than 100 deep"),
    ],
)
def test_a_file_of_targets_that_is_a_bomb_is_refused_and_what_was_known_stays(
    files: TargetFiles, tmp_path: Path, name: str, text: str, reason: str
) -> None:
    (tmp_path / name).write_text('[{"targets": ["a:80"]}]')
    files.refresh()
    (tmp_path / name).write_text(text)
    files.refresh()
    assert keys(files) == [Key("web", "production", "a:80")]
    assert reason in "".join(files.problems().values())
