"""The commands, against a receiver that really runs: what they print and how they exit."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploywatch.cli import main
from tests.receiver.process import RealReceiver, eventually
from tests.receiver.scene import alert, body
from tests.support.forked import ForkedProcesses


@dataclass(frozen=True, slots=True)
class Ran:
    """How a command ended and what it said."""

    code: object
    out: str
    err: str


Run = Callable[..., Ran]
SHOP = ("--service", "shop", "--environment", "production")
ONCALL = {
    "people": {"ann": {}, "bob": {}, "eve": {}},
    "rotations": {"first": {"people": ["ann", "bob"]}},
    "teams": {"shop": {"primary": "first"}},
    "management": ["eve"],
    "contacts": {"provider": {"about": "call +49 30 1"}},
}


@pytest.fixture(scope="module")
def receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealReceiver]:
    """One receiver for all tests here, without channels."""
    folder = tmp_path_factory.mktemp("commands")
    with ForkedProcesses(folder / "logs") as processes:
        real = RealReceiver(processes, folder)
        real.configure(database="sqlite:///store.db", oncall=ONCALL)
        real.start()
        yield real


@pytest.fixture
def run(receiver: RealReceiver, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command as the shell would, with the receiver's address in its environment."""
    monkeypatch.setenv("DEPLOYWATCH_URL", receiver.url)

    def call(*arguments: str) -> Ran:
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        printed = capsys.readouterr()
        return Ran(ended.value.code, printed.out, printed.err)

    return call


@pytest.fixture
def incident(receiver: RealReceiver, request: pytest.FixtureRequest) -> int:
    """The number of a new incident, of a service named after the test."""
    sent = body(alert(service=request.node.name, annotations={"summary": "5% of requests fail"}))
    assert receiver.post("/webhook/alertmanager", sent)[0] == 200
    return int(receiver.json("/api/v1/incidents?limit=1")[0]["id"])


def test_a_deployment_starts_finishes_and_is_listed(run: Run) -> None:
    started = run("deployments", "start", *SHOP, "--version", "1.2.3", "--deployer", "ci", "--port", "80")
    assert (started.code, started.err) == (0, "")
    number = started.out.strip()
    finished = run("deployments", "finish", number, "--status", "success")
    assert (finished.code, finished.out) == (0, f"deployment {number} of shop 1.2.3: succeeded\n")
    listed = run("deployments", "list", *SHOP)
    assert listed.code == 0
    assert re.search(rf"^{number} +shop +production +1\.2\.3 .* succeeded +ci ", listed.out, re.MULTILINE)
    (newest, *_) = json.loads(run("deployments", "list", "--format", "json").out)
    assert (newest["id"], newest["ports"]) == (int(number), [80])


def test_who_deploys_is_the_user_when_nobody_says(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "ann")
    number = run("deployments", "start", *SHOP, "--version", "2").out.strip()
    listed = json.loads(run("deployments", "list", "--format", "json").out)
    assert next(row["deployer"] for row in listed if row["id"] == int(number)) == "ann"


def test_an_empty_list_says_so(run: Run) -> None:
    assert run("deployments", "list", "--service", "nobody").out == "no deployments\n"


def test_records_are_taken_in_a_line_each(run: Run, tmp_path: Path) -> None:
    record = {"service": "imported", "environment": "production", "version": "1", "status": "success"}
    lines = [
        {**record, "timestamp": "2026-01-01T00:00:00Z"},
        {**record, "version": "2", "timestamp": "2026-01-02T00:00:00Z"},
    ]
    (tmp_path / "records").write_text("\n".join(json.dumps(line) for line in lines) + "\n\n")
    for told in ("2 records taken in", "0 records taken in; 2 were known"):  # a second time changes nothing
        assert run("deployments", "import", str(tmp_path / "records")) == Ran(0, f"{told}\n", "")
    listed = json.loads(run("deployments", "list", "--service", "imported", "--format", "json").out)
    assert [(row["version"], row["previous_version"]) for row in listed] == [("2", "1"), ("1", None)]


