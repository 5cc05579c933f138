"""Plays a system against the rules of a policy in promtool, and says which alerts fired when."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploywatch.rules.build import rule_files
from deploywatch.rules.outputs import recording
from deploywatch.rules.resolved import ResolvedPolicy
from tests.rules.tools import promtool_test
from tests.support.world.film import Track


@dataclass(frozen=True, slots=True)
class Look:
    """At `at` seconds exactly the alerts `names` are firing, of those that the pattern `of` matches.

    With `ever`, they have fired within so many seconds before.
    """

    at: int
    names: frozenset[str] = frozenset()
    of: str = ".*"
    ever: int = 0

    def test(self, policy: str) -> dict[str, object]:
        """As promtool reads it."""
        firing = f'ALERTS{{alertstate="firing",policy="{policy}",alertname=~"{self.of}"}}'
        if self.ever:
            firing = f"last_over_time({firing}[{self.ever}s])"
        return {
            "expr": f"group by (alertname) ({firing})",
            "eval_time": f"{self.at}s",
            "exp_samples": [{"labels": f'{{alertname="{name}"}}', "value": 1} for name in sorted(self.names)],
        }


@dataclass(frozen=True, slots=True)
class Nothing:
    """At `at` seconds a query has no answer."""

    at: int
    query: str

    def test(self, _: str) -> dict[str, object]:
        """As promtool reads it."""
        return {"expr": self.query, "eval_time": f"{self.at}s", "exp_samples": []}


@dataclass(frozen=True, slots=True)
class Run:
    """One play: its series, how many seconds their samples lie apart, and when one looks."""

    name: str
    tracks: Sequence[Track]
    step: int
    looks: Sequence[Look | Nothing]


def play(policy: ResolvedPolicy, runs: Iterable[Run], *, every: int) -> str:
    """What promtool has to say against the runs; nothing when all is as it must be."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = []
        for built, text in rule_files(policy):
            file = folder / Path(built).name
            # Groups are evaluated at the test's interval.
            file.write_text(re.sub(r"^( +interval: ).*$", rf"\g<1>{every}s", text, flags=re.MULTILINE))
            files.append(file.name)
        test = {
            "rule_files": files,
            "evaluation_interval": f"{every}s",
            "group_eval_order": [*recording.group_names(policy), f"{policy.given.policy}.alerts"],
            "tests": [_test(policy.given.policy, run) for run in runs],
        }
        path = folder / "world.yml"
        path.write_text(json.dumps(test))
        done = promtool_test([path])
        return "" if done.returncode == 0 else done.stdout + done.stderr


def _test(policy: str, run: Run) -> dict[str, object]:
    inputs: dict[str, str] = {}
    for track in run.tracks:
        assert track.series not in inputs, f"the world has {track.series} twice"
        inputs[track.series] = track.text()
    return {
        "name": run.name,
        "interval": f"{run.step}s",
        "input_series": [{"series": series, "values": values} for series, values in inputs.items()],
        "promql_expr_test": [look.test(policy) for look in run.looks],
    }
