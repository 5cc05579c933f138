"""The receiver's config file: good ones, and each fault with its place and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploywatch.config import redacted
from deploywatch.errors import ConfigError, DeploywatchError
from deploywatch.receiver.settings.actions.rollback import Rollback
from deploywatch.receiver.settings.config import load
from tests.receiver.scene import HOUR, MINUTE

SLACK = "channels: {team: {kind: slack, token: xoxb-1, channel: '#x'}}\n"
TARGET = "rollback: {targets: [{command: [deploy], verify: {url: 'http://exporter/health'%s}}]}\n"


def _written(folder: Path, text: str) -> Path:
    file = folder / "receiver.yml"
    file.write_text(text)
    return file


def _faults(folder: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as refused:
        load(_written(folder, text))
    return [str(problem).removeprefix(f"{folder}/") for problem in refused.value.problems]


def test_an_empty_file_is_a_receiver_that_only_announces(tmp_path: Path) -> None:
    settings = load(_written(tmp_path, ""))
    assert settings.rollback.mode == "dry-run"
    assert (settings.rollback.recent, settings.rollback.cooldown) == (24 * HOUR, 30 * MINUTE)
    assert settings.quiet_time == 5 * MINUTE
    assert settings.max_body == 32 * 1024**2


@pytest.mark.parametrize(
    ("written", "database"),
    [
        ("", "sqlite:///{folder}/deploywatch.db"),
        ("database: sqlite:///data/x.db", "sqlite:///{folder}/data/x.db"),
        ("database: sqlite:////var/lib/x.db", "sqlite:////var/lib/x.db"),
        ("database: postgresql://u:p@db/name", "postgresql://u:p@db/name"),
    ],
)
def test_a_sqlite_file_is_taken_from_the_config_files_folder(tmp_path: Path, written: str, database: str) -> None:
    settings = load(_written(tmp_path, written))
    assert settings.database.get_secret_value() == database.format(folder=tmp_path)


def test_state_stands_in_the_storage_folder_where_one_is_given(tmp_path: Path) -> None:
    text = "postmortems: reviews\ntemplates: messages\n"
    settings = load(_written(tmp_path, text), storage=tmp_path / "state")
    assert settings.database.get_secret_value() == f"sqlite:///{tmp_path}/state/deploywatch.db"
    assert (settings.postmortems, settings.templates) == (tmp_path / "state/reviews", tmp_path / "messages")
    absolute = "database: sqlite:////var/lib/x.db\npostmortems: /srv/reviews\n"
    settings = load(_written(tmp_path, absolute), storage=tmp_path / "state")
    assert settings.database.get_secret_value() == "sqlite:////var/lib/x.db"
    assert settings.postmortems == Path("/srv/reviews")


def test_the_external_url_is_said_once(tmp_path: Path) -> None:
    url = "https://ops.example/watch/"
    assert load(_written(tmp_path, ""), external_url=url).path_prefix == "/watch"
    assert load(_written(tmp_path, f"external_url: {url}\n"), external_url=url).external_url == url
    with pytest.raises(DeploywatchError, match=r"external_url is http://other\.example, .* keep one"):
        load(_written(tmp_path, "external_url: http://other.example\n"), external_url=url)


def test_incidents_are_told_apart_by_service_and_environment_and_by_more_when_it_is_said(tmp_path: Path) -> None:
    assert load(_written(tmp_path, "")).further_labels == ()
    more = "correlate_by: [cluster, environment, service, region]\n"
    assert load(_written(tmp_path, more)).further_labels == ("cluster", "region")


def test_folders_are_taken_from_the_config_files_folder(tmp_path: Path) -> None:
    settings = load(_written(tmp_path, "postmortems: reviews\ntemplates: /etc/templates\n"))
    assert settings.postmortems == tmp_path / "reviews"
    assert settings.templates == Path("/etc/templates")


def test_the_password_of_the_database_can_come_from_a_file_and_is_never_shown(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("postgresql://user:very-secret@db/name\n")
    settings = load(_written(tmp_path, "database_file: url\n" + SLACK))
    assert settings.database.get_secret_value() == "postgresql://user:very-secret@db/name"
    for shown in (repr(settings), str(redacted(settings))):
        assert "very-secret" not in shown
        assert "xoxb-1" not in shown


BAD = {
    "unknown key": ("quiet_tim: 5m\n", "receiver.yml:1:1: quiet_tim: unknown key; did you mean 'quiet_time'?"),
    "a bare number as duration": ("quiet_time: 5\n", "receiver.yml:1:1: quiet_time: '5' is not a duration; write it"),
    "no database URL": ("database: store.db\n", "receiver.yml:1:1: database: not a database URL; write sqlite:///FILE"),
    "another database": ("database: mysql://u@h/n\n", "receiver.yml:1:1: database: mysql is not supported; write sqli"),
    "a database in memory": ("database: 'sqlite://'\n", "receiver.yml:1:1: database: SQLite needs a file, because"),
    "a database named memory": ("database: 'sqlite:///:memory:'\n", "receiver.yml:1:1: database: SQLite needs a file"),
    "correlated by too little": (
        "correlate_by: [service, region]\n",
        "receiver.yml:1:1: correlate_by: add environment: deployments, rollbacks, victims and who is on call are found",
    ),
    "correlated by nothing": (
        "correlate_by: []\n",
        "receiver.yml:1:1: correlate_by: add service and environment: depl",
    ),
    "correlated by what is no label": (
        "correlate_by: [service, environment, ' ']\n",
        "receiver.yml:1:1: correlate_by: ' ' is not a label's name",
    ),
    "correlated by a label twice": (
        "correlate_by: [service, environment, region, region]\n",
        "receiver.yml:1:1: correlate_by: 'region' is named twice",
    ),
    "no room for bodies": ("max_body: 0\n", "receiver.yml:1:1: max_body: input should be greater than 0"),
    "unknown severity": (
        "strategy: {severities: {urgent: {immediate: [log]}}}\n",
        "receiver.yml:1:25: strategy.severities.urgent: must be 'critical', 'high', 'medium' or 'low', not 'urgent'",
    ),
    "unknown action": (
        "strategy:\n  severities:\n    low: {immediate: [rolback]}\n",
        "receiver.yml:3:23: strategy.severities.low.immediate[0]: 'rolback' is no action; did you mean 'rollback'?",
    ),
    "unknown kind of channel": (
        "channels: {team: {kind: pigeon}}\n",
        "receiver.yml:1:19: channels.team.kind: unknown kind 'pigeon'",
    ),
    "a channel without kind": ("channels: {team: {}}\n", "receiver.yml:1:12: channels.team.kind: is required; add it"),
    "a channel's name with a comma": (
        "channels: {'a,b': {kind: slack, token: t, channel: c}}\n",
        "receiver.yml:1:12: channels.a,b: a channel's name has 1 to 100 characters, no comma",
    ),
    "notify names no channel": (
        SLACK + "notify: {by_severity: {high: [tem]}}\n",
        "receiver.yml:1:1: notify, escalation and oncall name channels that are not configured: 'tem' is not a ch",
    ),
    "escalation names no channel": (
        SLACK + "escalation: {channels: [boss]}\n",
        "receiver.yml:1:1: notify, escalation and oncall name channels that are not configured: 'boss' is not a ch",
    ),
    "unknown mode": (
        "rollback: {mode: yolo}\n",
        "receiver.yml:1:12: rollback.mode: must be 'dry-run', 'approve' or 'auto', not 'yolo'",
    ),
    "an empty command": (
        "rollback: {targets: [{command: [], verify: {url: 'http://x'}}]}\n",
        "receiver.yml:1:23: rollback.targets[0].command: ",
    ),
    "a shell line as command": (
        "rollback: {targets: [{command: 'deploy {to_version}', verify: {url: 'http://x'}}]}\n",
        "receiver.yml:1:23: rollback.targets[0].command: ",
    ),
    "an unknown placeholder": (
        "rollback: {targets: [{command: ['{version}'], verify: {url: 'http://x'}}]}\n",
        "receiver.yml:1:23: rollback.targets[0].command: '{version}': unknown {version}; known: environment, from_ver",
    ),
    "no verification": (
        "rollback: {targets: [{command: [x]}]}\n",
        "receiver.yml:1:22: rollback.targets[0].verify: is required; add it",
    ),
    "verified by no URL": (
        "rollback: {targets: [{command: [x], verify: {url: exporter}}]}\n",
        "receiver.yml:1:46: rollback.targets[0].verify.url: write a URL that begins with http:// or https://",
    ),
    "an unknown placeholder in the URL": (
        "rollback: {targets: [{command: [x], verify: {url: 'http://x/{version}'}}]}\n",
        "receiver.yml:1:46: rollback.targets[0].verify.url: unknown {version}; known: {service}, {environment}",
    ),
    "healthy for longer than there is time": (
        TARGET % ", healthy_for: 2m",
        "receiver.yml:1:42: rollback.targets[0].verify: healthy_for (2m) must be shorter than within (2m)",
    ),
    "a verification without pauses": (
        TARGET % ", interval: 0s",
        "receiver.yml:1:82: rollback.targets[0].verify.interval: 0s would ask without a pause; write 1s or more",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_each_fault_is_told_with_its_place(tmp_path: Path, name: str) -> None:
    text, said = BAD[name]
    (fault,) = _faults(tmp_path, text)
    assert fault.startswith(said)


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    text = "quiet_tim: 5m\nmax_body: 0\ndatabase: nowhere\nrollback: {mode: yolo, cooldown: 5}\n"
    assert len(_faults(tmp_path, text)) == 5


def test_approvals_without_links_are_said_and_how_people_answer_then(tmp_path: Path) -> None:
    target = "{service: shop, command: ['true'], verify: {url: 'http://127.0.0.1:9/health'}}"
    file = tmp_path / "receiver.yml"
    file.write_text(f"rollback: {{mode: approve, targets: [{target}]}}\n")
    settings = load(file)
    note = settings.rollback.without_links(settings.external_url)
    assert "for want of rollback.approval.secret and external_url" in note
    assert "deploywatch incidents approve NUMBER" in note
    file.write_text(f"rollback: {{targets: [{target}]}}\n")
    assert load(file).rollback.without_links("") == ""


def test_evidence_that_makes_an_automatic_rollback_ask_is_said_as_well() -> None:
    rollback = {"mode": "auto", "targets": [{"command": ["true"], "verify": {"url": "http://127.0.0.1:1/"}}]}
    assert Rollback.model_validate(rollback).without_links("") == ""
    assert Rollback.model_validate({**rollback, "decide": {"issues": 2}}).without_links("")
    assert Rollback.model_validate({**rollback, "mode": "dry-run", "decide": {"issues": 2}}).without_links("") == ""
