"""Every kind of probe is complete: a module, a place in the config, a page, a test."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from deploywatch.exporter import config, probes
from deploywatch.exporter.probes import KINDS
from deploywatch.exporter.probing.settings import ProbeSettings
from deploywatch.exporter.results import Reason

ROOT = Path(__file__).parents[3]
PAGES = ROOT / "docs" / "probes"


def test_each_kind_is_a_module_and_each_module_a_kind() -> None:
    modules = {path.stem for path in Path(probes.__file__).parent.glob("*.py")} - {"__init__"}
    assert modules == set(KINDS)
    assert {settings.__module__ for settings in KINDS.values()} == {
        f"deploywatch.exporter.probes.{kind}" for kind in KINDS
    }


def test_each_kind_has_a_page_and_a_test() -> None:
    assert {path.stem for path in PAGES.glob("*.md")} == set(KINDS)
    assert {kind for kind in KINDS if not (Path(__file__).parent / f"test_{kind}.py").exists()} == set()


@pytest.mark.parametrize("kind", KINDS)
def test_a_kinds_page_names_all_its_settings(kind: str) -> None:
    page = (PAGES / f"{kind}.md").read_text()
    # What all kinds have is on docs/exporter/config.md.
    common = ProbeSettings.model_fields.keys()
    assert {name for name in KINDS[kind].model_fields.keys() - common if f"`{name}" not in page} - {"tls"} == set()


def test_each_reason_is_on_some_page() -> None:
    pages = "".join(path.read_text() for path in PAGES.glob("*.md"))
    assert {reason for reason in Reason if f"`{reason}`" not in pages} == {Reason.INTERNAL, Reason.CONFIG}


def test_the_starting_config_loads() -> None:
    settings = config.load(ROOT / "examples" / "exporter.yml", variables={})
    assert {probe.kind for service in settings.services.values() for probe in service.probes.values()} == set(KINDS)


def test_a_kind_that_does_not_say_where_its_target_stands_fails_at_import(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(KINDS["tcp"], "target_key")
    with pytest.raises(TypeError, match="probe kind tcp: TcpSettings lacks target_key; write which key"):
        importlib.reload(probes)


def test_a_module_that_is_not_registered_fails_at_import(monkeypatch: pytest.MonkeyPatch) -> None:
    there = [*Path(probes.__file__).parent.glob("*.py"), Path("ldap.py")]
    monkeypatch.setattr(Path, "glob", lambda *_: iter(there))
    with pytest.raises(TypeError, match=r"probe kind ldap: probes/ldap\.py is not registered; add its settings"):
        importlib.reload(probes)


def test_a_kind_without_a_page_fails_at_import(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "is_file", lambda self: self.name != "tcp.md")
    with pytest.raises(TypeError, match=r"probe kind tcp: docs/probes/tcp\.md is missing; write the page"):
        importlib.reload(probes)
