"""Telling the receiver never fails a deployment: what cannot be told is kept, and sent later, in order and once."""

from __future__ import annotations

import json
import os
import stat
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from deploywatch.receiver.client import Client
from deploywatch.receiver.commands.deployments import telling
from tests.receiver.process import RealReceiver
from tests.support import forked
from tests.support.forked import ForkedProcesses

SHOP = ("--service", "shop", "--environment", "production")


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[RealReceiver]:
    """A receiver that is not started yet."""
    with ForkedProcesses(tmp_path / "logs") as processes:
        real = RealReceiver(processes, tmp_path)
        real.configure(database="sqlite:///store.db")
        real.port = processes.free_port()
        yield real


class Pipeline:
    """Runs the command as a pipeline does, with a spool of its own."""

    def __init__(self, url: str, folder: Path) -> None:
        self.spool = folder / "spool"
        self.environment = {**os.environ, "DEPLOYWATCH_URL": url, "DEPLOYWATCH_SPOOL": str(self.spool)}

    def run(self, *arguments: str, code: int = 0) -> str:
        """Run `deploywatch deployments …`; what it printed."""
        ran = forked.run("deployments", *arguments, env=self.environment)
        assert ran.returncode == code, ran.stderr
        assert "Traceback" not in ran.stderr
        self.said = ran.stderr
        return ran.stdout.strip()

    def kept(self) -> list[Path]:
        """The files of the spool."""
        return sorted(self.spool.glob("*.json"))

    def rows(self, *names: str) -> list[Sequence[object]]:
        """What the ledger has, the oldest first."""
        rows = json.loads(self.run("list", "--format", "json"))
        return [[row[name] for name in names] for row in rows[::-1]]


@pytest.fixture
def pipeline(receiver: RealReceiver, tmp_path: Path) -> Pipeline:
    """A pipeline that talks to the receiver."""
    return Pipeline(receiver.url, tmp_path)


def test_a_receiver_that_is_down_fails_nothing_and_is_told_later_in_order(
    receiver: RealReceiver, pipeline: Pipeline
) -> None:
    first = pipeline.run("start", *SHOP, "--version", "1")
    assert first.startswith("shop/production/1@")
    assert "kept in" in pipeline.said
    pipeline.run("finish", first, "--status", "success")
    second = pipeline.run("start", *SHOP, "--version", "2", "--timestamp", "2026-01-02T03:04:05+01:00")
    assert len(pipeline.kept()) == 3
    assert stat.S_IMODE(pipeline.kept()[0].stat().st_mode) == 0o600
    receiver.start()
    pipeline.run("finish", second, "--status", "failure")
    assert pipeline.kept() == []
    assert pipeline.said == ""
    assert sorted(pipeline.rows("version", "status"), key=str) == [["1", "succeeded"], ["2", "failed"]]
    assert ["2", "2026-01-02T02:04:05+00:00"] in pipeline.rows("version", "timestamp")


def test_what_was_sent_twice_counts_once(receiver: RealReceiver, pipeline: Pipeline) -> None:
    pipeline.run("start", *SHOP, "--version", "1")
    (kept,) = pipeline.kept()
    text = kept.read_text()
    receiver.start()
    assert pipeline.run("send") == "1 sent, 0 left"
    kept.write_text(text)  # as after a crash between the answer and the file's end
    assert pipeline.run("send") == "1 sent, 0 left"
    assert pipeline.rows("version") == [["1"]]


def test_with_strict_it_fails_and_keeps_nothing(pipeline: Pipeline) -> None:
    pipeline.run("start", *SHOP, "--version", "1", "--strict", code=1)
    assert "gave no answer" in pipeline.said
    pipeline.run("finish", "7", "--status", "success", "--strict", code=1)
    pipeline.run("finish", "nonsense", "--status", "success", "--strict", code=2)
    assert pipeline.kept() == []


def test_with_strict_what_was_kept_before_is_sent_first(receiver: RealReceiver, pipeline: Pipeline) -> None:
    pipeline.run("start", *SHOP, "--version", "1")
    pipeline.run("start", *SHOP, "--version", "2", "--strict", code=1)
    assert len(pipeline.kept()) == 1
    receiver.start()
    pipeline.run("start", *SHOP, "--version", "3", "--strict")
    assert pipeline.kept() == []
    assert pipeline.rows("version") == [["1"], ["3"]]