def test_a_file_with_a_broken_line_is_not_taken_in_at_all(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "records"
    file.write_bytes(b'{"service": "half", "environment": "e", "version": "1"}\nnonsense\n{also\n"\xff"\n')
    ran = run("deployments", "import", str(file))
    assert ran.code == 2
    assert f"{file}:1: $.timestamp: Field required" in ran.err
    assert f"{file}:2: not JSON" in ran.err
    assert f"{file}:3: not JSON" in ran.err
    assert f"{file}:4: not JSON: 'utf-8' codec" in ran.err
    assert "nothing was taken in" in ran.err
    assert run("deployments", "list", "--service", "half").out == "no deployments\n"


def test_incidents_are_listed(run: Run, incident: int) -> None:
    listed = run("incidents", "list", "--open")
    assert listed.code == 0
    assert re.search(rf"^{incident} +open +high +\S+ +production +5% of requests fail", listed.out, re.MULTILINE)
    assert incident in [row["id"] for row in json.loads(run("incidents", "list", "--format", "json").out)]


def test_an_incident_is_shown_with_its_timeline(run: Run, incident: int) -> None:
    shown = run("incidents", "show", str(incident))
    assert shown.code == 0
    assert shown.out.startswith(f"#{incident} 5% of requests fail: high, open, ")
    assert re.search(r"^  \d\d:\d\d:\d\d  opened +opened by HighErrorRate", shown.out, re.MULTILINE)
    assert json.loads(run("incidents", "show", str(incident), "--format", "json").out)["id"] == incident


def test_an_incident_is_acknowledged_and_resolved(run: Run, incident: int) -> None:
    taken = run("incidents", "acknowledge", str(incident), "--by", "ann", "--note", "on my way")
    assert taken == Ran(0, f"#{incident} is acknowledged, by ann\n", "")
    over = run("incidents", "resolve", str(incident), "--force", "--by", "bob", "--note", "fixed")
    assert over == Ran(0, f"#{incident} is resolved, by bob\n", "")
    assert "resolved: fixed  (bob)" in run("incidents", "show", str(incident)).out


def test_people_handle_an_incident(run: Run, incident: int) -> None:
    number = str(incident)
    assert run("incidents", "comment", number, "the cache was cold", "--by", "ann").out == f"#{number}: noted\n"
    led = run("incidents", "commander", number, "--is", "bob", "--by", "ann")
    assert led == Ran(0, f"#{number} is led by bob\n", "")
    assert run("incidents", "mitigate", number, "--by", "bob").out == f"#{number} is mitigating\n"
    ran = run("incidents", "update", number, "half is back", "--next-in", "10m", "--by", "bob")
    assert ran == Ran(0, f"#{number}: told\n", "")
    assert run("incidents", "check", number, "1", "--by", "ann").out == "[x] Watch the service closely\n"
    assert run("incidents", "check", number, "2", "--undo", "--by", "ann").out == "[ ] Check the performance\n"
    shown = run("incidents", "show", number).out
    assert "  commander: bob\n" in shown
    assert "  [x] 1 monitoring: Watch the service closely  (ann)\n" in shown
    assert "the cache was cold  (ann)" in shown


def test_a_rollback_is_asked_for_and_what_became_of_it_is_told(run: Run, incident: int) -> None:
    number = str(incident)
    asked = run("incidents", "rollback", number, "--by", "ann", "--note", "it is the release")
    assert asked.code == 0
    assert asked.out.startswith(f"#{number}: a rollback is asked for")
    eventually(lambda: "rollback_refused" in run("incidents", "show", number).out, "decide about the rollback")
    eventually(lambda: "attachment" in run("incidents", "actions", number).out, "investigate")
    listed = run("incidents", "actions", number).out.splitlines()
    assert listed[0] == "nothing was run"
    match = re.fullmatch(r"attachment (\d+): \w+", listed[1])
    assert match is not None
    assert run("incidents", "attachment", match[1]).out.strip()
    (newest, *_) = json.loads(run("incidents", "actions", number, "--format", "json").out)["attachments"]
    assert str(newest["id"]) == match[1]
    assert run("incidents", "attachment", "999999").err.endswith("refused (404): there is no attachment 999999\n")


def test_who_changed_what_is_listed(run: Run, incident: int) -> None:
    assert run("audit", "--incident", str(incident)).out == "nobody changed anything\n"
    run("incidents", "acknowledge", str(incident), "--by", "ann")
    run("incidents", "comment", str(incident), "words", "--by", "bob")
    listed = json.loads(run("audit", "--incident", str(incident), "--format", "json").out)
    assert [(row["who"], row["verified"]) for row in listed] == [("bob", False), ("ann", False)]
    narrowed = run("audit", "--incident", str(incident), "--who", "ann")
    assert len(narrowed.out.splitlines()) == 2
    assert run("audit", "--incident", "one").code == 2


def test_a_review_waits_for_the_end(run: Run, incident: int) -> None:
    early = run("incidents", "review", str(incident), "--by", "ann")
    assert early.code == 2
    assert "a review is done once it is resolved" in early.err
    run("incidents", "resolve", str(incident), "--force", "--by", "ann")
    done = run("incidents", "review", str(incident), "--by", "ann", "--note", "see the wiki")
    assert done == Ran(0, f"#{incident} was reviewed by ann\n", "")


def test_incidents_are_narrowed(run: Run, incident: int) -> None:
    service = json.loads(run("incidents", "show", str(incident), "--format", "json").out)["service"]
    narrowed = run("incidents", "list", "--severity", "high,critical", "--service", service, "--format", "json")
    assert [row["id"] for row in json.loads(narrowed.out)] == [incident]
    assert run("incidents", "list", "--severity", "low", "--service", service).out == "no incidents\n"
    assert run("incidents", "list", "--severity", "dire").code == 2


def test_maintenance_begins_is_listed_and_ends(run: Run, incident: int) -> None:
    begun = run("maintenance", "start", "--service", "quiet", "--for", "1h", "--reason", "a move", "--by", "ann")
    assert (begun.code, begun.err) == (0, "")
    number = begun.out.strip()
    assert re.search(rf"^{number} +True +quiet +\* .* a move +ann", run("maintenance", "list").out, re.MULTILINE)
    ended = run("maintenance", "end", number, "--by", "bob")
    assert ended.out.startswith(f"maintenance {number} of quiet in * ended at ")
    assert run("maintenance", "list").out == "no maintenance\n"


def test_who_is_on_call_is_said(run: Run) -> None:
    now, later = run("oncall"), run("oncall", "--at", "2027-01-04T12:00:00Z", "--format", "json")
    assert re.search(r"^shop +primary +(ann|bob) ", now.out, re.MULTILINE)
    assert "management: eve\n" in now.out
    assert "provider: call +49 30 1\n" in now.out
    assert json.loads(later.out)["at"] == "2027-01-04T12:00:00+00:00"


def test_the_review_is_printed_as_markdown(run: Run, incident: int) -> None:
    draft = run("incidents", "postmortem", str(incident))
    assert draft.code == 0
    assert draft.out.startswith("# ")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("incidents", "show", "999999"), "refused (404): there is no incident 999999"),
        (("incidents", "postmortem", "999999"), "refused (404): there is no incident 999999"),
        (
            ("deployments", "finish", "999999", "--status", "failure", "--strict"),
            "refused (404): there is no deployment 999999",
        ),
        (
            ("deployments", "start", *SHOP, "--version", "v" * 201, "--strict"),
            "refused (400): $.version: String should have",
        ),
        (("deployments", "start", *SHOP), "Missing option '--version'"),
        (("deployments", "finish", "1", "--status", "meh"), "'meh' is not one of 'success', 'failure'"),
        (("incidents", "show", "one"), "'one' is not a valid integer"),
        (("deployments", "import", "/no/such/file"), "No such file or directory"),
        (("incidents", "shw"), "No such command 'shw'"),
    ],
)
def test_what_is_asked_wrongly_exits_with_2(run: Run, arguments: tuple[str, ...], text: str) -> None:
    ran = run(*arguments)
    assert ran.code == 2
    assert text in ran.err
    assert "Traceback" not in ran.err


