"""Programs that actions need are looked for when the config is checked, and said to be missing."""

from __future__ import annotations

from pathlib import Path

from deploywatch.receiver.actions.programs import missing
from tests.receiver.scene import settings
from tests.support import forked

VERIFY = {"url": "http://exporter/health"}
CONFIG = {
    "rollback": {
        "targets": [
            {"kubectl": {"deployment": "shop", "container": "shop", "image": "shop"}, "verify": VERIFY},
            {"github": {"repository": "a/b", "workflow": "x.yml", "token": "t"}, "verify": VERIFY},
        ]
    },
    "scale": {"targets": [{"replicas": 3, "azure": {"resource_group": "g", "app_service_plan": "p"}}]},
    "run": [{"name": "flush", "command": ["redis-cli", "{service}"]}],
    "investigate": {"logs": [{"name": "log", "command": ["journalctl"]}]},
}


def test_each_missing_program_is_named_with_its_place() -> None:
    assert [one.partition(";")[0] for one in missing(settings(**CONFIG), lambda _: None)] == [
        "rollback.targets[0]: there is no program kubectl on this machine",
        "scale.targets[0]: there is no program az on this machine",
        "run[0]: there is no program redis-cli on this machine",
        "investigate.logs[0]: there is no program journalctl on this machine",
    ]


def test_programs_that_are_there_are_not_mentioned() -> None:
    assert missing(settings(**CONFIG), lambda program: f"/bin/{program}") == []


def test_the_check_says_what_is_missing_and_ends_with_1(tmp_path: Path) -> None:
    file = tmp_path / "receiver.yml"
    file.write_text("run: [{name: x, command: [no-such-program]}]\n")
    ended = forked.run("receiver", "--config.file", file, "--config.check")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith(f"{file}: run[0]: there is no program no-such-program on this machine")
