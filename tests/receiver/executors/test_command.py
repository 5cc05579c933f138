"""Commands: argv only, values checked, output bounded, and nothing outlives its time."""

from __future__ import annotations

import ast
import asyncio
import os
import re
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import aiohttp
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from deploywatch.clock import utc_now
from deploywatch.receiver.executors.command import Ran, perform, run
from deploywatch.receiver.executors.plan import Means
from deploywatch.receiver.settings.commands import Commands
from deploywatch.receiver.settings.executors.plan import Steps
from deploywatch.receiver.settings.placeholders import check_template, fill
from tests.receiver.conftest import MakeScene
from tests.receiver.scene import MINUTE, until
from tests.receiver.scene import settings as receiver_settings
from tests.support.examples import examples

ROOT = Path(__file__).parents[3]
HOSTILE = (
    "",
    "-rf",
    "--force",
    "a b",
    "a;b",
    "a|b",
    "a&b",
    "$(id)",
    "`id`",
    "a\nb",
    "a\0b",
    "a'b",
    'a"b',
    "a*",
    "~root",
    "../etc/passwd",
    "a/../../b",
    "a\\b",
    "é",
    "1.2.3\u202e",
    "v" * 201,
)


def _alive(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


@pytest.mark.parametrize("value", HOSTILE)
def test_a_value_that_could_mean_more_than_itself_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match=r"to_version .* has characters that are not passed to a command"):
        fill(["deploy", "{to_version}"], {"to_version": value})


@pytest.mark.parametrize("value", ["1.2.3", "v1.2.3-rc.1+build.5", "registry.example.com:5000/shop@sha256", "main_2"])
def test_ordinary_versions_pass_as_they_are(value: str) -> None:
    assert fill(["deploy", "--to={to_version}"], {"to_version": value}) == ["deploy", f"--to={value}"]


@settings(max_examples=examples(300))
@example("-x")
@given(st.text(st.characters(codec="utf-8"), max_size=20) | st.text("-a1 ;|&$.\t/", max_size=8))
def test_no_value_that_passes_is_an_option_or_has_a_character_with_a_meaning(value: str) -> None:
    try:
        (argument,) = fill(["{service}"], {"service": value})
    except ValueError:
        return
    assert argument == value
    assert not argument.startswith("-")
    assert re.search(r"[\s;|&$`'\"\\<>(){}\[\]*?!#~^%=,\x00-\x1f\x7f-\uffff]", argument) is None
    assert ".." not in argument


@pytest.mark.parametrize(
    ("argument", "text"),
    [
        ("{version}", "unknown {version}; known: environment, from_version, service, to_version"),
        ("{}", "unknown {}"),
        ("{service.__class__}", "unknown {service.__class__}"),
        ("{service", "expected '}'"),
        ("a}b", "Single '}'"),
        ("{service!r}", "only {service} itself"),
        ("{service:>10}", "only {service} itself"),
        ("{service:{environment}}", "only {service} itself"),
    ],
)
def test_a_placeholder_that_cannot_be_filled_in_is_refused_beforehand(argument: str, text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(text)):
        check_template(["deploy", argument])


def test_literal_braces_are_written_twice() -> None:
    check_template(["{{service}}"])
    assert fill(["{{service}}"], {"service": "shop"}) == ["{service}"]


async def test_each_argument_arrives_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "arguments"
    code = "import sys, pathlib; pathlib.Path(sys.argv[1]).write_text(repr(sys.argv[2:]))"
    ran = await run([sys.executable, "-c", code, str(file), "a b", "$HOME", "*", "; id"], MINUTE)
    assert ran == Ran(0, "")
    assert file.read_text() == repr(["a b", "$HOME", "*", "; id"])


async def test_nothing_can_be_read_from_standard_input() -> None:
    assert await run(["cat"], MINUTE) == Ran(0, "")


