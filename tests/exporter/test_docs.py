"""The exporter's pages: their examples load, and they name every setting and metric that there is."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import BaseModel

from deploywatch.exporter import config
from deploywatch.exporter.access import AccessSettings
from deploywatch.exporter.config import ExporterSettings, Service
from deploywatch.exporter.exporter import Exporter
from deploywatch.exporter.http.self_metrics import Own
from deploywatch.exporter.measure import families
from deploywatch.exporter.probing.settings import ProbeSettings
from deploywatch.exporter.settings.discovery import Discovery
from deploywatch.exporter.settings.layers import LAYERS, Layer
from deploywatch.exporter.settings.selection import LEVELS, SMOKE

DOCS = Path(__file__).parents[2] / "docs"
PAGES = [*sorted((DOCS / "exporter").glob("*.md")), DOCS / "check.md"]
WITH_EXAMPLES = [page for page in PAGES if "```yaml" in page.read_text()]


@pytest.mark.parametrize("page", WITH_EXAMPLES, ids=lambda page: page.stem)
def test_the_examples_load(page: Path, write: Callable[[str], Path], tmp_path: Path) -> None:
    for name in ("shop-token", "db-password"):
        (tmp_path / name).write_text("hush")
    examples = re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL)
    assert examples
    for example in examples:
        assert config.load(write(example), variables={})


@pytest.mark.parametrize("model", [ExporterSettings, Service, Layer, Discovery, AccessSettings, ProbeSettings])
def test_every_setting_is_on_the_page(model: type[BaseModel]) -> None:
    page = (DOCS / "exporter" / "config.md").read_text()
    assert {name for name in model.model_fields if f"`{name}`" not in page} == set()


def test_every_metric_that_all_probes_have_is_on_the_page() -> None:
    page = (DOCS / "exporter" / "metrics.md").read_text()
    common = (families.SUCCESS, families.DURATION, families.FAILURE_INFO, families.LAST_RUN, families.RUNS)
    for family in (*common, families.FAILURES, families.RUN_DURATION, families.DEPENDENCY):
        assert f"`{family.name}" in page


def test_every_metric_of_the_exporter_itself_is_on_the_page(write: Callable[[str], Path]) -> None:
    page = (DOCS / "exporter" / "metrics.md").read_text()
    path = write("modules: {m: {kind: http}}")
    metrics = Own(Exporter(path, config.load(path))).collect()
    names = {f"{metric.name}_total" if metric.type == "counter" else metric.name for metric in metrics}
    assert {name for name in names if f"`{name}" not in page} == set()


def test_the_layers_that_are_there_anyway_are_on_the_page() -> None:
    page = (DOCS / "exporter" / "config.md").read_text()
    for name, layer in LAYERS.items():
        times = "|".join(
            f" {value} " for value in (name, _short(layer.interval.seconds), _short(layer.timeout.seconds))
        )
        assert f"|{times}|" in page


def test_the_levels_and_suites_that_are_there_anyway_are_on_the_page(write: Callable[[str], Path]) -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", (DOCS / "check.md").read_text(), re.DOTALL)
    settings = config.load(write(example))
    assert settings.levels == LEVELS
    assert SMOKE.items() <= settings.smoke.items()


def _short(seconds: int) -> str:
    return f"{seconds // 60}m" if seconds >= 120 else f"{seconds}s"