def test_a_receiver_that_does_not_answer_exits_with_1(run: Run) -> None:
    ran = run("incidents", "--url", "http://127.0.0.1:1", "list")
    assert ran.code == 1
    assert "the receiver at http://127.0.0.1:1 gave no answer" in ran.err
    assert "is --url right?" in ran.err


def test_a_good_config_is_called_good(run: Run, receiver: RealReceiver) -> None:
    ran = run("receiver", "--config.file", str(receiver.file), "--config.check")
    assert ran == Ran(0, f"{receiver.file}: good\n", "")


def test_hours_at_which_nobody_is_on_call_are_said_by_the_check(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "receiver.yml"
    file.write_text(
        "oncall:\n  people: {ann: {}}\n"
        "  rotations: {office: {people: [ann], zone: Europe/Berlin, hours: [{}]}}\n"
        "  teams: {shop: {primary: office, lead: ann}}\n"
    )
    ran = run("receiver", "--config.file", str(file), "--config.check")
    note, good = ran.out.splitlines()
    assert (ran.code, good) == (0, f"{file}: good")
    assert note.startswith(f"{file}: note: in the coming week nobody is primary of shop from ")
    assert "(Europe/Berlin); escalations that call for the primary then reach escalation.channels when" in note


def test_a_bad_config_shows_every_fault_and_exits_with_2(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "receiver.yml"
    file.write_text("quiet_tim: 5m\nmax_body: 0\ndatabase: nowhere\nrollback: {mode: yolo, cooldown: 5}\n")
    ran = run("receiver", "--config.file", str(file), "--config.check")
    assert ran.code == 2
    places = [line.removeprefix(f"{file}:").partition(": ")[0] for line in ran.err.splitlines()]
    assert places == ["1:1", "2:1", "3:1", "4:12", "4:24"]


def test_a_bad_template_is_a_fault_of_the_config(run: Run, tmp_path: Path) -> None:
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "opened.j2").write_text("{% block title %}{{ nonsense(")
    file = tmp_path / "receiver.yml"
    file.write_text("templates: templates\n")
    ran = run("receiver", "--config.file", str(file), "--config.check")
    assert ran.code == 2
    assert "opened.j2:1" in ran.err


def test_a_template_that_fails_with_an_alert_is_a_fault_of_the_config(run: Run, tmp_path: Path) -> None:
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "opened.j2").write_text(
        "{% block title %}{{ lead.name }}{% endblock %}\n{% block body %}\n{{ lead.labels.team }}\n{% endblock %}"
    )
    (tmp_path / "templates" / "postmortem.md.j2").write_text("{{ incident.id / 0 }}")
    file = tmp_path / "receiver.yml"
    file.write_text("templates: templates\n")
    ran = run("receiver", "--config.file", str(file), "--config.check")
    assert ran.code == 2
    assert f"{tmp_path}/templates/opened.j2:3:1: fails when it is rendered: UndefinedError: " in ran.err
    assert f"{tmp_path}/templates/postmortem.md.j2:1:1: fails when it is rendered: ZeroDivisionError" in ran.err
    assert len(ran.err.splitlines()) == 2


