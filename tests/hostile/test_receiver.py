"""Hostile text in alerts, comments, names and deployments, told by a real receiver on every channel it can have."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email import message_from_string, policy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, get_args
from urllib.parse import quote

import pytest
from prometheus_client.parser import text_string_to_metric_families

from deploywatch.cli import main
from deploywatch.demo.processes import wait_until
from deploywatch.receiver.channels import KINDS, kind_of
from deploywatch.receiver.story import Event
from deploywatch.web.serving import Server
from tests.hostile.texts import TEXTS, assert_order, assert_page, assert_text, strings
from tests.receiver.process import RealReceiver, ask, start_inbox
from tests.receiver.scene import alert
from tests.support.browser import new_page
from tests.support.forked import ForkedProcesses
from tests.support.routes import Routed, receiver_server, routes

# One worker runs all of it: the receiver is told everything once.
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900), pytest.mark.xdist_group("hostile receiver")]

PERSON = "ann"
MIGRATED = {"outcome": "rolled_back", "started_at": "2026-05-01T12:00:00Z", "finished_at": "2026-05-01T12:01:00Z"}
ANNOTATIONS = ("summary", "description", "value", "threshold", "impact", "remediation", "prevention", "cause", "source")


class Hooks:
    """Takes what Apprise posts, and events."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        kept = self.bodies

        class Hook(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                kept.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name that it has there
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
        self._thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop."""
        self.server.shutdown()
        self._thread.join()
        self.server.server_close()


@dataclass
class Told:
    """A receiver that was told hostile texts, and what came of them: by kind of channel, and by number of incident."""

    receiver: RealReceiver
    incidents: dict[str, int]
    arrived: dict[str, list[dict[str, Any]]]
    refused: dict[str, list[tuple[int, str]]] = field(default_factory=lambda: defaultdict(list))
    events: list[dict[str, Any]] = field(default_factory=list)
    answered: list[tuple[str, int, str]] = field(default_factory=list)
    """By every route that takes a body: its path, the status and the text."""


def receiver_server_of(folder: Path) -> Server:
    """The server whose routes are walked; it serves nobody."""
    return asyncio.run(receiver_server(folder))


def _channels(url: str, smtp: str, hook: int) -> dict[str, Any]:
    mail = {"sender": "deploywatch <d@example.com>", "recipients": ["ops@example.com"], "security": "none"}
    return {
        "slack": {"kind": "slack", "token": "xoxb-good", "channel": "#x", "base_url": f"{url}/api/"},
        "slack_webhook": {"kind": "slack_webhook", "url": f"{url}/services/T0/B0/good"},
        "teams": {"kind": "teams", "url": f"{url}/workflows/1/triggers/manual/paths/invoke?sig=good"},
        "discord": {"kind": "discord", "url": f"{url}/api/webhooks/1/good"},
        "telegram": {"kind": "telegram", "base_url": url, "token": "1:good", "chat": "-100"},
        "pagerduty": {"kind": "pagerduty", "routing_key": "R" * 32, "url": url},
        "opsgenie": {"kind": "opsgenie", "url": url, "api_key": "good"},
        "email": {"kind": "email", "smtp": smtp, **mail},
        "ntfy": {"kind": "ntfy", "url": f"{url}/ntfy", "topic": "topic"},
        "webhook": {"kind": "webhook", "url": f"{url}/webhook", "secret": "0123456789abcdef"},
        "apprise": {"kind": "apprise", "url": f"json://127.0.0.1:{hook}/"},
    }


def _webhook(number: int, text: str) -> bytes:
    """One alert of a service of its own, hostile in all else; as bytes, since JSON carries what UTF-8 does not."""
    ordinary = alert(service=f"s{number}", severity="critical")
    labels = {**ordinary.labels, "alertname": text, "instance": text, "pod": f"x{text}", "team": text}
    annotations = {**dict.fromkeys(ANNOTATIONS, text), "runbook_url": text, "dashboard_url": f"javascript:{text[:99]}"}
    one = {
        "status": "firing",
        "labels": labels,
        "annotations": annotations,
        "startsAt": ordinary.starts_at.isoformat(),
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": f"https://p.example/{text[:99]}",
        "fingerprint": f"f{number}",
    }
    whole = {"version": "4", "groupKey": text, "status": "firing", "receiver": "d", "alerts": [one]}
    return json.dumps(whole).encode()


def _people(told: Told, number: int, text: str, name: str) -> None:
    """What people and pipelines write; what is too long is refused in words."""
    receiver, place = told.receiver, {"service": text, "environment": text}
    path = f"/api/v1/incidents/{number}"
    for where, what in (
        (f"{path}/comment", {"by": text, "note": text}),
        (f"{path}/update", {"by": text, "note": text}),
        (f"{path}/commander", {"by": PERSON, "leader": text}),
        (f"{path}/acknowledge", {"by": text, "note": text}),
        (f"{path}/rollback", {"by": text, "note": text}),
        ("/api/v1/maintenance", {"by": text[:150], "reason": text[:150], "lasts": "1h", "service": text[:150]}),
        ("/api/v1/rollbacks/allow", {"by": text, "note": text, **place}),
        ("/api/v1/deployments", {"version": text, "deployer": text, "status": "success", **place}),
        ("/api/v1/deployments", {"version": text[:150], "service": text[:150], "environment": text[:150]}),
        ("/api/v1/screens", {"by": text, "name": text}),
        ("/api/v1/gate/records", {"by": text, "kind": "backup", "detail": text, **place}),
        ("/api/v1/gate/approvals", {"by": text, "version": text, "role": text, "note": text, **place}),
        ("/api/v1/migrations", {"by": text, "name": text, "reason": text, "restore": text, **MIGRATED, **place}),
        (f"{path}/resolve", {"by": PERSON, "note": text[:4000].replace("\0", ""), "force": True}),
    ):
        answer = receiver.post(where, what)
        told.refused[name].append(answer)
        assert answer[0] in {200, 201, 202, 400, 403, 413}, (where, answer)


def _every_route(told: Told, written: list[Routed], text: str) -> None:
    """The text in each field that any route takes, to each of them: a route that is new is told too."""
    fields = ("by", "note", "reason", "name", "kind", "detail", "version", "role", "leader", "status", "stage", "plan")
    place = {"service": text, "environment": text, "deployer": text}
    whole = json.dumps(dict.fromkeys(fields, text) | place).encode()
    for one in written:
        if not one.path.startswith("/api/"):
            continue
        for body in (whole, json.dumps({"by": text, "note": text}).encode(), json.dumps(place).encode()):
            status, answer = ask(told.receiver.url + one.concrete, body, method=one.method)
            told.answered.append((one.path, status, answer))


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    """A receiver with every channel, told everything."""
    folder = tmp_path_factory.mktemp("hostile")
    hooks, events = Hooks(), Hooks()
    with ForkedProcesses(folder / "logs") as processes:
        inbox = start_inbox(processes, folder / "inbox")
        receiver = RealReceiver(processes, folder)
        channels = _channels(inbox.url, inbox.smtp, hooks.server.server_port)
        assert set(channels) == {kind_of(settings) for settings in KINDS}
        hook = f"http://127.0.0.1:{events.server.server_port}/"
        sinks = {"all": {"kind": "webhook", "url": hook, "secret": "0123456789abcdef"}}
        receiver.configure(
            database="sqlite:///store.db", channels=channels, postmortems="reviews", events={"sinks": sinks}
        )
        receiver.start()
        told = Told(receiver, {}, {}, events=events.bodies)
        for number, (name, text) in enumerate(TEXTS.items(), start=1):
            status, answer = receiver.post("/webhook/alertmanager", _webhook(number, text))
            if name == "odd letters":  # half a character is in no JSON: refused, in words
                assert (status, "committed" in answer) in {(200, True), (400, False)}
            else:
                assert (status, answer) == (200, "committed\n"), name
        for incident in receiver.json("/api/v1/incidents?limit=100"):
            told.incidents[list(TEXTS)[int(incident["service"][1:]) - 1]] = incident["id"]
        written = [route for route in routes(receiver_server_of(folder)) if route.method != "GET"]
        for name, number in told.incidents.items():
            _people(told, number, TEXTS[name], name)
            _every_route(told, written, TEXTS[name])
        wait_until(lambda: _arrived(receiver, inbox.file, hooks, told), within=400, what="tell every channel")
        yield told
    hooks.close()
    events.close()


def _arrived(receiver: RealReceiver, file: Path, hooks: Hooks, told: Told) -> bool:
    """Whether every channel has got what waits for it, and nothing waits."""
    told.arrived = defaultdict(list, {"apprise": list(hooks.bodies)})
    for row in file.read_text().splitlines() if file.exists() else ():
        received = json.loads(row)
        told.arrived[received["channel"]].append(received["raw"])
    waiting = re.findall(r"^deploywatch_deliveries_waiting\{.*\} (\S+)$", receiver.get("/metrics")[1], re.MULTILINE)
    whole = all(len(told.arrived[kind_of(kind)]) >= len(told.incidents) for kind in KINDS)
    return whole and not any(float(count) for count in waiting)


def test_nothing_was_given_up(told: Told) -> None:
    assert set(TEXTS) - {"odd letters"} <= set(told.incidents)
    text = told.receiver.get("/metrics")[1]
    failed = re.findall(r'^deploywatch_deliveries_total\{.*outcome="failed".*\} (\S+)$', text, re.MULTILINE)
    assert failed
    assert not any(float(count) for count in failed), [row for row in text.splitlines() if 'outcome="failed"' in row]


def test_what_is_too_long_is_refused_in_a_few_words(told: Told) -> None:
    refused = [answer for answer in told.refused["long"] if answer[0] == 400]
    assert len(refused) > 5
    assert all(len(text) < 2000 for _, text in refused)


# --- channels


def _no_mentions(texts: list[str], own: str = "") -> None:
    for text in texts:
        for inside in re.findall("<([^>]*)>", text):
            assert re.match("https?://", inside), inside
        assert not re.search("<[!@#]", text.replace(own, "") if own else text)


def _slack(raw: dict[str, Any]) -> None:
    read = {**raw, "blocks": [block for block in raw["blocks"] if block["type"] != "rich_text"]}
    _no_mentions([text for text in strings(read) if not text.startswith("{")])
    assert not [text for text in strings(raw.get("blocks", [])) if text == "image"]
    assert {block["type"] for block in raw["blocks"]} <= {"header", "section", "rich_text", "context", "actions"}
    read_as_markup = [inside["text"] for inside in _dicts(raw["blocks"]) if inside.get("type") == "mrkdwn"]
    assert not [text for text in read_as_markup if re.sub(r"<https?://[^<>|]*\|[\w ]+>| · ", "", text)]
    # What is shown where blocks are not; chat.update has no such field.
    assert raw.get("mrkdwn", False) is False
    assert raw["blocks"]


def _discord(raw: dict[str, Any]) -> None:
    assert (raw["content"], raw["allowed_mentions"]) == ("", {"parse": [], "roles": []})
    for text in (raw["embeds"][0]["title"], raw["embeds"][0]["description"]):
        bare = re.sub(r"\\.", "", text)  # what is escaped is text
        links = re.findall(r"\[([^\]]*)\]\(([^)]*)\)", bare)
        assert all(re.match("<https?://", address) for _, address in links)
        assert not re.search(r"[~|`]|<@|^#", bare)


def _telegram(raw: dict[str, Any]) -> None:
    assert "parse_mode" not in raw
    assert {entity["type"] for entity in raw["entities"]} == {"bold"}
    # As Telegram finds mentions and commands.
    assert not re.findall(r"(?<!\w)@\w{2,}", raw["text"])
    assert not re.findall(r"(?<![\w/<>:.])/[A-Za-z0-9_]+(?![/<>\w])", raw["text"])


def _teams(raw: dict[str, Any]) -> None:
    kinds = {inside["type"] for inside in _dicts(raw) if "type" in inside}
    assert kinds <= {"AdaptiveCard", "Container", "RichTextBlock", "TextRun", "Action.OpenUrl"}
    assert all("entities" not in inside and "selectAction" not in inside for inside in _dicts(raw))


def _ntfy(raw: dict[str, Any]) -> None:
    assert "markdown" not in raw
    assert "attach" not in raw
    assert {action["action"] for action in raw.get("actions", ())} <= {"view"}


def _email(raw: dict[str, Any]) -> None:
    names = {"Subject", "From", "To", "Date", "Message-ID", "Auto-Submitted", "In-Reply-To", "References"}
    assert set(raw["headers"]) <= names | {"MIME-Version", "Content-Type", "X-Peer", "X-MailFrom", "X-RcptTo"}
    assert raw["to"] == ["ops@example.com"]
    mail = message_from_string(raw["source"], policy=policy.default)
    assert mail["From"] == "deploywatch <d@example.com>"
    assert not re.search(r"=\?[^?]*\?[bq]\?", _decoded_twice(str(mail["Subject"])), re.IGNORECASE)
    page, words = mail.get_body(("html",)), mail.get_body(("plain",))
    assert page is not None
    assert words is not None
    assert_page(page.get_content().replace("\r\n", "\n"))
    assert_text(words.get_content().replace("\r\n", "\n"))


def _decoded_twice(subject: str) -> str:
    """What a mail client that reads encoded words twice would show."""
    return str(message_from_string(f"Subject: {subject}\n\n", policy=policy.default)["Subject"])


def _apprise(raw: dict[str, Any]) -> None:
    """Its services look for names in all text."""
    for text in (raw["title"], raw["message"]):
        assert not re.search(r"(?<!\w)@\w|<[@!]\w", text)


def _plain(raw: dict[str, Any]) -> None:
    """Nothing more than what holds for all."""


JUDGES: dict[str, Callable[[dict[str, Any]], None]] = {
    "slack": _slack,
    "slack_webhook": _slack,
    "teams": _teams,
    "discord": _discord,
    "telegram": _telegram,
    "pagerduty": _plain,
    "opsgenie": _plain,
    "email": _email,
    "ntfy": _ntfy,
    "webhook": _plain,
    "apprise": _apprise,
}


def _dicts(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    for inside in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _dicts(inside)


@pytest.mark.parametrize("kind", sorted(kind_of(settings) for settings in KINDS))
def test_each_channel_gets_text(told: Told, kind: str) -> None:
    arrived = told.arrived[kind]
    assert len(arrived) >= len(told.incidents)
    for raw in arrived:
        JUDGES[kind](raw)
        for inside in _dicts(raw):
            addresses = [inside[key] for key in ("url", "href", "click", "client_url") if inside.get(key)]
            assert all(re.match("https?://", address) for address in addresses), addresses
        for text in strings({key: value for key, value in raw.items() if key not in ("source", "headers")}):
            assert_text(text)
        assert len(json.dumps(raw)) < 100_000


# --- pages


NOTHING_OF_OTHERS = re.compile(r"/static/|/-/|/api/v1/openapi.json|/config$|/live$|/screen|/sign-in")
"""What shows nothing that somebody wrote; streams say a number, screens' links have tests of their own."""


def _paths(told: Told, *, api: bool) -> list[str]:
    """Each path that is asked with GET, for each incident, deployment and service."""
    numbers = {
        "incidents": list(told.incidents.values()),
        "deployments": [deployment["id"] for deployment in told.receiver.json("/api/v1/deployments?limit=100")],
        "attachments": [1],
    }
    asked = []
    for route in routes(receiver_server_of(told.receiver.folder)):
        if route.method != "GET" or route.path.startswith("/api/") is not api or NOTHING_OF_OTHERS.match(route.path):
            continue
        if route.path in {"/metrics", "/api/v1/approval", "/api/v1/taken"}:
            continue  # the first is read below; the others show a page for a signed link alone
        if "{service}" in route.path:
            texts = [TEXTS[name].replace("\0", "")[:190].encode("utf-8", "replace").decode() for name in told.incidents]
            asked += [f"/services/{quote(text, safe='')}/{quote(text, safe='')}" for text in texts]
        elif "{id}" in route.path:
            kind = next(part for part in route.path.split("/") if part in numbers)
            asked += [route.path.replace("{id}", str(number)) for number in numbers[kind]]
        else:
            asked.append(route.path)
    hostile = quote(TEXTS["markup"][:150], safe="")
    gate = f"gate?service={hostile}&environment={hostile}&version={hostile}&deployer={hostile}&artifact={hostile}"
    return [*asked, f"/api/v1/{gate}"] if api else [*asked, "/?status=all", f"/{gate}", "/incidents/999"]


def test_each_page_is_our_markup_alone(told: Told) -> None:
    paths = _paths(told, api=False)
    assert len(paths) > 40
    for path in paths:
        status, text = told.receiver.get(path)
        assert status == (404 if path.endswith("999") else 200) or path.startswith("/services/"), (path, status)
        assert_page(text)
        assert str(70709 * 88301) not in text


async def test_no_page_runs_anything_in_a_browser(told: Told) -> None:
    async with new_page() as page:
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        for path in await asyncio.to_thread(_paths, told, api=False):
            await page.goto(f"{told.receiver.url}{path}")
            assert await page.evaluate("typeof window.pwned") == "undefined"
            assert await page.locator("script:not([src^='/static/']), img, iframe").count() == 0
        assert all(url.startswith(told.receiver.url) for url in asked)


# --- answers of the API, commands, files


def test_each_answer_of_the_api_is_json_without_anything_unseen(told: Told) -> None:
    paths = _paths(told, api=True)
    assessed = [path for path in paths if path.endswith("/assessments")]
    wait_until(lambda: any(len(told.receiver.json(path)) for path in assessed), within=120, what="assess a deployment")
    for path in paths:
        status, text = told.receiver.get(path)
        assert status in {200, 400, 404, 409}, (path, status)
        (assert_text if status > 200 or not text.startswith(("{", "[")) else assert_order)(text)
        if text.startswith(("{", "[")):
            json.loads(text)


def test_each_route_that_takes_a_body_answers_in_text(told: Told) -> None:
    written = {route.path for route in routes(receiver_server_of(told.receiver.folder)) if route.method != "GET"}
    assert {path for path, _, _ in told.answered} == {path for path in written if path.startswith("/api/")}
    for path, status, text in told.answered:
        assert 200 <= status < 500, (path, status, text)
        if status >= 400:
            assert_text(text)
            assert len(text) < 4000, (path, text)
        else:
            assert_order(text)


def test_each_event_out_is_text(told: Told) -> None:
    wait_until(lambda: len(told.events) > len(told.incidents), within=120, what="hand over the events")
    for event in told.events:
        for text in strings(event):
            assert_text(text)
        assert len(json.dumps(event)) < 100_000


def test_metrics_can_be_read(told: Told) -> None:
    families = list(text_string_to_metric_families(told.receiver.get("/metrics")[1]))
    assert {"deployment_info", "deploywatch_deliveries"} <= {family.name for family in families}


@pytest.fixture
def run(
    told: Told, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., str]:
    """Runs a command, and gives what it printed."""
    monkeypatch.setenv("DEPLOYWATCH_URL", told.receiver.url)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))

    def call(*arguments: str) -> str:
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        printed = capsys.readouterr()
        assert ended.value.code in {0, 1}, printed.err
        return printed.out + printed.err

    return call


