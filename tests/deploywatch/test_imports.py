"""What a command imports: no more than it needs, as pipelines and people wait for it each time."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = frozenset(
    {
        *("aiohttp", "aiokafka", "aiosmtplib", "alembic", "asyncio", "asyncpg", "bcrypt", "cryptography", "dns", "h2"),
        *("httptools", "jinja2", "msgspec", "pglast", "prometheus_client", "pydantic", "redis", "rich", "ruamel"),
        *("slack_sdk", "sqlalchemy", "structlog", "xml", "re2"),
    }
)
"""Libraries that take their time to import."""
_ASK = """
import sys
from deploywatch.cli import cli
try:
    cli.main(args={arguments!r}, prog_name="deploywatch", standalone_mode=False)
except BaseException as error:
    print(type(error).__name__, error, file=sys.stderr)
print("\\nIMPORTED", *sorted({{name.partition(".")[0] for name in sys.modules}}))
"""


def imported(*arguments: str) -> frozenset[str]:
    """The heavy libraries that are imported once a command has run."""
    ran = subprocess.run(
        [sys.executable, "-c", _ASK.format(arguments=list(arguments))], capture_output=True, text=True, check=True
    )
    (line,) = [line for line in ran.stdout.splitlines() if line.startswith("IMPORTED")]
    return HEAVY & set(line.split())


@pytest.mark.parametrize("arguments", [("--help",), ("--version",)])
def test_the_help_of_all_commands_imports_no_part(arguments: tuple[str, ...]) -> None:
    assert imported(*arguments) == frozenset()


ASKING = [
    ("deployments", "--help"),
    ("deployments", "list", "--help"),
    ("deployments", "--url", "http://127.0.0.1:1", "list"),
    ("deployments", "--url", "http://127.0.0.1:1", "gate", "--service", "shop", "--environment", "production"),
    ("incidents", "--url", "http://127.0.0.1:1", "list"),
    ("oncall", "--url", "http://127.0.0.1:1"),
]


@pytest.mark.parametrize("arguments", ASKING, ids=" ".join)
def test_a_command_that_asks_the_receiver_imports_click_and_no_other_library(arguments: tuple[str, ...]) -> None:
    assert imported(*arguments) == frozenset()


def test_a_build_of_rules_imports_what_reads_policies_and_neither_a_client_nor_the_logs() -> None:
    assert imported("rules", "build", "--help") == {"pydantic", "ruamel"}


def test_a_command_that_asks_the_receiver_imports_few_modules() -> None:
    ran = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "deploywatch", "deployments", "--url", "http://127.0.0.1:1", "list"],
        capture_output=True,
        text=True,
        check=False,
    )
    modules = sum(line.startswith("import time:") for line in ran.stderr.splitlines())
    # Each takes about 0.8 ms; with aiohttp and pydantic they were 392.
    assert 50 < modules < 200, "see with -X importtime which are new"
