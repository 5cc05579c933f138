"""The page on writing a policy is followed, step by step, and what it shows is what comes."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from deploywatch.cli import main
from deploywatch.rules.conditions import FUNCTIONS
from deploywatch.rules.language.judgement import Health
from deploywatch.rules.policy import ACTIONS, Alert, OfficeHours, Policy, Tighter
from tests.rules.tools import GOOD, policy_from, run

PAGE = (Path(__file__).parents[2] / "docs" / "rules" / "policy.md").read_text()
POLICY = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)[0]
SESSIONS = re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)


def test_the_page_can_be_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("checkout.yml").write_text(POLICY)
    Path("old.yml").write_text(POLICY.replace("error_ratio > 1%", "error_ratio > 2%"))
    Path("mistaken.yml").write_text(POLICY.replace("latency_p95 > 500ms", "latency_p95 > 500"))
    followed = 0
    for session in SESSIONS:
        for command, shown in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", session, re.MULTILINE):
            program, *arguments = shlex.split(command)
            followed += 1
            if program != "deploywatch":
                done = run(program, *arguments)
                assert done.returncode == 0, done.stdout + done.stderr
                continue
            with pytest.raises(SystemExit) as ended:
                main(arguments)
            out, err = capsys.readouterr()
            assert out + err == shown
            assert ended.value.code == (2 if "mistaken" in command else 0)
    assert followed == 7


@pytest.mark.parametrize("model", [Policy, Alert], ids=lambda model: model.__name__)
def test_the_page_explains_every_key(model: type[Policy] | type[Alert]) -> None:
    for name, field in model.model_fields.items():
        assert f"`{field.alias or name}`" in PAGE


def test_the_page_names_every_action() -> None:
    for action in ACTIONS:
        assert f"`{action}`" in PAGE


CONDITIONS = (Path(__file__).parents[2] / "docs" / "rules" / "conditions.md").read_text()


def test_the_page_on_conditions_shows_every_function_in_a_limit_that_holds_together(tmp_path: Path) -> None:
    rows = re.findall(r"^\| (`.+?`) \|", CONDITIONS, re.MULTILINE)
    limits = [limit for row in rows for limit in re.findall(r"`([a-z_]+\(.+?)`", row)]
    assert {limit.partition("(")[0] for limit in limits} == (set(FUNCTIONS) - {"present", "remains"}) | {
        "missing",
        "gone",
    }
    roles = "control: {label: deployment, new: canary, old: stable}"
    text = GOOD.replace("metric: http_requests_total", f"metric: http_requests_total, {roles}")
    assert policy_from(text.replace("error_ratio > 1%", f'"{" or ".join(limits)}"'), tmp_path).alerts


def test_the_sections_that_the_page_shows_are_a_policy(tmp_path: Path) -> None:
    examples = re.findall(r"```yaml\n(.*?)```", CONDITIONS, re.DOTALL)
    sections = [example for example in examples if example.startswith(("signals:", "health:"))]
    assert {section.partition(":")[0] for section in sections} == {"signals", "health"}
    for section in sections:
        assert policy_from(GOOD + section, tmp_path).alerts


def test_the_page_explains_every_key_of_health() -> None:
    for model in (Health, OfficeHours, Tighter):
        for name in model.model_fields:
            assert name in CONDITIONS