async def test_output_and_errors_are_kept_together() -> None:
    ran = await run(["sh", "-c", "echo out; echo err >&2; exit 3"], MINUTE)
    assert (ran.code, ran.output, ran.good) == (3, "out\nerr\n", False)
    assert str(ran) == "exit code 3: out / err"


async def test_of_much_output_the_end_is_kept() -> None:
    ran = await run(["sh", "-c", "head -c 100000000 /dev/zero; echo the end"], MINUTE)
    assert ran.good
    assert len(ran.output) == 64 * 1024
    assert ran.output.endswith("the end\n")


async def test_output_that_is_not_utf_8_is_readable_all_the_same() -> None:
    assert (await run(["printf", r"\377"], MINUTE)).output == "\N{REPLACEMENT CHARACTER}"


@pytest.mark.parametrize("program", ["no-such-program-anywhere", "/etc/passwd", "/"])
async def test_a_program_that_cannot_be_started_is_code_127(program: str) -> None:
    ran = await run([program], MINUTE)
    assert ran.code == 127
    assert ran.output.startswith(f"cannot run {program}: ")


@pytest.mark.parametrize(("number", "name"), [(9, "SIGKILL"), (11, "SIGSEGV"), (40, "signal 40")])
async def test_a_death_by_signal_is_told_by_its_name(number: int, name: str) -> None:
    ran = await run(["sh", "-c", f"kill -{number} $$"], MINUTE)
    assert not ran.good
    assert str(ran).startswith(f"was ended by {name}")


async def test_at_the_limit_the_whole_group_is_ended(tmp_path: Path) -> None:
    file = tmp_path / "pids"
    script = f"sleep 600 & echo $! >> {file}; (sleep 600 & echo $! >> {file}); echo begun; wait"
    ran = await run(["sh", "-c", script], timedelta(seconds=0.5))
    if "begun" not in str(ran):  # a slow machine
        file.unlink(missing_ok=True)
        ran = await run(["sh", "-c", script], timedelta(seconds=20))
    assert (ran.code, str(ran)) == (None, "was ended at its time limit: begun")
    children = [int(line) for line in file.read_text().split()]
    assert len(children) == 2
    await until(lambda: not any(_alive(child) for child in children))


async def test_a_program_that_ignores_being_asked_is_killed() -> None:
    stubborn = "trap '' TERM; echo $$; while :; do sleep 1; done"
    ran = await run(["sh", "-c", stubborn], timedelta(seconds=0.5), grace=0.1)
    if not ran.output:  # a slow machine had not started it
        ran = await run(["sh", "-c", stubborn], timedelta(seconds=20), grace=0.1)
    assert ran.code is None
    await until(lambda: not _alive(int(ran.output)))


