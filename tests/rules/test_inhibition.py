"""Of alerts that fire together the worst is sent: what mutes is never muted, and nothing mutes a critical alert."""

from __future__ import annotations

import http.server
import json
import shutil
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from deploywatch.rules.outputs import alerting, routing
from deploywatch.rules.policy import OfficeHours, Policy
from tests.rules.test_routing import _matches
from tests.rules.tools import SHIPPED, shipped

SEVERITIES = ("critical", "high", "medium", "low")
NAMES = [path.stem for path in SHIPPED]


def _labels(policy: Policy) -> list[dict[str, str]]:
    return [{"alertname": alert.alert} | alerting.own_labels(policy, alert) for alert in policy.alerts]


def _sent(policy: Policy, firing: list[dict[str, str]]) -> list[dict[str, str]]:
    """What Alertmanager sends of alerts of one service: a source mutes even when it is muted itself."""
    rules = routing.config([policy])["inhibit_rules"]

    @cache
    def matches(matchers: tuple[str, ...], position: int) -> bool:
        return _matches(list(matchers), firing[position])

    def muted(position: int) -> bool:
        return any(
            matches(tuple(rule["target_matchers"]), position)
            # Alertmanager does not let an alert that matches both sides be muted by another such alert.
            and any(matches(tuple(rule["source_matchers"]), other) for other in range(len(firing)) if other != position)
            for rule in rules
        )

    return [labels for position, labels in enumerate(firing) if not muted(position)]


def _worst(alerts: list[dict[str, str]]) -> int:
    return min((SEVERITIES.index(labels["severity"]) for labels in alerts), default=len(SEVERITIES))


@pytest.mark.parametrize("name", NAMES)
def test_of_up_to_three_alerts_of_a_policy_that_fire_together_the_worst_is_sent(name: str) -> None:
    policy = shipped(name)
    every = _labels(policy)
    for count in (1, 2, 3):
        for together in combinations(every, count):
            sent = _sent(policy, list(together))
            assert _worst(sent) == _worst(list(together)), [labels["alertname"] for labels in together]
            for labels in together:
                if labels["severity"] == "critical" or labels["action"] == "rollback":
                    assert labels in sent, [other["alertname"] for other in together]


def _with_dependency(severity: str, **receiver: Any) -> Policy:
    """Policy enterprise, whose dependency's alert has another severity."""
    policy = shipped("enterprise")
    alerts = tuple(
        alert.model_copy(update={"severity": severity}) if alert.alert == "DependencyDown" else alert
        for alert in policy.alerts
    )
    assert policy.receiver is not None
    changed = policy.receiver.model_copy(update=receiver)
    return policy.model_copy(update={"alerts": alerts, "receiver": changed})


@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("holds", [(), ("low",), ("medium", "low"), ("medium",)])
def test_what_mutes_is_never_muted_whatever_a_failed_dependency_is_to_the_policy(
    severity: str, holds: tuple[Any, ...]
) -> None:
    policy = _with_dependency(severity, office_hours=OfficeHours(holds=holds))
    rules = routing.config([policy])["inhibit_rules"]
    for labels in _labels(policy):
        source = any(_matches(rule["source_matchers"], labels) for rule in rules)
        target = any(_matches(rule["target_matchers"], labels) for rule in rules)
        assert not (source and target), labels["alertname"]
        assert not (source and labels["severity"] in holds), f"{labels['alertname']} waits for office hours, and mutes"
        assert not (target and labels["severity"] == "critical"), labels["alertname"]


def test_a_failed_dependency_mutes_what_is_no_worse_than_itself() -> None:
    victims = {severity: len(_muted_by_dependency(severity)) for severity in SEVERITIES}
    assert victims["high"] > victims["medium"] > victims["low"]
    assert victims["critical"] == victims["high"], "nothing mutes what is critical"


def _muted_by_dependency(severity: str) -> list[str]:
    policy = _with_dependency(severity)
    every = _labels(policy)
    dependency = next(labels for labels in every if labels["alertname"] == "DependencyDown")
    others = [labels for labels in every if labels is not dependency]
    return [labels["alertname"] for labels in others if labels not in _sent(policy, [dependency, labels])]


@contextmanager
def _webhook() -> Iterator[tuple[str, list[str]]]:
    """A receiver of webhooks, and the names of the alerts that it was sent."""
    names: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            names.extend(alert["labels"]["alertname"] for alert in body["alerts"])
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/", names
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def _alertmanager(config: Path, folder: Path) -> Iterator[str]:
    program = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
    assert program is not None, "Alertmanager is not installed; scripts/test installs it"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    arguments = [
        program,
        f"--config.file={config}",
        f"--storage.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
    ]
    with (folder / "log").open("w") as log, subprocess.Popen(arguments, stdout=log, stderr=log) as process:
        url = f"http://127.0.0.1:{port}"
        try:
            _until(lambda: _answers(f"{url}/-/ready"))
            yield url
        finally:
            process.terminate()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:  # noqa: S310 - our own Alertmanager
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _until(fulfilled: Callable[[], bool], patience: float = 60) -> None:
    deadline = time.monotonic() + patience
    while not fulfilled():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.1)


def test_a_real_alertmanager_sends_a_critical_alert_beside_a_failed_dependency(tmp_path: Path) -> None:
    policy = shipped("enterprise")
    names = {"DependencyDown", "BusinessImpact", "CriticalSignal"}
    same = {"service": "order-service", "environment": "production"}
    firing = [{"labels": labels | same} for labels in _labels(policy) if labels["alertname"] in names]
    with _webhook() as (url, sent):
        changed = {"url": url, "token_file": None}
        assert policy.receiver is not None
        policy = policy.model_copy(update={"receiver": policy.receiver.model_copy(update=changed)})
        YAML(typ="safe").dump(routing.config([policy]), tmp_path / "alertmanager.yml")
        with _alertmanager(tmp_path / "alertmanager.yml", tmp_path) as alertmanager:
            request = urllib.request.Request(  # noqa: S310 - our own Alertmanager
                f"{alertmanager}/api/v2/alerts",
                json.dumps(firing).encode(),
                {"Content-Type": "application/json"},
            )
            with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - our own Alertmanager
                assert answer.status == 200
            _until(lambda: names <= set(sent))
