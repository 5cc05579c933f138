"""Runs inside the booted container, after the units: a webhook at once, a reload, a kill, and what is left after it.

It needs nothing but Python's own library.
"""

import json
import re
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Any

URL = "http://127.0.0.1:9872"
UNIT = "deploywatch-receiver.service"
ALERT = {
    "status": "firing",
    "labels": {"alertname": "HighErrors", "service": "shop", "environment": "production", "severity": "high"},
    "annotations": {"summary": "5 % of requests fail"},
    "startsAt": "2026-01-02T03:04:05Z",
    "endsAt": "0001-01-01T00:00:00Z",
    "generatorURL": "",
    "fingerprint": "0123456789abcdef",
}


def ask(path: str, token: str, body: object = None, *, url: str = URL) -> str:
    secret = Path(f"/etc/deploywatch/{token}-token").read_text().strip()
    headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(f"{url}{path}", data, headers), timeout=60) as answer:  # noqa: S310
        text: str = answer.read().decode()
        return text


def show(name: str, unit: str = UNIT) -> str:
    command = ["systemctl", "show", "--value", "--property", name, unit]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def incidents() -> list[Any]:
    found: list[Any] = json.loads(ask("/api/v1/incidents", "prometheus"))
    return found


def probed() -> bool:
    text = ask("/metrics", "prometheus", url="http://127.0.0.1:9871")
    return re.search(r'^probe_success\{.*service="deploywatch".*\} 1(\.0)?$', text, re.MULTILINE) is not None


def until(true: Any, what: str) -> None:
    end = time.monotonic() + 120
    while not true():
        if time.monotonic() > end:
            raise SystemExit(f"{what}: not within 120 s")
        time.sleep(0.2)


def main() -> None:
    # No waiting: this unit is ordered after the receiver's, which is started when it listens.
    body = {"version": "4", "groupKey": "g", "status": "firing", "receiver": "r", "alerts": [ALERT]}
    ask("/webhook/alertmanager", "alertmanager", body)
    print(f"started means listening: {show('StatusText')}")  # noqa: T201
    metrics = ask("/metrics", "prometheus", url="http://127.0.0.1:9871")
    if "process_resident_memory_bytes" not in metrics:
        raise SystemExit("the exporter has no process_ metrics")
    until(probed, "the probe of the page")
    subprocess.run(["systemctl", "reload", UNIT], check=True)
    until(lambda: show("StatusText") == "the configuration is in force", "the reload")
    first = show("MainPID")
    subprocess.run(["systemctl", "kill", "--signal=KILL", UNIT], check=True)
    until(lambda: show("ActiveState") == "active" and show("MainPID") not in {"0", first}, "the restart")
    if [incident["service"] for incident in incidents()] != ["shop"]:
        raise SystemExit(f"after the kill there is {incidents()}")
    listed = subprocess.run(["sh", "/last.sh"], capture_output=True, text=True, check=True).stdout
    if "shop" not in listed:
        raise SystemExit(f"the page's last command lists no incident: {listed}")
    print(f"killed with {first}, started again as {show('MainPID')}, and the incident is there")  # noqa: T201


main()