def test_what_the_receiver_never_takes_fails_nothing_and_is_said(receiver: RealReceiver, pipeline: Pipeline) -> None:
    pipeline.run("start", *SHOP, "--version", "1")
    (kept,) = pipeline.kept()
    broken = json.loads(kept.read_text())
    broken["body"]["version"] = ""
    kept.write_text(json.dumps(broken))
    receiver.start()
    pipeline.run("finish", "77", "--status", "success")
    assert "put aside" in pipeline.said
    assert "the deployment goes on: refused (404)" in pipeline.said
    assert pipeline.kept() == []
    assert len(list((pipeline.spool / "refused").iterdir())) == 1
    assert pipeline.run("finish", "nonsense", "--status", "success") == ""
    assert "neither a deployment's number nor what `start` printed" in pipeline.said


def test_a_spool_that_cannot_be_written_fails_nothing(pipeline: Pipeline, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    printed = pipeline.run("start", *SHOP, "--version", "1", "--spool", str(tmp_path / "file" / "below"))
    assert printed.startswith("shop/production/1@")
    assert "give another --spool" in pipeline.said


def test_what_is_kept_for_another_receiver_stays(receiver: RealReceiver, pipeline: Pipeline) -> None:
    pipeline.run("--url", "http://127.0.0.1:9", "start", *SHOP, "--version", "1")
    receiver.start()
    assert pipeline.run("send") == "0 sent, 0 left"
    assert "1 kept for http://127.0.0.1:9, and not sent: give that --url" in pipeline.said
    assert len(pipeline.kept()) == 1
    # Whoever mended the URL has to hear of it from the calls that pipelines make.
    pipeline.run("start", *SHOP, "--version", "2")
    assert "if it was wrong, `deployments send --kept-for http://127.0.0.1:9`" in pipeline.said
    assert pipeline.run("send", "--kept-for", "http://127.0.0.1:9/") == "1 sent, 0 left"
    assert pipeline.said == ""
    assert [version for [version] in pipeline.rows("version")] == ["1", "2"]


def test_a_time_that_a_program_did_not_find_fails_no_deployment(receiver: RealReceiver, pipeline: Pipeline) -> None:
    receiver.start()
    pipeline.run("start", *SHOP, "--version", "1", "--commit-time", "", "--timestamp", " ")
    assert "--commit-time is empty, and counts as not given" in pipeline.said
    assert "--timestamp is empty, and counts as not given" in pipeline.said
    assert pipeline.rows("version", "commit_time") == [["1", None]]


FOREIGN = {
    "an object": (200, "application/json", b'{"id": 1, "uid": "grafana"}'),
    "a list": (200, "application/json", b"[1]"),
    "nothing": (204, "application/json", b""),
    "a text": (200, "text/markdown", b"hello"),
    "a page": (200, "text/html", b"<html>Sign in</html>"),
    "elsewhere": (302, "application/json", b"{}"),
    "not found, in JSON": (404, "application/json", b'{"message": "Not found"}'),
    "not found, in words": (404, "text/plain", b"404 page not found"),
    "not allowed": (405, "text/plain", b"Method Not Allowed"),
}


@pytest.fixture(scope="module")
def something_else() -> Iterator[ThreadingHTTPServer]:
    """A program at the receiver's URL that is none; it says what `answer` is."""

    class Page(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            status, media, content = self.server.answer  # type: ignore[attr-defined]
            self.send_response(status)
            self.send_header("Content-Type", media)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_PATCH = do_POST  # noqa: N815 - the name that it has there

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that it has there
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def _tell(server: ThreadingHTTPServer, folder: Path, answer: tuple[int, str, bytes], method: str = "POST") -> object:
    server.answer = answer  # type: ignore[attr-defined]
    client = Client(f"http://127.0.0.1:{server.server_port}")
    path = telling.PATH if method == "POST" else f"{telling.PATH}/7"
    return telling.tell(client, folder, method, path, {"version": "1"}, strict=False)


@pytest.mark.parametrize("method", ["POST", "PATCH"])
@pytest.mark.parametrize("answer", FOREIGN.values(), ids=FOREIGN)
def test_what_is_no_receiver_fails_nothing_and_takes_nothing(
    something_else: ThreadingHTTPServer, tmp_path: Path, answer: tuple[int, str, bytes], method: str
) -> None:
    assert _tell(something_else, tmp_path, answer, method) is None
    assert len(list(tmp_path.glob("*.json"))) == 1
    assert _tell(something_else, tmp_path, answer, method) is None
    assert len(list(tmp_path.glob("*.json"))) == 2


TAKEN = (201, "application/json", b'{"id": 3, "service": "shop", "version": "1", "status": "running"}')


@pytest.mark.parametrize(
    "content",
    ["{broken", "[]", '{"url": "x"}', '{"url": "URL", "method": 5, "path": 6, "body": "x"}', "\udcff", ""],
)
def test_a_file_that_cannot_be_read_is_put_aside_and_said(
    something_else: ThreadingHTTPServer, tmp_path: Path, content: str, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"http://127.0.0.1:{something_else.server_port}"
    (tmp_path / "1-a.json").write_bytes(content.replace("URL", url).encode("utf-8", "surrogateescape"))
    assert _tell(something_else, tmp_path, TAKEN) is not None
    assert "it is put aside: 1-a.json cannot be read" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "refused").iterdir()] == ["1-a.json"]


def test_what_was_being_kept_when_the_pipeline_died_is_sent_where_it_is_whole(
    something_else: ThreadingHTTPServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _tell(something_else, tmp_path, FOREIGN["a page"])
    (kept,) = tmp_path.glob("*.json")
    kept.rename(kept.with_suffix(".part"))
    (tmp_path / "0-a.part").write_text('{"url": "http')
    assert _tell(something_else, tmp_path, TAKEN) is not None
    assert "0-a.json cannot be read" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lock", "refused"]


def test_a_slash_at_the_end_names_the_same_receiver(something_else: ThreadingHTTPServer, tmp_path: Path) -> None:
    _tell(something_else, tmp_path, FOREIGN["a page"])
    something_else.answer = TAKEN  # type: ignore[attr-defined]
    assert telling.send_kept(Client(f"http://127.0.0.1:{something_else.server_port}/"), tmp_path) == (1, 0)


def test_many_at_once_keep_each_their_own(something_else: ThreadingHTTPServer, tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as executor:
        list(executor.map(lambda _: _tell(something_else, tmp_path, FOREIGN["a page"]), range(16)))
    assert len(list(tmp_path.glob("*.json"))) == 16
    something_else.answer = TAKEN  # type: ignore[attr-defined]
    assert telling.send_kept(Client(f"http://127.0.0.1:{something_else.server_port}"), tmp_path) == (16, 0)


def test_while_something_is_left_sending_ends_with_1(pipeline: Pipeline) -> None:
    pipeline.run("start", *SHOP, "--version", "1")
    assert pipeline.run("send", code=1) == "0 sent, 1 left"


def test_what_is_given_is_told(receiver: RealReceiver, pipeline: Pipeline) -> None:
    receiver.start()
    given = ("--previous-version", "0.9", "--artifact", "shop@sha256:1", "--commit-time", "2026-01-01T00:00:00+00:00")
    number = pipeline.run("start", *SHOP, "--version", "1", *given, "--timestamp", "2026-01-02T00:00:00+00:00")
    pipeline.run("finish", number, "--status", "success", "--timestamp", "2026-01-02T00:05:00+00:00")
    names = ("previous_version", "artifact", "commit_time", "timestamp", "duration_seconds", "status")
    commit, began = "2026-01-01T00:00:00+00:00", "2026-01-02T00:00:00+00:00"
    assert pipeline.rows(*names) == [["0.9", "shop@sha256:1", commit, began, 300.0, "succeeded"]]


def test_a_name_with_any_letters_comes_back_from_its_reference(receiver: RealReceiver, pipeline: Pipeline) -> None:
    odd = ("--service", "a/b@c é", "--environment", "x y")
    reference = pipeline.run("start", *odd, "--version", "sha256:1/2@3")
    receiver.start()
    pipeline.run("finish", reference, "--status", "success")
    assert pipeline.rows("service", "environment", "version", "status") == [
        ["a/b@c é", "x y", "sha256:1/2@3", "succeeded"]
    ]


def test_a_password_in_the_url_is_neither_kept_nor_said(receiver: RealReceiver, tmp_path: Path) -> None:
    address = receiver.url.removeprefix("http://")
    before, after = (Pipeline(f"http://ci:{password}@{address}", tmp_path) for password in ("hunter2", "changed"))
    before.run("start", *SHOP, "--version", "1")
    assert "hunter2" not in before.said + "".join(file.read_text() for file in before.kept())
    elsewhere = Pipeline("http://ci:hunter2@127.0.0.1:1", tmp_path)
    elsewhere.run("send", code=0)
    assert "1 kept for http://127.0.0.1:" in elsewhere.said
    receiver.start()
    after.run("send")
    assert after.kept() == []
