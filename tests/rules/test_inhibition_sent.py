"""A real Alertmanager mutes what the model of `test_inhibition.py` says, and sends the rest."""

from __future__ import annotations

import http.server
import json
import shutil
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import combinations
from pathlib import Path

from ruamel.yaml import YAML

from deploywatch.demo.free_ports import free_port
from deploywatch.rules.outputs import routing
from deploywatch.rules.policy import Policy
from tests.rules.test_inhibition import NAMES, own_labels, sent
from tests.rules.tools import shipped
from tests.support.processes import fetch, poll

Labels = dict[str, str]

# Low ones of a policy wait for office hours; here each hour is one, and nobody waits for more of a group to come.
_SOON = {
    "token_file": None,
    "office_hours": None,
    "group_wait": timedelta(seconds=1),
    "group_interval": timedelta(seconds=1),
}


def _kind(labels: Labels) -> tuple[str, bool, bool]:
    """All that the matchers of a policy's inhibitions can tell of its alerts."""
    return labels["severity"], labels["incident_type"] == "dependency_failure", labels["action"] == "rollback"


def _sets(every: list[Labels]) -> list[tuple[Labels, ...]]:
    """A set of up to three alerts for each way in which their kinds can meet."""
    found: dict[tuple[tuple[str, bool, bool], ...], tuple[Labels, ...]] = {}
    for count in (1, 2, 3):
        for together in combinations(every, count):
            found.setdefault(tuple(sorted(map(_kind, together))), together)
    return list(found.values())


def _play(policy: Policy) -> tuple[list[Labels], set[tuple[str, str]]]:
    """Alerts to send, each set about a service of its own; and which of which service somebody must be told."""
    firing, told = [], set()
    for number, together in enumerate(_sets(own_labels(policy))):
        service = f"{policy.policy}-{number}"
        firing += [labels | {"service": service, "environment": "production"} for labels in together]
        told |= {(service, labels["alertname"]) for labels in sent(policy, list(together))}
    return firing, told


@contextmanager
def _webhook() -> Iterator[tuple[str, set[tuple[str, str]]]]:
    """A receiver of webhooks, and the services and names of the alerts that it was sent."""
    names: set[tuple[str, str]] = set()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            names.update((alert["labels"]["service"], alert["labels"]["alertname"]) for alert in body["alerts"])
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
    port = free_port()
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
            poll(lambda: fetch(f"{url}/api/v2/status"), within=120, what="Alertmanager answers")
            yield url
        finally:
            process.terminate()


def _post(url: str, alerts: list[Labels]) -> None:
    body = json.dumps([{"labels": labels} for labels in alerts]).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})  # noqa: S310 - our Alertmanager
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - our Alertmanager
        assert answer.status == 200


def _unmuted(url: str, *, of: int) -> set[tuple[str, str]] | None:
    """The alerts that are not inhibited, once there are as many as were sent."""
    every = fetch(url)
    if len(every) < of:
        return None
    return {(one["labels"]["service"], one["labels"]["alertname"]) for one in every if not one["status"]["inhibitedBy"]}


def test_of_alerts_that_fire_together_alertmanager_sends_those_of_the_model_and_the_worst_among_them(
    tmp_path: Path,
) -> None:
    with _webhook() as (url, told):
        policies = []
        for policy in map(shipped, NAMES):
            assert policy.receiver is not None
            changed = policy.receiver.model_copy(update={"url": url, **_SOON})
            policies.append(policy.model_copy(update={"receiver": changed}))
        plays = [_play(policy) for policy in policies]
        firing, wanted = [alert for alerts, _ in plays for alert in alerts], set().union(*(heard for _, heard in plays))
        YAML(typ="safe").dump(routing.config(policies), tmp_path / "alertmanager.yml")
        with _alertmanager(tmp_path / "alertmanager.yml", tmp_path) as alertmanager:
            _post(f"{alertmanager}/api/v2/alerts", firing)
            alerts = f"{alertmanager}/api/v2/alerts"
            poll(
                lambda: True if _unmuted(alerts, of=len(firing)) == wanted else None,
                within=120,
                what=f"of {len(firing)} alerts exactly {len(wanted)} are not inhibited",
            )
            poll(lambda: True if wanted <= told else None, within=120, what="those are sent")
