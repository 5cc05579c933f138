"""squawk's opinion of a plan's SQL, where squawk is installed: what locks a table for long, or breaks who still runs.

Its warnings stop nothing. Rules that ask for what the plan does itself (time limits, a transaction) are left out.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from deploywatch import json_text
from deploywatch.receiver.database_migration.backup import bare_environment
from deploywatch.receiver.database_migration.plan import Plan
from deploywatch.receiver.database_migration.statements import Statement

PROGRAM: Final = "squawk"
MISSING: Final = (
    "lint: squawk is not installed, so nobody has looked whether the SQL locks for long (pip install squawk-cli)"
)
_DONE_BY_THE_PLAN: Final = "require-lock-timeout,require-statement-timeout,prefer-robust-stmts"
_SECONDS: Final = 60


def lint(plan: Plan, program: str | None = None) -> Iterator[str]:
    """What squawk says, a line each with its place; that it is missing, or could not be asked, is a line, too."""
    # Where it was installed beside us, it need not be on the PATH.
    program = program or shutil.which(PROGRAM) or shutil.which(PROGRAM, path=str(Path(sys.executable).parent))
    if program is None:
        yield MISSING
        return
    yield from _part(program, (*plan.before, *plan.after))
    yield from _part(program, plan.transaction, "--assume-in-transaction")


def _part(program: str, statements: Sequence[Statement], *more: str) -> Iterator[str]:
    if not statements:
        return
    text, places = _joined(statements)
    command = [program, "--reporter=Json", f"--exclude={_DONE_BY_THE_PLAN}", "--stdin-filepath=plan.sql", *more]
    try:
        ran = subprocess.run(
            command, input=text.encode(), capture_output=True, timeout=_SECONDS, check=False, env=bare_environment()
        )
        remarks = json_text.parse(ran.stdout)
        yield from [_line(fault, places) for fault in remarks]
    except (OSError, ValueError, TypeError, KeyError, IndexError, subprocess.TimeoutExpired) as error:
        yield f"lint: squawk gave no answer that can be read ({type(error).__name__}), so nobody has looked at the SQL"


def _joined(statements: Sequence[Statement]) -> tuple[str, list[str]]:
    """The statements as one text, and for each of its lines where that stands."""
    places: list[str] = []
    for statement in statements:
        file, _, first = statement.origin.rpartition(":")
        places += [f"{file}:{int(first) + number}" for number in range(statement.sql.count("\n") + 1)]
    return "".join(f"{statement.sql};\n" for statement in statements), places


def _line(fault: dict[str, Any], places: Sequence[str]) -> str:
    advice = f"; {fault['help']}" if fault.get("help") else ""
    return f"lint: {places[int(fault['line'])]}: {fault['rule_name']}: {fault['message']}{advice}"
