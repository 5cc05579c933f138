"""Every command that there is, told hostile texts: by what it asks, by its arguments, and by its files."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import click
import pytest
from aiohttp import web

from deploywatch import cli
from tests.deploywatch.test_document import _bomb
from tests.hostile import test_prometheus
from tests.hostile.server import Answer, Hostile
from tests.hostile.test_receiver import _webhook
from tests.hostile.texts import TEXTS, assert_order, assert_text

WITHOUT_INPUT = {"demo"}
"""It starts everything by itself, and asks nobody else."""
LONG = 400_000
"""Characters: a list of ten rows, each of a few fields that a receiver bounds, and the file that it is about."""
TOLD = {
    **{name: text for name, text in TEXTS.items() if name not in {"long", "odd letters"}},
    "odd letters": TEXTS["odd letters"].replace("\0", "").encode("utf-8", "replace").decode(),
}
# What is not a text of somebody's, and no time that a test has.
VALUES = {
    "timeout": "1",
    "every": "0.1",
    "patience": "0",
    "lasts": "1h",
    "duration": "1s",
    "users": "1",
    "kind": "backup",
    "deployment": "1",
    "level": "immediate",
    "smoke": "critical",
    "over": "1d",
    "next_in": "1h",
    "limit": "10",
}
LEFT_OUT = {
    *(
        "url",
        "token",
        "token_file",
        "wait",
        "watch",
        "listen",
        "log_format",
        "log_level",
        "shard",
        "web_config",
        "spool",
    ),
    *("external_url", "route_prefix", "hold", "ends_at", "starts_at", "at", "storage", "warm_up", "slow", "errors"),
    *("method", "headers", "body", "baseline", "save", "request_file", "webhook_url", "webhook_token_file", "labels"),
    *("runbook_url", "grafana_url", "namespace", "more", "profiles", "env_files", "incident", "strategy", "form"),
}
"""Options that say how, where and when, which have tests of their own; a text that somebody chooses is in none."""


def _commands() -> Iterator[tuple[str, click.Command]]:
    """As the command line itself knows them."""

    def within(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
        if not isinstance(command, click.Group):
            yield name, command
            return
        context = click.Context(command)
        for inner in command.list_commands(context):
            found = command.get_command(context, inner)
            assert found is not None
            yield from within(found, f"{name} {inner}".strip())

    yield from within(cli.cli, "")


COMMANDS = {name: command for name, command in _commands() if name not in WITHOUT_INPUT}


class Files:
    """Files of somebody's pull request."""

    def __init__(self, folder: Path, text: str) -> None:
        self.folder = folder
        inner = {text: {text: text, "metric": text, "when": text, "url": text}}
        whole = {text: inner, "policy": text, "alerts": [inner], "services": inner, "channels": inner, "name": text}
        (folder / "hostile.yml").write_text(json.dumps(whole))
        (folder / "alert.json").write_bytes(_webhook(1, text))

    def of(self, name: str) -> str:
        if name in {"out", "target"}:
            return str(self.folder / "new")
        return str(self.folder / ("alert.json" if name == "alert_file" else "hostile.yml"))


def _words(command: click.Command, text: str, files: Files) -> Iterator[str]:
    """Each argument, and each option that is a text, with the text; files are hostile ones."""
    for parameter in command.params:
        value = _value(parameter, text, files)
        if value is None:
            continue
        if isinstance(parameter, click.Option):
            yield parameter.opts[0]
        yield value


def _value(parameter: click.Parameter, text: str, files: Files) -> str | None:
    name, kind = parameter.name or "", parameter.type
    if isinstance(parameter, click.Option) and parameter.is_flag:
        return None
    if name in VALUES:
        return VALUES[name]
    if not parameter.required and name in LEFT_OUT:
        return None
    if isinstance(kind, click.Choice):
        return str(kind.choices[0]) if parameter.required else None
    if isinstance(kind, (click.Path, click.File)):
        return files.of(name) if parameter.required or name in {"config_file", "registry", "files"} else None
    if isinstance(kind, (click.types.IntParamType, click.types.FloatParamType)):
        return "1" if parameter.required else None
    if kind is click.STRING:
        return text
    assert not parameter.required, f"say what {name} is here"
    return None


AS_WRITTEN = {"incidents attachment", "incidents postmortem"}
"""What they print is somebody's document, line by line."""
FREE = ("state", "detail", "started_at", "id", "name", "agrees", "text", "answer", "reason")
"""What objects have whose form the document leaves open."""
DOCUMENT = json.loads((Path(__file__).parents[2] / "docs" / "openapi.json").read_text())


def _receiver(text: str) -> Answer:
    """A receiver's answers as its document says that they are, with this text wherever one may stand."""

    async def answer(request: web.Request) -> web.StreamResponse:
        path = "/".join("{id}" if part.isdigit() else part for part in request.path.split("/"))
        described = DOCUMENT["paths"].get(path, {}).get(request.method.lower())
        if described is None:
            return web.Response(status=404, text=text, headers={"X-Deploywatch": "1"})
        status, said = next((int(code), said) for code, said in described["responses"].items() if code[0] == "2")
        schema = said["content"]["application/json"]["schema"] if "application/json" in said["content"] else None
        if schema is None:
            return web.Response(status=status, text=text, headers={"X-Deploywatch": "1"})
        return web.json_response(_made(schema, text), status=status)

    return answer


