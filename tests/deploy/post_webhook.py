"""Posts an alert to a receiver that has just been started, and sees that it has become an incident.

python -m tests.deploy.post_webhook http://127.0.0.1:9872
"""

from __future__ import annotations

import json
import sys
import time
import urllib.error
import urllib.request
from typing import Any

PAYLOAD: dict[str, Any] = {
    "version": "4",
    "groupKey": "deploy",
    "status": "firing",
    "receiver": "deploywatch",
    "alerts": [
        {
            "status": "firing",
            "labels": {"alertname": "HighErrors", "service": "shop", "environment": "production", "severity": "high"},
            "annotations": {"summary": "5 % of requests fail"},
            "startsAt": "2026-01-02T03:04:05Z",
            "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "",
            "fingerprint": "0123456789abcdef",
        }
    ],
}
PATIENCE = 120.0


def post(url: str) -> Any:
    """The incidents of the receiver after the alert; raises what went wrong."""
    until_ready(f"{url}/-/ready")
    headers = {"Content-Type": "application/json"}
    body = json.dumps(PAYLOAD).encode()
    asked = urllib.request.Request(f"{url}/webhook/alertmanager", body, headers)  # noqa: S310 - the caller's own
    with urllib.request.urlopen(asked, timeout=60) as answer:  # noqa: S310
        if answer.status != 200:
            raise RuntimeError(f"the webhook was answered with {answer.status}")
    with urllib.request.urlopen(f"{url}/api/v1/incidents", timeout=60) as answer:  # noqa: S310
        return json.load(answer)


def until_ready(url: str) -> None:
    until = time.monotonic() + PATIENCE
    while True:
        try:
            with urllib.request.urlopen(url, timeout=10):  # noqa: S310
                return
        except (OSError, urllib.error.URLError):
            if time.monotonic() > until:
                raise
            time.sleep(0.2)


if __name__ == "__main__":
    incidents = post(sys.argv[1])
    services = [incident["service"] for incident in incidents]
    sys.exit(None if services == ["shop"] else f"the receiver has {incidents}")