async def test_what_a_command_leaves_behind_neither_delays_its_result_nor_outlives_it(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    began = time.monotonic()
    ran = await run(["sh", "-c", f"sleep 600 & echo $! > {file}; echo done"], MINUTE)
    assert (ran.code, ran.output) == (0, "done\n")
    assert time.monotonic() - began < 60
    await until(lambda: not _alive(int(file.read_text())))


async def test_a_command_has_a_group_of_its_own() -> None:
    ran = await run(["sh", "-c", "ps -o pgid= -p $$"], MINUTE)
    assert int(ran.output) != os.getpgid(0)


async def test_one_that_leaves_the_group_and_holds_the_output_open_does_not_delay_the_result(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    began = time.monotonic()
    ran = await run(["sh", "-c", f"setsid sleep 600 & echo $! > {file}; echo done"], MINUTE)
    os.kill(int(file.read_text()), 9)
    assert ran == Ran(0, "done\n")
    assert time.monotonic() - began < 60


async def test_a_command_finds_no_token_of_ours_but_what_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SLACK_TOKEN", "AWS_SECRET_ACCESS_KEY", "KUBECONFIG"):
        monkeypatch.setenv(name, f"{name}-of-ours")
    monkeypatch.setenv("LANG", "C.UTF-8")
    monkeypatch.setenv("HOME", "/nowhere")
    command = [sys.executable, "-c", "import os; print(*sorted(os.environ.items()), sep='\\n')"]
    ran = await run(command, MINUTE, environment=("KUBECONFIG",), variables={"SHOP_VERSION": "1.2.3"})
    names = set(re.findall(r"^\('(\w+)'", ran.output, re.MULTILINE))
    # LC_CTYPE is set by Python itself, in some locales.
    assert names - {"LC_CTYPE"} == {"PATH", "HOME", "LANG", "KUBECONFIG", "SHOP_VERSION"}
    assert "KUBECONFIG-of-ours" in ran.output
    assert "SLACK_TOKEN" not in (await run(command, MINUTE)).output


STARTS = {"create_subprocess_exec", "Popen", "run", "call", "check_call", "check_output"}
SHELLS = {"create_subprocess_shell", "system", "popen", "getoutput", "getstatusoutput", "subprocess_shell"}


def test_each_program_that_anything_of_ours_starts_has_an_environment_of_its_own() -> None:
    found = []
    for file in (
        file for part in ("deploywatch", "exporter", "grafana", "receiver", "rules") for file in _modules(part)
    ):
        for call in (node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call)):
            what = call.func
            if not isinstance(what, ast.Attribute):
                continue
            owner = ast.unparse(what.value)
            assert what.attr not in SHELLS, f"{file}:{call.lineno}"
            assert not (owner == "os" and what.attr.startswith(("exec", "spawn", "posix_spawn"))), (
                f"{file}:{call.lineno}"
            )
            if owner in {"asyncio", "subprocess"} and what.attr in STARTS and (owner, what.attr) != ("asyncio", "run"):
                given = {word.arg for word in call.keywords}
                assert "env" in given, f"{file}:{call.lineno}"
                assert "shell" not in given, f"{file}:{call.lineno}"
                found.append(file.name)
    assert len(found) > 4


def _modules(part: str) -> Iterator[Path]:
    """The modules of a part that serve users; the demo starts all of a machine that is its own."""
    for file in (ROOT / part).rglob("*.py"):
        below = file.relative_to(ROOT / part).parts[0]
        if part != "deploywatch" or below not in {"demo", "exporter", "grafana", "receiver", "rules"}:
            yield file


@pytest.mark.parametrize(("name", "is_shown"), [("KUBECONFIG", True), ("DEPLOY_TOKEN", False), ("db_password", False)])
async def test_what_a_variable_s_name_calls_secret_is_not_shown(
    name: str, is_shown: bool, monkeypatch: pytest.MonkeyPatch, make_scene: MakeScene
) -> None:
    monkeypatch.setenv(name, "a-value-of-ours")
    scene = make_scene(receiver_settings(commands={"environment": [name]}))
    shown = scene.context.conceal("it failed: a-value-of-ours")
    assert shown == ("it failed: a-value-of-ours" if is_shown else "it failed: ***")


async def test_steps_pass_on_only_what_the_settings_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLACK_TOKEN", "of-ours")
    monkeypatch.setenv("KUBECONFIG", "/etc/kube")
    steps = Steps(
        ((sys.executable, "-c", "import os; print(os.environ.get('SLACK_TOKEN'), os.environ['KUBECONFIG'])"),)
    )
    async with aiohttp.ClientSession() as http:
        result = await perform(steps, Means(http, utc_now, asyncio.sleep, ("KUBECONFIG",)), MINUTE)
    assert (result.good, result.detail) == (True, "exit code 0: None /etc/kube")


@pytest.mark.parametrize(
    ("name", "reason"), [("NOT_SET_HERE", "NOT_SET_HERE is not set"), ("A=b", "'A=b' is not a variable's name")]
)
def test_a_variable_that_commands_cannot_find_is_refused_when_it_is_named(name: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Commands(environment=(name,))
