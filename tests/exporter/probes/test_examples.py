"""The example on each kind's page, run by the real command on real servers, gives what the page says."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import aiohttp
import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from deploywatch.demo.processes import Processes
from deploywatch.demo.servers import Running, python_part
from deploywatch.exporter import config
from deploywatch.exporter.measure import families
from deploywatch.exporter.probes import KINDS
from tests.exporter.certs import Certs
from tests.exporter.probes.stages import PAGES, STAGES, House
from tests.exporter.support import eventually

# Those that metrics.md has for all kinds.
COMMON = {
    family.name
    for family in (
        families.SUCCESS,
        families.DURATION,
        families.FAILURE_INFO,
        families.LAST_RUN,
        families.RUNS,
        families.FAILURES,
        families.RUN_DURATION,
    )
}
# Should the machine be too busy for a bound of the example, the next run comes soon.
SOON = """
layers:
  immediate: &soon {interval: 5s, timeout: 5s}
  comprehensive: *soon
  business: *soon
"""


@pytest.fixture
def house(processes: Processes, workshop: Path, certs: Certs, postgres_server: Running, redis_server: Running) -> House:
    """What the stages are built from."""
    return House(processes, workshop, certs, postgres_server, redis_server)


def example(kind: str) -> str:
    """The first example on the page of a kind."""
    text = (PAGES / f"{kind}.md").read_text()
    return text.partition("```yaml\n")[2].partition("```")[0]


def here(text: str, places: Mapping[str, str]) -> str:
    """The text with its hosts and ports replaced by those of this machine, all of them and nothing else."""
    hosts = re.compile(r"[\w.-]+\.example(?::\d+)?\b")
    assert set(hosts.findall(text)) == places.keys()
    return hosts.sub(lambda found: places[found[0]], text)


def named(kind: str) -> set[str]:
    """The metrics that the page of a kind names; what it has of TLS is on the page of that."""
    text = re.sub(r"```.*?```", "", (PAGES / f"{kind}.md").read_text(), flags=re.DOTALL)
    names = set(re.findall(r"`(probe_\w+)", text))
    if re.search(r"those\s+of the\s+\[`tls` probe\]", text):
        names |= {name for name in named("tls") if name.startswith(("probe_ssl_", "probe_tls_"))}
    return names


def given(metrics: Iterable[Metric]) -> set[str]:
    """The names of the metrics that only some kinds have."""
    names = {f"{metric.name}_total" if metric.type == "counter" else metric.name for metric in metrics}
    return {name for name in names if name.startswith("probe_")} - COMMON


def series(metrics: Iterable[Metric]) -> dict[str, float]:
    """The samples by name and those labels that the examples tell apart by."""
    common = {"environment", "kind"}
    found: dict[str, float] = {}
    for sample in (sample for metric in metrics for sample in metric.samples):
        labels = {name: value for name, value in sorted(sample.labels.items()) if name not in common}
        # In an example either the probes or the services have names of their own.
        for without in ("service", "probe"):
            text = ",".join(f"{name}={value}" for name, value in labels.items() if name != without)
            found[f"{sample.name}{{{text}}}"] = sample.value
    return found


def test_each_page_is_a_kind_with_its_stage() -> None:
    assert {page.stem for page in PAGES.glob("*.md")} == set(KINDS) == set(STAGES)


@pytest.mark.parametrize("kind", KINDS)
async def test_the_example_on_a_kinds_page_works(kind: str, house: House, write: Callable[[str], Path]) -> None:
    async with STAGES[kind](house) as stage:
        file = write(here(example(kind), stage.places) + SOON)
        settings = config.load(file, variables=stage.variables)
        port = house.processes.free_port()
        exporter = await asyncio.to_thread(
            python_part,
            house.processes,
            f"exporter-{kind}",
            [
                *(sys.executable, "-m", "deploywatch", "exporter", "--config.file", file),
                *("--web.listen-address", f"127.0.0.1:{port}"),
            ],
            port=port,
            ready="/health/ready",
            # Who signed the servers' certificates is an authority of the system.
            environment={**stage.variables, "SSL_CERT_FILE": house.certs.ca_file},
        )
        scraped: list[Metric] = []

        async def all_succeed() -> bool:
            async with session.get("/metrics") as response:
                scraped[:] = text_string_to_metric_families(await response.text())
            (success,) = (metric for metric in scraped if metric.name == "probe_success")
            return {sample.value for sample in success.samples} == {1}

        async with aiohttp.ClientSession(exporter.url) as session:
            try:
                await eventually(all_succeed, within=60)
            except AssertionError:
                pytest.fail(exporter.child.tail())
        exporter.child.stop()

    probes = [probe for service in settings.services.values() for probe in service.probes.values()]
    assert {probe.kind for probe in probes} == {kind}
    assert given(scraped) == named(kind) - COMMON - stage.untold
    found = series(scraped)
    assert {name: found.get(name) for name in stage.values} == stage.values
    gauges = {family.name for probe in probes for family in probe.families()}
    assert gauges <= {name.partition("{")[0] for name in stage.values}