def test_a_config_that_is_not_there_exits_with_2(run: Run) -> None:
    ran = run("receiver", "--config.file", "/no/such/file.yml", "--config.check")
    assert (ran.code, ran.err) == (2, "deploywatch: /no/such/file.yml: cannot be read: No such file or directory\n")


def test_the_terminal_gets_text_whatever_people_write(run: Run, incident: int) -> None:
    hostile = "queue of [/var/log] full \x1b[31m\x1b]52;c;ZXZpbA==\x07 \u202eevil\n  00:00:00  resolved  forged  (ann)"
    forger = "ann\n  00:00:00  forged  (boss)"
    run("incidents", "comment", str(incident), hostile, "--by", forger)
    where = ("--service", "[/red]\x1b[2J", "--environment", "[bold]x", "--version", "[/v]")
    assert run("deployments", "start", *where, "--deployer", forger).code == 0
    shown = [
        run("incidents", "show", str(incident)),
        run("incidents", "list"),
        run("deployments", "list"),
        run("audit"),
        run("oncall"),
        run("maintenance", "list"),
    ]
    for ran in shown:
        assert ran.code == 0, ran
        assert not {"\x1b", "\x07", "\u202e"} & set(ran.out)
        assert not any(row.strip().startswith("00:00:00") for row in ran.out.splitlines())
    assert "[/var/log] full" in shown[0].out
    assert "[/v]" in shown[2].out


RECORD = '{"service": "past", "environment": "production", "version": "%s", "timestamp": "2026-01-0%dT10:00:00Z"%s}\n'
NOTHING = "nothing was taken in; mend these, and import it again"


def test_records_of_a_file_are_all_told_what_is_wrong_with_them_at_their_lines(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "records"
    file.write_text("\n" + RECORD % ("1", 1, ', "ports": [0]') + "{\n" + RECORD % ("2", 2, ', "status": "gone"'))
    ran = run("deployments", "import", str(file))
    assert (ran.code, ran.out) == (2, "")
    places = re.findall(rf"{re.escape(str(file))}:(\d+): (?:not JSON|\$\.ports\[0\]|\$\.status)", ran.err)
    assert sorted(places) == ["2", "3", "4"]
    assert NOTHING in ran.err


def test_a_file_that_the_ledger_cannot_take_whole_leaves_nothing_and_counts_once_when_mended(
    run: Run, tmp_path: Path
) -> None:
    file, back = tmp_path / "records", ', "status": "success", "rollback_of": "3"'
    file.write_text(RECORD % ("1", 1, "") + RECORD % ("2", 2, back) + RECORD % ("2", 4, back))
    ran = run("deployments", "import", str(file))
    assert ran.code == 2
    assert re.findall(rf"{re.escape(str(file))}:(\d+): \$\.rollback_of: no deployment", ran.err) == ["2", "3"]
    assert NOTHING in ran.err
    assert "no deployments" in run("deployments", "list", "--service", "past").out
    done = ', "status": "success"'
    file.write_text(RECORD % ("3", 1, done) + RECORD % ("2", 2, back))
    assert run("deployments", "import", str(file)).out == "2 records taken in\n"
    again = run("deployments", "import", str(file))
    assert again.out == "0 records taken in; 2 were known\n"
    # The page of pipelines says that a second time changes nothing: an end that was undone since stays so.
    assert f"{file}:1: deployment" in again.err
    assert "is rolled_back already, and does not become succeeded" in again.err
