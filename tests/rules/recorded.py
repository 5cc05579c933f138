"""What a policy's rules record from raw series, as promtool has it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from deploywatch.rules.build import rule_files
from deploywatch.rules.outputs import recording
from deploywatch.rules.policy import Policy
from deploywatch.rules.resolve import resolve
from tests.rules.tools import promtool_test


@dataclass(frozen=True, slots=True)
class Case:
    """Raw series, a sample every 30 s, and what a recorded series must say at a minute; None for no value."""

    series: dict[str, str]
    record: str
    says: dict[int, float | None]


def tried(policy: Policy, case: Case, folder: Path, *, service: str = "shop") -> str:
    """What promtool has to say against the case; nothing when all is as it must be."""
    resolved = resolve(policy)
    files = []
    for built, text in rule_files(resolved):
        (folder / Path(built).name).write_text(text)
        files.append(Path(built).name)
    labels = f'{{environment="production",policy="{policy.policy}",service="{service}"}}'
    expected = [
        {
            "expr": f"round({case.record}, 0.0001)",
            "eval_time": f"{minute}m",
            "exp_samples": [] if value is None else [{"labels": labels, "value": round(value, 4)}],
        }
        for minute, value in case.says.items()
    ]
    test = {
        "interval": "30s",
        "input_series": [{"series": series, "values": values} for series, values in case.series.items()],
        "promql_expr_test": expected,
    }
    order = [*recording.group_names(resolved), f"{policy.policy}.alerts"]
    file = {"rule_files": files, "evaluation_interval": "30s", "group_eval_order": order, "tests": [test]}
    path = folder / "recorded.yml"
    path.write_text(json.dumps(file))
    done = promtool_test([path])
    return "" if done.returncode == 0 else done.stdout + done.stderr
