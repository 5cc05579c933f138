"""A team that has an Alertmanager of its own wants rules only, and says so by naming no receiver."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploywatch.cli import main
from deploywatch.rules.build import build
from tests.rules.tools import GOOD, policy_from

RULES_ONLY = GOOD.replace('receiver: {url: "http://127.0.0.1:9872/webhook/alertmanager"}\n', "")


def _built(folder: Path, *options: str) -> int:
    (folder / "rules-only.yml").write_text(RULES_ONLY)
    with pytest.raises(SystemExit) as ended:
        main(["rules", "build", str(folder / "rules-only.yml"), "--out", str(folder / "built"), *options])
    return int(str(ended.value.code or 0))


def test_without_a_receiver_there_are_rules_and_no_routes_and_that_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _built(tmp_path) == 0
    assert (tmp_path / "built" / "rules" / "mine.alerts.yml").is_file()
    assert not (tmp_path / "built" / "alertmanager.yml").exists()
    assert "no alertmanager.yml: no policy has a receiver, and there is no --webhook-url" in capsys.readouterr().out


def test_the_command_line_can_name_the_receiver(tmp_path: Path) -> None:
    assert _built(tmp_path, "--webhook-url", "http://here:9872/webhook/alertmanager") == 0
    assert "url: http://here:9872/webhook/alertmanager" in (tmp_path / "built" / "alertmanager.yml").read_text()


def test_a_token_without_an_address_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _built(tmp_path, "--webhook-token-file", "/etc/token") == 2
    assert "url" in capsys.readouterr().err


def test_alerts_of_a_policy_without_a_receiver_go_to_that_of_another(tmp_path: Path) -> None:
    routed = policy_from(GOOD, tmp_path)
    unrouted = policy_from(RULES_ONLY.replace("policy: mine", "policy: other"), tmp_path)
    routes = build([unrouted, routed])["alertmanager.yml"]
    assert routes.count("receiver: deploywatch-mine") == 2
    assert "deploywatch-other" not in routes