def _made(schema: dict[str, Any], text: str) -> Any:
    """A value of this schema; enumerations and times are as documented, every other text is the hostile one."""
    if "$ref" in schema:
        return _made(DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]], text)
    for several in ("anyOf", "oneOf", "allOf"):
        if several in schema:
            return _made(next(one for one in schema[several] if one.get("type") != "null"), text)
    if "enum" in schema or "const" in schema:
        return schema.get("const", schema.get("enum", [None])[0])
    match schema.get("type"):
        case "object":
            made = {name: _made(inner, text) for name, inner in schema.get("properties", {}).items()}
            more = schema.get("additionalProperties")
            if more is True and not made:
                return {"action": "rollback", **dict.fromkeys(FREE, text)}
            return made | ({text: _made(more, text)} if isinstance(more, dict) else {})
        case "array":
            return [_made(schema.get("items", {}), text)] * 2
        case "integer" | "number":
            return schema.get("minimum", 1)
        case "boolean":
            return True
        case _:
            return "2026-05-01T12:00:00+00:00" if schema.get("format") == "date-time" else text


@pytest.fixture(scope="module")
def hostile() -> Iterator[Hostile]:
    with Hostile() as server:
        yield server


@pytest.fixture
def ground(hostile: Hostile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hostile:
    """The server that everything asks, and nothing of this machine's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DEPLOYWATCH_URL", hostile.url)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setitem(VALUES, "url", hostile.url)
    return hostile


def _run(name: str, words: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    check = ["--config.check"] if name in {"exporter", "receiver"} else []
    with pytest.raises(SystemExit) as ended:
        cli.main([*name.split(), *check, *words])
    said = capsys.readouterr()
    assert ended.value.code in {0, 1, 2, 3, 4}, said
    return int(ended.value.code), said.out, said.err


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_that_there_is_prints_text(
    name: str, ground: Hostile, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = COMMANDS[name]
    given = next((option.type for option in command.params if option.name == "form"), None)
    forms = given.choices if isinstance(given, click.Choice) else (None,)
    for text in TOLD.values():
        ground.answer = _receiver(text)
        words = list(_words(command, text, Files(tmp_path, text)))
        for form in forms:
            _, out, err = _run(name, [*words, *(["--format", str(form)] if form else [])], capsys)
            if form == "json" and out:
                json.loads(out)
            if form == "junit" and out:
                ElementTree.fromstring(out)  # noqa: S314 - of our own making
            if form in {"json", "junit"} or name in AS_WRITTEN:
                assert_order(out)
            else:
                assert_text(out, indented=0)
            assert_text(err, indented=0)
            assert len(out + err) < LONG


WRONG: tuple[Any, ...] = (None, 7, True, "text", [], {}, [7], ["text"], [[]], [{}], {"id": {"a": 1}}, {"error": "no"})


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_says_in_words_that_something_else_answers(
    name: str, ground: Hostile, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = list(_words(COMMANDS[name], "shop", Files(tmp_path, "shop")))
    for wrong in WRONG:

        async def answer(_: web.Request, wrong: Any = wrong) -> web.StreamResponse:
            return web.json_response(wrong)

        ground.answer = answer
        _, out, err = _run(name, words, capsys)
        assert len(out + err) < LONG


def _reads(command: click.Command) -> bool:
    """Whether it is given a file that is there; the targets of backups and builds are not."""
    paths = [one for one in command.params if isinstance(one.type, (click.Path, click.File))]
    return any(one.required or one.name in {"config_file", "registry"} for one in paths)


READERS = [name for name, command in COMMANDS.items() if _reads(command)]
BAD: dict[str, Callable[[], str]] = {
    "aliases that stand for billions": lambda: _bomb(7),
    "lists in lists": lambda: "[" * 100_000,
    "mappings in mappings": lambda: '{"a": ' * 50_000,
    "keys within keys": lambda: "? " * 50_000,
    "steps that go in": lambda: "".join(f"{' ' * depth}a:\n" for depth in range(1000)),
    "no text": lambda: "\0\1\2",
    "a number of a million digits": lambda: "a: " + "9" * 1_000_000,
}


@pytest.mark.parametrize("name", READERS)
def test_each_command_that_reads_a_file_refuses_what_is_a_bomb(
    name: str, ground: Hostile, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ground.answer = _receiver("shop")
    files = Files(tmp_path, "shop")
    words = list(_words(COMMANDS[name], "shop", files))
    # One reader serves all of YAML, so that the slower bombs need not go to each command.
    for what in BAD if name in {"receiver", "ports check", "deployments import"} else list(BAD)[:2]:
        for file in ("hostile.yml", "alert.json"):
            (tmp_path / file).write_text(BAD[what]())
        code, out, err = _run(name, words, capsys)
        assert code == 2, (what, out, err)
        assert len(out + err) < LONG, what


def test_each_command_that_asks_a_prometheus_is_tried_with_a_hostile_one() -> None:
    asking = {name for name, command in COMMANDS.items() if any("--prometheus" in one.opts for one in command.params)}
    assert asking == set(test_prometheus.COMMANDS)
