"""Schemathesis asks a real receiver everything that its OpenAPI document lets it ask, and much that it does not."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fuzz.targets import TOP
from tests.receiver.process import RealReceiver
from tests.receiver.scene import alert, body
from tests.support.forked import ForkedProcesses

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[RealReceiver]:
    """A receiver with an incident and a deployment."""
    with ForkedProcesses(tmp_path / "logs") as processes:
        running = RealReceiver(processes, tmp_path)
        running.configure(database="sqlite:///store.db")
        running.start()
        assert running.post("/webhook/alertmanager", body(alert()))[0] == 200
        running.deploy("1", "2")
        yield running


def test_the_receiver_answers_as_its_document_says_and_never_breaks(receiver: RealReceiver) -> None:
    command = [str(Path(sys.executable).parent / "schemathesis"), "run", str(TOP / "docs" / "openapi.json")]
    limits = ["--max-examples", "8", "--seed", "7", "--workers", "1", "--phases", "examples,coverage,fuzzing"]
    told = ["--url", receiver.url, "--checks", CHECKS, "--request-timeout", "120", "--no-color"]
    done = subprocess.run(
        [*command, *told, *limits], cwd=receiver.folder, capture_output=True, text=True, timeout=800, check=False
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert "Tested: 0" not in done.stdout
    assert receiver.child is not None
    log = receiver.child.log.read_text()
    assert "Traceback" not in log
    assert receiver.get("/-/ready")[0] == 200
