"""Does what docs/upgrade.md says, from one version to another and back, with a receiver that has data.

python -m tests.deploy.upgrade OLD NEW POLICY     two virtual environments with a version each; a policy of the old one
"""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.deploy import post_webhook

PAGE = Path(__file__).parents[2] / "docs" / "upgrade.md"
PATIENCE = 120


class Version:
    """One installed version."""

    def __init__(self, environment: str, folder: Path, port: int) -> None:
        self._program = str(Path(environment).absolute() / "bin" / "deploywatch")
        self._folder = folder
        self._receiver = ["receiver", "--config.file=receiver.yml", f"--web.listen-address=127.0.0.1:{port}"]
        self.url = f"http://127.0.0.1:{port}"

    def run(self, *arguments: str, code: int = 0) -> str:
        """What a command says; it has to end with this code."""
        done = subprocess.run(
            [self._program, *arguments], cwd=self._folder, capture_output=True, text=True, check=False
        )
        said = done.stdout + done.stderr
        assert done.returncode == code, f"{' '.join(arguments)}: code {done.returncode}: {said}"
        return said

    @contextlib.contextmanager
    def serving(self) -> Iterator[None]:
        """The receiver, until SIGTERM."""
        with (
            open(self._folder / "receiver.log", "a", encoding="utf-8") as log,  # noqa: PTH123 - appended to
            subprocess.Popen([self._program, *self._receiver], cwd=self._folder, stdout=log, stderr=log) as process,
        ):
            try:
                post_webhook.until_ready(f"{self.url}/-/ready")
                yield
            finally:
                process.terminate()
                assert process.wait(PATIENCE) == 0

    def refuses_to_start(self) -> str:
        """What it says instead of serving; empty where it serves."""
        process = subprocess.Popen(
            [self._program, *self._receiver],
            cwd=self._folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        until = time.monotonic() + PATIENCE
        while process.poll() is None and time.monotonic() < until:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.url}/-/ready", timeout=5):  # noqa: S310
                process.terminate()
                process.wait(PATIENCE)
                return ""
            time.sleep(0.2)
        said, _ = process.communicate(timeout=PATIENCE)
        return said

    def alert(self, service: str, *, firing: bool = True) -> None:
        """A webhook, as Alertmanager sends it."""
        alert: dict[str, Any] = {**post_webhook.PAYLOAD["alerts"][0], "fingerprint": f"{service:0<16}"}
        alert |= {"labels": {**alert["labels"], "service": service}, "status": "firing" if firing else "resolved"}
        alert |= {"startsAt": START, "endsAt": "0001-01-01T00:00:00Z" if firing else datetime.now(UTC).isoformat()}
        body = json.dumps({**post_webhook.PAYLOAD, "alerts": [alert]}).encode()
        sent = urllib.request.Request(f"{self.url}/webhook/alertmanager", body, {"Content-Type": "application/json"})  # noqa: S310
        with urllib.request.urlopen(sent, timeout=60) as answer:  # noqa: S310
            assert answer.status == 200

    def incidents(self) -> dict[str, str]:
        """How each service's incident stands."""
        with urllib.request.urlopen(f"{self.url}/api/v1/incidents", timeout=60) as answer:  # noqa: S310
            return {row["service"]: row["status"] for row in json.load(answer)}

    def becomes(self, service: str, status: str) -> None:
        """Wait until the service's incident stands so."""
        until = time.monotonic() + PATIENCE
        while self.incidents().get(service) != status:
            assert time.monotonic() < until, self.incidents()
            time.sleep(0.2)


START = datetime.now(UTC).isoformat()


def say(text: str) -> None:
    """Tell whoever runs the script."""
    sys.stdout.write(f"upgrade: {text}\n")
    sys.stdout.flush()


def upgrade_and_back(before: Version, after: Version, folder: Path) -> None:
    """The page's five steps, and its way back."""
    with before.serving():
        before.alert("shop")
        before.run(
            "deployments", "--url", before.url, "start", "--service=shop", "--environment=production", "--version=1"
        )
        # 1. Check the files, 2. back up the store, while the old version runs.
        after.run("receiver", "--config.file=receiver.yml", "--config.check")
        after.run("exporter", "--config.file=exporter.yml", "--config.check")
        after.run("rules", "check", "policy.yml")
        before.run("store", "backup", "--config.file=receiver.yml", "before.db")
        # 4. The rules of both, to be compared.
        before.run("rules", "build", "policy.yml", "--out", "rules-before")
        after.run("rules", "build", "policy.yml", "--out", "rules-after")
        before.alert("late")
    # 3. and 5. The receiver is replaced; it migrates its store.
    with after.serving():
        assert after.incidents() == {"shop": "open", "late": "open"}, after.incidents()
        after.alert("shop", firing=False)
        after.becomes("shop", "resolved")
        assert "shop" in after.run("deployments", "--url", after.url, "list")
        after.alert("new")
    # And back.
    if said := before.refuses_to_start():
        assert "a newer deploywatch has migrated it; run that one, or restore a backup" in " ".join(said.split()), said
        before.run("store", "restore", "--config.file=receiver.yml", "before.db")
        say("the schema differs: the old version refused it, and began with the copy")
        with before.serving():
            assert before.incidents() == {"shop": "open"}, before.incidents()
            for service in ("late", "new"):  # Alertmanager sends again what fires
                before.alert(service)
            assert before.incidents() == {"shop": "open", "late": "open", "new": "open"}, before.incidents()
    else:
        say("the schema is the same: the old version went on with the store as it was")


def main(old: str, new: str, policy: str) -> None:
    """In a folder of its own."""
    for command in ("--config.check", "rules check", "store backup", "store restore", "rules build"):
        assert re.search(rf"`[^`]*{re.escape(command)}[^`]*`", PAGE.read_text()), (
            f"{PAGE.name} no longer says {command}"
        )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "receiver.yml").write_text("quiet_time: 1s\n")
        probe = '{services: {shop: {probes: {api: {kind: tcp, address: "127.0.0.1:1"}}}}}\n'
        (folder / "exporter.yml").write_text(probe)
        (folder / "policy.yml").write_text(Path(policy).read_text())
        from deploywatch.demo.free_ports import free_port  # noqa: PLC0415 - of this checkout, and no version that is tried

        port = free_port()
        before, after = Version(old, folder, port), Version(new, folder, port)
        upgrade_and_back(before, after, folder)
        changed = subprocess.run(
            ["diff", "-rq", "rules-before", "rules-after"], cwd=folder, capture_output=True, text=True, check=False
        )
        say(f"{len(changed.stdout.splitlines())} files of the rules differ between the versions")


if __name__ == "__main__":
    main(*sys.argv[1:4])