COMMANDS = (
    *("incidents list", "deployments list", "deployments delivery --over 90d", "maintenance list", "audit", "oncall"),
)
OF_ONE = ("incidents show", "incidents actions", "incidents postmortem")


@pytest.mark.parametrize("form", ["", "--format json"])
@pytest.mark.parametrize("command", COMMANDS)
def test_each_list_is_text(run: Callable[..., str], command: str, form: str) -> None:
    shown = run(*command.split(), *form.split())
    assert_text(shown, indented=0)  # a cell that is wrapped goes on below itself
    if form:
        json.loads(shown)


@pytest.mark.parametrize("command", OF_ONE)
def test_each_command_about_one_is_text(told: Told, run: Callable[..., str], command: str) -> None:
    for number in told.incidents.values():
        assert_text(run(*command.split(), str(number)))


@pytest.mark.parametrize("form", ["markdown", "json", "html"])
def test_each_report_is_text(told: Told, run: Callable[..., str], form: str) -> None:
    deployments = told.receiver.json("/api/v1/deployments")
    assert deployments
    for deployment in deployments:
        shown = run("deployments", "report", str(deployment["id"]), "--format", form)
        (assert_page if form == "html" else assert_text)(shown)
        if form == "json":
            json.loads(shown)


@pytest.mark.parametrize("name", TEXTS)
def test_what_people_write_is_printed_as_text(told: Told, run: Callable[..., str], name: str) -> None:
    number, text = str(next(iter(told.incidents.values()))), TEXTS[name].replace("\0", "")[:190]
    text = text.encode("utf-8", "replace").decode()
    by = text.replace(" for ", " of ")  # ann for bob is how a verified name is written: refused
    for command in (
        ("incidents", "comment", number, text, "--by", by),
        ("maintenance", "start", "--service", text, "--for", "1h", "--reason", text, "--by", by),
        ("deployments", "start", "--service", text, "--environment", text, "--version", text, "--deployer", text),
    ):
        assert_text(run(*command))


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize(
    "event", [Event.OPENED, pytest.param(Event.ROLLBACK_FAILED, marks=pytest.mark.heavy), "postmortem"]
)
def test_a_preview_is_text(run: Callable[..., str], tmp_path: Path, name: str, event: str) -> None:
    file = tmp_path / "alert.json"
    file.write_bytes(_webhook(1, TEXTS[name].replace("\ud800", "").replace("\0", "")))
    assert_text(run("render", str(event), "--alert", str(file)))


