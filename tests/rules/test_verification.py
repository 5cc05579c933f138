"""Verification plans: what the receiver judges by is what the policy says, figure by figure."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from deploywatch.errors import ConfigError
from deploywatch.rules.outputs.verification_plan import plan as planned
from deploywatch.rules.resolve import resolve
from deploywatch.verdict import plan as verification_plan
from deploywatch.verdict.plan import Plan
from tests.rules.tools import SHIPPED, good, shipped

NAMES = [path.stem for path in SHIPPED]
GENERATED = Path(__file__).parents[2] / "rules" / "generated"
VALIDATOR = Draft202012Validator(verification_plan.schema())


def plan_of(name: str) -> Plan:
    """The committed plan of a shipped policy."""
    return verification_plan.load(GENERATED / name / "plans" / f"{name}.json")


def test_the_committed_schema_is_what_is_built() -> None:
    assert verification_plan.SCHEMA_FILE.read_text() == verification_plan.schema_text(), (
        "run: python -m deploywatch.verdict.plan"
    )


def test_it_is_a_schema() -> None:
    Draft202012Validator.check_schema(verification_plan.schema())


@pytest.mark.parametrize("name", NAMES)
def test_every_shipped_policy_has_a_plan_that_fits_the_schema_and_is_read_back(name: str) -> None:
    VALIDATOR.validate(json.loads((GENERATED / name / "plans" / f"{name}.json").read_text()))
    assert plan_of(name) == planned(resolve(shipped(name)))


def test_the_runbooks_stages_have_its_figures() -> None:
    plan = plan_of("insurance-lead-gen")
    minutes = [
        (stage.stage, stage.strategy, stage.share, stage.lasts / 60, stage.at_most / 60) for stage in plan.stages
    ]
    assert minutes == [
        ("canary-10", "", 0.1, 15, 45),
        ("canary-50", "", 0.5, 15, 45),
        ("canary-100", "", 1, 30, 90),
        ("switched", "blue-green", 1, 5, 15),
        ("verification", "staging", 1, 15, 45),
    ]
    limits = {stage.stage: stage.limits for stage in plan.stages}
    assert limits["canary-10"] == ("error_ratio > 0.5%", "latency_p95 > 1s", "rise(error_ratio) > 25%")
    assert limits["canary-50"] == ("error_ratio > 0.4%", "latency_p95 > 800ms", "rise(error_ratio) > 25%")
    assert limits["canary-100"] == ("error_ratio > 0.5%", "latency_p95 > 1s")
    assert limits["verification"] == ("error_ratio > 1%", "latency_p95 > 2s")
    known = {limit.name: (limit.limit, limit.relative) for limit in plan.limits}
    assert known["error_ratio > 0.5%"] == (0.005, False)
    assert known["latency_p95 > 1s"] == (0.05, False)
    assert known["rise(error_ratio) > 25%"] == (1.25, True)


def test_the_runbooks_gate_asks_for_its_checklists() -> None:
    asked = [(one.require, one.of, one.environments) for one in plan_of("insurance-lead-gen").gate]
    assert ("approval", ("tech-lead",), ("staging",)) in asked
    assert ("approval", ("tech-lead", "product-manager", "operations", "security"), ("production",)) in asked
    assert {"health", "capacity", "backup", "on_call", "rollback_target", "baseline"} <= {one for one, _, _ in asked}


def test_a_stage_of_a_deployment_knows_its_roles_and_whom_it_is_about() -> None:
    plan = plan_of("enterprise")
    stage = plan.stage("gradual")
    assert stage is not None
    values = {"service": 'a"b', "environment": "production", "version": "1.2.4", "previous_version": "1.2.3"}
    of_stage = plan.for_stage(stage, values)
    limit = of_stage.limits[0]
    assert limit.old is not None
    assert 'service="a\\"b"' in limit.new.requests
    assert 'version="1.2.4"' in limit.new.requests
    assert 'version!="1.2.4"' in limit.old.requests
    assert "$" not in of_stage.model_dump_json()
    assert of_stage.control


def test_with_all_of_the_traffic_the_whole_service_is_judged_and_nothing_is_compared() -> None:
    plan = plan_of("enterprise")
    stage = plan.stage("full")
    assert stage is not None
    of_stage = plan.for_stage(stage, {"service": "order-service", "environment": "production", "version": "1.2.4"})
    assert not of_stage.control
    assert all("version" not in limit.new.requests and limit.old is None for limit in of_stage.limits)
    assert not any(limit.relative for limit in of_stage.limits)


def test_a_plan_covers_what_its_policy_selects() -> None:
    plan = plan_of("wix-platform")
    assert plan.covers("wix-api", "production")
    assert not plan.covers("wix-api", "staging")
    assert not plan.covers("api", "production")
    assert verification_plan.covering([plan, plan_of("demo")], "shop", "demo") == [plan_of("demo")]


def test_a_policy_without_a_verdict_has_no_plan(tmp_path: Path) -> None:
    assert planned(resolve(good(tmp_path, when="error_ratio > 1%"))) is None


def test_a_broken_plan_says_where(tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    text = (GENERATED / "demo" / "plans" / "demo.json").read_text()
    file.write_text(text.replace('"control": true', '"control": 7'))
    with pytest.raises(ConfigError, match=r"plan\.json:9:\d+: control"):
        verification_plan.load(file)
