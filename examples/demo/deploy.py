"""The shop's deploy program: puts a version in place, and says by its exit code whether that version now answers.

    python deploy.py 1.2.2 --state FOLDER --shop-port 8080
    python deploy.py 1.2.4 --share 10% --state FOLDER --shop-port 8080

With a share it becomes a canary beside the version that runs. Going back is deploying the version before, which ends a
canary too. Each deployment is noted in `deployments.jsonl` in the state folder.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import socket
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


class DeployError(Exception):
    """The version does not answer; the message says why."""


def ask(front: Path, version: str, share: float, within: float) -> None:
    """Ask the front for a version with a share of the requests, and wait until it is in place."""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(within)
            connection.connect(str(front))
            connection.sendall(json.dumps({"deploy": version, "share": share}).encode() + b"\n")
            with connection.makefile("rb") as lines:
                line = lines.readline()
    except OSError as error:
        raise DeployError(f"the front at {front} does not answer: {error}; is front.py running?") from error
    if not line:
        raise DeployError("the front stopped before the version was in place")
    answer: dict[str, Any] = json.loads(line)
    if not answer["ok"]:
        raise DeployError(answer["error"])


def confirm(port: int, version: str, within: float) -> None:
    """See for ourselves that the shop's /health says the version."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=within)
    try:
        connection.request("GET", "/health")
        running = str(json.loads(connection.getresponse().read())["version"])
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise DeployError(f"the shop on port {port} does not answer /health: {reason}") from error
    finally:
        connection.close()
    if running != version:
        raise DeployError(f"the shop on port {port} answers as {running}")


def note(file: Path, options: argparse.Namespace, status: str, begun: float) -> None:
    """Add the deployment to the record."""
    record = {
        "timestamp": datetime.fromtimestamp(begun, UTC).isoformat(timespec="milliseconds"),
        "service": options.service,
        "version": options.version,
        "environment": options.environment,
        "share": options.share,
        "ports": [options.shop_port],
        "deployer": options.deployer,
        "status": status,
        "duration_seconds": round(time.time() - begun, 3),
    }
    with file.open("a") as lines:
        lines.write(json.dumps(record) + "\n")


def share_of(text: str) -> float:
    """A share such as `10%`, from 0 to 1."""
    try:
        share = float(text.removesuffix("%")) / 100
    except ValueError:
        share = 0.0
    if not text.endswith("%") or not 0 < share <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no share; write one such as 10%")
    return share


def main() -> int:
    """Deploy; 0 when the shop answers as the version, 1 when not."""
    parser = argparse.ArgumentParser(description="Deploy a version of the sample shop.")
    parser.add_argument("version")
    parser.add_argument("--share", type=share_of, default=1.0, help="of the requests, such as 10%%; all when not given")
    parser.add_argument("--state", type=Path, required=True, help="the state folder of front.py")
    parser.add_argument("--shop-port", type=int, required=True, help="the port that the shop is reached by")
    parser.add_argument("--service", default="shop")
    parser.add_argument("--environment", default="demo")
    parser.add_argument("--deployer", default=os.environ.get("USER", "unknown"))
    parser.add_argument("--timeout", type=float, default=60.0, help="seconds to wait for the front")
    options = parser.parse_args()
    begun = time.time()
    try:
        ask(options.state / "front.sock", options.version, options.share, options.timeout)
        if options.share == 1:
            confirm(options.shop_port, options.version, options.timeout)
    except DeployError as error:
        print(f"{options.version} is not deployed: {error}", file=sys.stderr)
        status = "failed"
    else:
        print(
            f"{options.version} is deployed" + (f", {options.share:.0%} of the requests" if options.share < 1 else "")
        )
        status = "success"
    if options.state.is_dir():
        note(options.state / "deployments.jsonl", options, status, begun)
    return 0 if status == "success" else 1


if __name__ == "__main__":
    sys.exit(main())