@pytest.mark.parametrize("name", TEXTS)
def test_what_is_kept_for_a_receiver_that_is_away_is_one_line_of_ascii(
    run: Callable[..., str], tmp_path: Path, name: str
) -> None:
    text = TEXTS[name].replace("\0", "")[:190].encode("utf-8", "replace").decode()
    where = ("--service", text, "--environment", text, "--version", text)
    assert_text(run("deployments", "--url", "http://127.0.0.1:1", "start", *where))
    (kept,) = (tmp_path / "deploywatch" / "spool").glob("*.json")
    assert kept.read_text().isascii()
    assert "\n" not in kept.read_text()
    assert json.loads(kept.read_text())["body"]["version"] == text


def test_each_review_file_is_text(told: Told) -> None:
    folder = told.receiver.folder / "reviews"
    wait_until(lambda: len(list(folder.glob("*.md"))) >= len(told.incidents), within=60, what="write the reviews")
    for file in folder.iterdir():
        assert re.fullmatch(r"[\w.-]+", file.name)
        assert_text(file.read_text())
        assert not re.search(r"(?<!\\)<(?!https?://)[a-z!/]|(?<!\\)\]\(", file.read_text())


def test_each_line_of_the_log_is_one_event(told: Told) -> None:
    assert told.receiver.child is not None
    text = told.receiver.child.log.read_text()
    assert_text(text)
    assert all(row.startswith("ts=") for row in text.splitlines())


def test_the_set_of_channels_is_whole() -> None:
    assert set(JUDGES) == {get_args(kind.model_fields["kind"].annotation)[0] for kind in KINDS}
    assert_order("plain")
