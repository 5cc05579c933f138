"""What is built is what Prometheus and Alertmanager accept, passes its own tests, and is what is committed."""

from __future__ import annotations

import json
import re
import subprocess
import time
from pathlib import Path

import promql_parser
import pytest
from ruamel.yaml import YAML

from deploywatch.conventions import AlertAnnotation, AlertLabel
from deploywatch.quantity import format_duration
from deploywatch.rules.build import WRITTEN, build, write
from deploywatch.rules.builtin_policies import GENERATED
from deploywatch.rules.outputs.unit_tests.test_cases import cases as cases_of
from deploywatch.rules.policy import Policy
from deploywatch.rules.resolve import resolve
from deploywatch.rules.series.durations import Durations
from deploywatch.rules.series.requests import Dependencies, Deployments, Targets
from deploywatch.rules.series.resources import Complaints, DiskTimes, Pool, Satisfaction
from tests.rules.tools import GOOD, SHIPPED, good, policy_from, promtool_test, run, shipped
from tests.support.pace import pace

NAMES = [path.stem for path in SHIPPED]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Each shipped policy, built into a folder of its own."""
    folders = {}
    for name in NAMES:
        folders[name] = tmp_path_factory.mktemp(name)
        write(build([shipped(name)]), folders[name])
    return folders


def _succeeds(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", NAMES)
def test_promtool_accepts_the_rules_and_finds_nothing_to_lint(built: dict[str, Path], name: str) -> None:
    rules = sorted((built[name] / "rules").glob("*.yml"))
    _succeeds(run("promtool", "check", "rules", "--lint=all", "--lint-fatal", *rules))


def _of_the_gate(path: Path) -> bool:
    """Whether the gate plays it: each policy's boundaries and counts, and of the rest what is played in little.

    Other files have what policies share: the examples of signals, which test_signals tries too, the rules that look
    back further, and what each build says of itself.
    """
    policy, kind = path.parents[1].name, path.stem.rpartition(".")[2]
    return kind in {"boundaries", "counts"} or policy == "virtual-queue" or path.stem == "wix-platform.signals"


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(
            path, id=f"{path.parents[1].name}/{path.stem}", marks=[] if _of_the_gate(path) else [pytest.mark.heavy]
        )
        for path in sorted(GENERATED.glob("*/tests/*.yml"))
    ],
)
def test_the_built_tests_pass(path: Path) -> None:
    """Those that are committed, which another test holds against what is built."""
    _succeeds(promtool_test([path]))


def test_the_shipped_policies_are_built_in_two_seconds_together() -> None:
    slower = pace()
    began = time.process_time()
    for name in NAMES:
        build([shipped(name)])
    assert time.process_time() - began < 2 * max(slower, pace())


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"demo"}))
def test_a_policy_says_when_what_it_depends_on_is_missing(name: str) -> None:
    """Each kind of series that a threshold is read from, but for those that are not always there."""
    every = [term.signal for alert in resolve(shipped(name)).alerts for term in alert.terms]
    watched = {kind for one in every if one.name.startswith(("present(", "remains(")) for kind in one.needs}
    optional = {Deployments, Dependencies, Complaints, Satisfaction, DiskTimes, Pool, Durations, Targets}
    assert {kind for one in every for kind in one.needs} - watched <= optional


@pytest.mark.parametrize("name", NAMES)
def test_every_number_has_its_source(name: str) -> None:
    policy = shipped(name)
    for alert in policy.alerts:
        assert all(alert.source.values())
        assert set(alert.source) <= set(policy.sources)
    for source in policy.sources.values():
        assert source.document or source.title.startswith("Chosen by deploywatch")


@pytest.mark.parametrize("name", NAMES)
def test_amtool_accepts_the_routes(built: dict[str, Path], name: str) -> None:
    _succeeds(run("amtool", "check-config", built[name] / "alertmanager.yml"))


@pytest.mark.parametrize("name", NAMES)
def test_the_committed_files_are_what_the_policy_builds_to(built: dict[str, Path], name: str) -> None:
    def texts(folder: Path) -> dict[str, str]:
        return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}

    assert texts(GENERATED / name) == texts(built[name]), "build them again: python -m deploywatch.rules"


def test_nothing_is_committed_for_a_policy_that_is_not_there() -> None:
    assert sorted(path.name for path in GENERATED.iterdir()) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_alert_bears_the_contract(built: dict[str, Path], name: str) -> None:
    loaded = YAML(typ="safe").load(built[name] / "rules" / f"{name}.alerts.yml")
    for rule in loaded["groups"][0]["rules"]:
        # The alert that a bucket is missing says which.
        assert set(rule["labels"]) - {"bucket"} == {
            AlertLabel.SEVERITY,
            AlertLabel.INCIDENT_TYPE,
            AlertLabel.ACTION,
            AlertLabel.POLICY,
        }
        every = {text for key, text in vars(AlertAnnotation).items() if key.isupper() and isinstance(text, str)}
        assert every - {AlertAnnotation.ESCALATE_AFTER} <= set(rule["annotations"]) <= every


@pytest.mark.parametrize("name", NAMES)
def test_every_alert_says_above_its_rule_where_its_numbers_come_from(built: dict[str, Path], name: str) -> None:
    text = (built[name] / "rules" / f"{name}.alerts.yml").read_text()
    for alert in resolve(shipped(name)).alerts:
        said = "; ".join(map(str, alert.limits)) or alert.given.when
        assert re.search(rf"# {re.escape(said)}.*\n *# source: .+\n *- alert: {alert.given.alert}\n", text)


@pytest.mark.parametrize("name", NAMES)
def test_no_threshold_lacks_its_boundary_tests(built: dict[str, Path], name: str) -> None:
    policy = shipped(name)
    names = [test["name"] for test in YAML(typ="safe").load(built[name] / "tests" / f"{name}.boundaries.yml")["tests"]]
    for resolved in resolve(policy).alerts:
        alert = resolved.given
        assert f"{alert.alert}: no data: silent" in names
        for one in resolved.terms:
            told = [text for text in names if text.startswith(f"{alert.alert}: {one.comparison.signal} ")]
            assert len(told) >= len(one.around())
        if alert.for_:
            waits = format_duration(-(-alert.for_ // policy.interval) * policy.interval)
            assert any(text.endswith(f": pending, and after {waits} firing") for text in names)
        if alert.within is not None or alert.tighter:
            ends = [
                test["name"] for test in YAML(typ="safe").load(built[name] / "tests" / f"{name}.signals.yml")["tests"]
            ]
            assert f"{alert.alert}: without a deployment the limit is" in " ".join(ends)
            assert (
                sum(
                    text.startswith(f"{alert.alert}: ") and " after a deployment the limit is " in text for text in ends
                )
                >= 3
            )
        cases = list(cases_of(policy, resolved))
        assert {case.holds for case in cases} == {True, False}


@pytest.mark.parametrize("name", NAMES)
def test_every_query_of_rules_and_runbooks_is_promql(built: dict[str, Path], name: str) -> None:
    found = [
        rule["expr"]
        for path in (built[name] / "rules").glob("*.yml")
        for group in YAML(typ="safe").load(path)["groups"]
        for rule in group["rules"]
    ]
    pages = sorted((built[name] / "runbooks").glob(f"{name}.*.md"))
    assert pages
    for page in pages:
        asked = re.findall(r"```promql\n(.*?)\n```", page.read_text(), re.DOTALL)
        # The alert that a bucket is missing has a page of one query.
        assert len(asked) >= (1 if "BucketMissing" in page.name else 3)
        found += asked
    for query in found:
        promql_parser.parse(query)


@pytest.mark.parametrize("name", NAMES)
def test_a_runbook_page_has_all_its_sections(built: dict[str, Path], name: str) -> None:
    pages = sorted((built[name] / "runbooks").glob(f"{name}.*.md"))
    alerts = {
        rule["alert"]
        for path in (built[name] / "rules").glob("*.yml")
        for group in YAML(typ="safe").load(path)["groups"]
        for rule in group["rules"]
        if rule.get("labels", {}).get("policy") == name and "alert" in rule
    }
    assert {page.name.split(".")[1] for page in pages} == alerts
    for page in pages:
        sections = re.findall(r"^## (.+)$", page.read_text(), re.MULTILINE)
        assert sections == ["Meaning", "Impact", "Diagnosis", "Mitigation", "Source"]


COMPOUND = [
    "error_ratio > 1% or latency_p95 > 500ms",
    "error_ratio > 1% and throughput > 10/s",
    "(error_ratio > 1% or latency_p95 > 1500ms) and service_up == 1",
    "queue_length > 1000 or error_ratio >= 5%",
    "error_ratio > 1% and error_ratio < 50%",
    "availability < 99.5% or health == 0",
    "service_up != 1",
    "throughput <= 1000/min",
    "latency_p95 < 100ms",
]


@pytest.mark.parametrize(
    ("when", "wait"),
    [
        pytest.param(when, wait, marks=[] if wait == "45s" or when == COMPOUND[0] else [pytest.mark.heavy])
        for when in COMPOUND
        for wait in ("0s", "45s", "10m")
    ],
)
def test_conditions_of_every_form_pass_their_own_tests(tmp_path: Path, when: str, wait: str) -> None:
    write(build([good(tmp_path, when=when, wait=wait)]), tmp_path)
    _succeeds(run("promtool", "check", "rules", "--lint=all", "--lint-fatal", *(tmp_path / "rules").glob("*.yml")))
    _succeeds(promtool_test(sorted((tmp_path / "tests").glob("*.yml"))))


def test_a_policy_for_series_of_other_names_passes_its_own_tests(tmp_path: Path) -> None:
    text = GOOD.replace(
        "requests: {metric: http_requests_total}",
        "requests: {metric: rpc_calls_total, status: code, errors: Internal|Unavailable, failing: Internal, "
        "passing: OK, labels: {service: app, environment: stage}}\n  queues: {metric: jobs_waiting, queue_id: queue}",
    ).replace(
        "interval: 30s", 'interval: 30s\nselectors: {service: {pattern: api-.+, such_as: api-eu}, cluster: [a.b, "c"]}'
    )
    more = GOOD[GOOD.index("  - alert: ") :].replace("Sample", "Queue").replace("error_ratio > 1%", "queue_length > 5")
    write(build([policy_from(text + more, tmp_path)]), tmp_path)
    _succeeds(promtool_test(sorted((tmp_path / "tests").glob("*.yml"))))
    recorded = (tmp_path / "rules" / "mine.recording.yml").read_text()
    assert r'rpc_calls_total{app=~"api-.+",cluster=~"a\\.b|c",code=~"Internal|Unavailable"}' in recorded


def test_several_policies_share_a_folder(tmp_path: Path) -> None:
    policies: list[Policy] = [shipped(name) for name in NAMES]
    write(build(policies), tmp_path)
    _succeeds(run("promtool", "check", "rules", "--lint=all", "--lint-fatal", *(tmp_path / "rules").glob("*.yml")))
    _succeeds(run("amtool", "check-config", tmp_path / "alertmanager.yml"))


def test_only_what_has_changed_is_written(tmp_path: Path) -> None:
    assert len(write(build([good(tmp_path, when="error_ratio > 1%")]), tmp_path)) == 9
    assert write(build([good(tmp_path, when="error_ratio > 1%")]), tmp_path) == ()
    changed = write(build([good(tmp_path, when="error_ratio > 2%")]), tmp_path)
    assert "rules/mine.alerts.yml" in changed
    assert "rules/mine.recording.yml" not in changed


def test_files_of_an_alert_that_is_no_more_are_taken_away_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "runbooks").mkdir()
    own = tmp_path / "runbooks" / "ours.md"
    own.write_text("written by hand")
    write(build([good(tmp_path, when="error_ratio > 1%")]), tmp_path)
    renamed = policy_from(GOOD.replace("alert: Sample", "alert: Other"), tmp_path)
    assert "runbooks/mine.Sample.md" in write(build([renamed]), tmp_path)
    assert not (tmp_path / "runbooks" / "mine.Sample.md").exists()
    assert own.read_text() == "written by hand"


def test_a_note_of_written_files_cannot_lead_out_of_the_folder(tmp_path: Path) -> None:
    outside, folder = tmp_path / "outside.txt", tmp_path / "out"
    outside.write_text("stays")
    folder.mkdir()
    (folder / WRITTEN).write_text(json.dumps(["../outside.txt", str(outside)]))
    write(build([good(tmp_path, when="error_ratio > 1%")]), folder)
    assert outside.read_text() == "stays"


def test_numbers_are_exact(tmp_path: Path) -> None:
    write(build([good(tmp_path, when="error_ratio > 0.1% or latency_p95 > 100ms")]), tmp_path)
    texts = [path.read_text() for path in (tmp_path / "rules").glob("*.yml")]
    assert any("0.001" in text for text in texts)
    assert not any(re.search(r"\d\.\d*(0000|9999)\d", text) for text in texts)
