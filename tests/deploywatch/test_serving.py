"""A server says whether it is healthy and ready, reloads, and finishes what it has begun."""

from __future__ import annotations

import asyncio
import signal
import subprocess
from pathlib import Path

import aiohttp
import pytest

from deploywatch.demo.processes import wait_until
from deploywatch.errors import DeploywatchError
from deploywatch.web.addresses import parse_address
from tests.deploywatch.conftest import PROGRAM, Sample, Start
from tests.support import forked

RELOADED = "deploywatch_config_last_reload_successful"


async def test_a_server_is_healthy_and_ready(start: Start) -> None:
    sample = start()
    assert (await sample.ask("/-/healthy")).text == "sample is healthy.\n"
    assert (await sample.ask("/-/ready")).text == "sample is ready.\n"


async def test_a_server_that_is_not_ready_says_why(start: Start) -> None:
    sample = start()
    (sample.folder / "not-ready").write_text("waiting for the database")
    answer = await sample.ask("/-/ready")
    assert (answer.status, answer.text) == (503, "sample is not ready: waiting for the database\n")
    assert (await sample.ask("/-/healthy")).status == 200


async def test_a_good_reload_is_taken_over_and_seen_in_the_metrics(start: Start) -> None:
    sample = start()
    answer = await sample.ask("/-/reload", "POST")
    assert (answer.status, answer.text) == (200, "reloaded\n")
    assert (sample.folder / "reloaded").exists()
    assert f"{RELOADED} 1.0" in (await sample.ask("/metrics")).text


async def test_a_bad_reload_is_refused_with_its_reason_and_seen_in_the_metrics(start: Start) -> None:
    sample = start()
    (sample.folder / "bad").touch()
    answer = await sample.ask("/-/reload", "POST")
    assert (answer.status, answer.text) == (500, "reload refused: the sample is bad\n")
    assert f"{RELOADED} 0.0" in (await sample.ask("/metrics")).text
    (sample.folder / "bad").unlink()
    assert (await sample.ask("/-/reload", "POST")).status == 200
    assert f"{RELOADED} 1.0" in (await sample.ask("/metrics")).text


async def test_a_reload_is_a_post(start: Start) -> None:
    assert (await start().ask("/-/reload")).status == 405


def test_sighup_reloads(start: Start) -> None:
    sample = start()
    sample.child.process.send_signal(signal.SIGHUP)
    wait_until((sample.folder / "reloaded").exists, within=90, what="reload", child=sample.child)
    assert sample.child.running


async def test_a_bad_web_config_leaves_the_part_as_it_was(start: Start, tmp_path: Path) -> None:
    web_config = tmp_path / "web.yml"
    web_config.write_text("http_server_config: {headers: {X-Test: one}}")
    sample = start("--web.config.file", web_config)
    web_config.write_text("basic_auth_users: {ada: plain}")
    answer = await sample.ask("/-/reload", "POST")
    assert answer.status == 500
    assert "is not a bcrypt hash" in answer.text
    assert not (sample.folder / "reloaded").exists()
    assert (await sample.ask("/metrics")).headers["x-test"] == "one"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_what_has_begun_is_finished_and_new_work_refused(start: Start, number: int) -> None:
    sample = start()
    slow = asyncio.create_task(sample.ask("/slow"))
    await asyncio.to_thread(wait_until, (sample.folder / "begun").exists, within=90, what="begin")
    sample.child.process.send_signal(number)
    await _until_refused(sample)
    assert sample.child.running
    assert not slow.done()
    (sample.folder / "go").touch()
    assert (await slow).text == "done"
    assert await asyncio.to_thread(sample.child.process.wait, 90) == 0


async def test_an_idle_connection_does_not_hold_up_the_end(start: Start) -> None:
    sample = start()
    async with aiohttp.ClientSession() as session:
        async with session.get(f"http://{sample.address}/-/ready") as answer:
            await answer.read()
        sample.child.process.terminate()
        assert await asyncio.to_thread(sample.child.process.wait, 30) == 0


def test_an_address_in_use_is_a_clear_error(start: Start, tmp_path: Path) -> None:
    sample = start()
    listen = f"--web.listen-address={sample.address}"
    ended = forked.python(PROGRAM, "--config.file=x", listen, f"--folder={tmp_path}")
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"sample: cannot listen on {sample.address}: ")
    assert "in use" in ended.stderr
    assert ended.stderr.endswith("free the port, or choose another with --web.listen-address\n")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (":9871", (None, 9871)),
        ("127.0.0.1:80", ("127.0.0.1", 80)),
        ("[::1]:80", ("::1", 80)),
        ("localhost:0", ("localhost", 0)),
    ],
)
def test_addresses(text: str, parts: tuple[str | None, int]) -> None:
    assert parse_address(text) == parts


@pytest.mark.parametrize("text", ["", "9871", "localhost", "localhost:", "localhost:http", ":65536", ":-1", ":²"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(DeploywatchError, match="write host:port or :port, such as :9871"):
        parse_address(text)


def _acting(folder: Path, listen: str, web_config: str = "") -> subprocess.CompletedProcess[str]:
    """The sample as a server that acts, which is expected to end by itself."""
    command: list[str | Path] = [
        PROGRAM,
        "--config.file=x",
        f"--web.listen-address={listen}",
        f"--folder={folder}",
        "--acts",
    ]
    if web_config:
        (folder / "web.yml").write_text(web_config)
        command.append(f"--web.config.file={folder / 'web.yml'}")
    return forked.python(*command)


@pytest.mark.parametrize("listen", [":0", "0.0.0.0:0", "[::]:0", "192.0.2.1:0", "no-such-host.invalid:0"])
@pytest.mark.parametrize("web_config", ["", "http_server_config: {}\n"])
def test_a_server_that_acts_is_open_to_all_on_loopback_only(tmp_path: Path, listen: str, web_config: str) -> None:
    ended = _acting(tmp_path, listen, web_config)
    assert ended.returncode == 1
    assert f"sample: --web.listen-address {listen}: without authentication it listens on loopback only" in ended.stderr
    assert "give --web.config.file with bearer_tokens" in ended.stderr


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "127.0.0.2:0", "localhost:0"])
async def test_on_loopback_it_needs_no_credentials(start: Start, listen: str) -> None:
    assert (await start("--acts", "--web.listen-address", listen).ask("/metrics")).status == 200


async def test_with_credentials_it_listens_anywhere_and_keeps_them_at_a_reload(start: Start, tmp_path: Path) -> None:
    web_config = tmp_path / "web.yml"
    web_config.write_text("bearer_tokens: [a-token]\n")
    sample = start("--acts", "--web.listen-address", "0.0.0.0:0", "--web.config.file", web_config)
    web_config.write_text("")
    refused = await sample.ask("/-/reload", "POST", authorization="Bearer a-token")
    assert refused.status == 500
    assert "without authentication it listens on loopback only" in refused.text
    assert (await sample.ask("/metrics")).status == 401


async def _until_refused(sample: Sample) -> None:
    async with asyncio.timeout(90):
        while True:
            try:
                await sample.ask("/-/ready")
            except aiohttp.ClientConnectorError:
                return
            await asyncio.sleep(0.02)
