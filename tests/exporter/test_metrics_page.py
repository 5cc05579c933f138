"""The pages' PromQL gives what they say, in Prometheus's own evaluation; two exporters of one part are one to it."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from deploywatch.exporter import config
from deploywatch.exporter.exporter import Exporter
from deploywatch.exporter.targets import Shard
from tests.exporter.support import Web, eventually

DOCS = Path(__file__).parents[2] / "docs" / "exporter"
BLOCKS = re.findall(r"(?:^    .+\n)+", (DOCS / "metrics.md").read_text(), re.MULTILINE)
SLO, VICTIM = (next(block for block in BLOCKS if word in block) for word in ("[28d]", "group_left"))


def series(name: str, values: str, **labels: str) -> dict[str, str]:
    inside = ", ".join(f'{key}="{value}"' for key, value in labels.items())
    return {"series": f"{name}{{{inside}}}", "values": values}


def evaluated(folder: Path, given: list[dict[str, str]], tests: dict[str, dict[str, float]], at: str) -> None:
    """Promtool evaluates each expression and finds these values by their series."""
    wanted = [
        {
            "expr": expression,
            "eval_time": at,
            "exp_samples": [{"labels": labels, "value": value} for labels, value in values.items()],
        }
        for expression, values in tests.items()
    ]
    document: dict[str, Any] = {
        "evaluation_interval": "1m",
        "tests": [{"interval": "1m", "input_series": given, "promql_expr_test": wanted}],
    }
    path = folder / "test.yml"
    path.write_text(json.dumps(document))
    done = subprocess.run(["promtool", "test", "rules", path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_expressions_on_the_page_give_what_it_says(tmp_path: Path) -> None:
    shop, billing = ({"service": name, "environment": "production", "probe": "health"} for name in ("shop", "billing"))
    bucket = "probe_run_duration_seconds_bucket"
    given = [
        # Ten runs a minute, of which nine succeed within 200 ms.
        series("probe_runs_total", "0+10x60", **shop),
        series(bucket, "0+9x60", **shop, le="0.2"),
        series(bucket, "0+10x60", **shop, le="+Inf"),
        series("probe_success", "0x60", **shop),
        series("probe_success", "0x60", **billing),
        series("service_dependency", "1x60", service="shop", environment="production", depends_on="billing"),
        series("deploywatch_exporter_overdue_seconds", "0+2x60"),
        # Of two exporters of one part one cannot reach the target: the other's word counts.
        series("probe_success", "0x60", service="web", environment="production", probe="a", instance="1"),
        series("probe_success", "1x60", service="web", environment="production", probe="a", instance="2"),
    ]
    judged = re.findall(
        r"`(max by \(service, environment, probe\))`", (DOCS / "config.md").read_text().replace("\n", " ")
    )
    tests: dict[str, dict[str, float]] = {
        SLO: {'{service="shop"}': 0.9},
        VICTIM: {'{service="shop", environment="production"}': 0},
        "deploywatch_exporter_overdue_seconds > 60": {"deploywatch_exporter_overdue_seconds": 120},
        f'{judged[0]} (probe_success{{service="web"}})': {'{service="web", environment="production", probe="a"}': 1},
    }
    evaluated(tmp_path, given, tests, "60m")


async def test_two_exporters_of_one_part_probe_the_same_beside_each_other(
    web: Web, write: Callable[[str], Path], tmp_path: Path
) -> None:
    groups = [{"targets": [web.say(f"/{number}") for number in range(20)]}]
    (tmp_path / "more.json").write_text(json.dumps(groups))
    probes = {f"p{number}": {"kind": "http", "url": web.say(f"/p{number}")} for number in range(10)}
    layers = {"immediate": {"interval": "1s", "timeout": "1s"}}
    discover = [{"files": ["more.json"], "module": "m", "service": "web"}]
    document = {
        "layers": layers,
        "services": {"shop": {"probes": probes}},
        "modules": {"m": {"kind": "http"}},
        "discover": discover,
    }
    path = write(json.dumps(document))
    fleet = [Exporter(path, config.load(path), shard=shard) for shard in (Shard(1, 2), Shard(2, 2), Shard(2, 2))]
    for exporter in fleet:
        exporter.start()
    try:
        await eventually(lambda: all(exporter.not_ready() is None for exporter in fleet))
        first, second, beside = (
            {key: record.last and record.last.success for key, record in exporter.board.records.items()}
            for exporter in fleet
        )
    finally:
        for exporter in fleet:
            await exporter.stop()
    assert second == beside
    assert not first.keys() & second.keys()
    assert len(first) + len(second) == 30
    assert set(first.values()) | set(second.values()) == {True}
