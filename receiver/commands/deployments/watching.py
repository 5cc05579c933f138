"""`deployments watch`: follows a stage until its verdict, for people as a live table, for pipelines as an exit code."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from rich.console import Console
from rich.live import Live

from deploywatch.errors import UnreachableError
from deploywatch.junit import Case, Kind, Suite, Trouble, document
from deploywatch.receiver.client import Client
from deploywatch.receiver.commands.deployments.watch_table import table
from deploywatch.receiver.rendering.text import clean, line
from deploywatch.terminal import say


class Exit(IntEnum):
    """How `watch` and `gate` end; a pipeline that does not know 3 and 4 stops, which is the safe side."""

    PROMOTE = 0
    ROLL_BACK = 1
    USAGE = 2
    HOLD = 3
    ERROR = 4


@dataclass(frozen=True, slots=True)
class Patience:
    """In seconds: how often to ask, how long errors are waited out, how long to wait in all (0: to the end), and
    how long for a person's word while the stage holds for one."""

    every: float
    errors: float
    most: float
    person: float = 0.0


@dataclass(slots=True)
class Watch:
    """Follows one stage; time and sleep are passed in."""

    client: Client
    deployment: int
    stage: str | None
    patience: Patience
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def follow(self, show: Callable[[dict[str, Any] | None, str], None]) -> tuple[Exit, dict[str, Any] | None, str]:
        """Ask until it is decided; the exit code, the last answer, and trouble with reaching the receiver."""
        began, well, last = self.clock(), self.clock(), None
        held: float | None = None
        while True:
            trouble = ""
            try:
                last = self.client.known(
                    f"/deployments/{self.deployment}/verdict",
                    needs=("stage", "verdict", "deployment"),
                    **({"stage": self.stage} if self.stage else {}),
                )
            except UnreachableError as error:
                trouble = str(error)
            now = self.clock()
            # A receiver that cannot judge, because Prometheus is away, is waited out like one that does not answer.
            if not trouble and _answer(last) != "error":
                well = now
            show(last, trouble)
            held = (now if held is None else held) if _waits_for_person(last) else None
            patient = held is not None and now - held < self.patience.person
            if (decided := decided_by(last)) is not None and not trouble and not patient:
                return decided, last, trouble
            # After the decision: what is decided counts, however long it was not to be had.
            if now - well >= self.patience.errors:
                return Exit.ERROR, last, trouble
            if self.patience.most and now - began >= self.patience.most:
                return (Exit.ERROR if trouble or _answer(last) == "error" else Exit.HOLD), last, trouble
            self.sleep(self.patience.every)


def decided_by(answer: dict[str, Any] | None) -> Exit | None:
    """The exit code that an answer of the receiver's means; None while it is not decided."""
    if answer is None:
        return None
    state, verdict = answer["stage"]["state"], answer["verdict"]
    # The stage's state before the verdict's answer: a look may have come after the stage was over.
    if state in ("promoted", "accepted"):
        return Exit.PROMOTE
    if state == "rolled_back" or _answer(answer) == "roll_back":
        return Exit.ROLL_BACK
    if state != "running":
        # Rolled back by hand, overtaken, or given up: the pipeline must not go on.
        return Exit.ROLL_BACK if answer["deployment"]["status"] == "rolled_back" else Exit.HOLD
    if verdict and verdict["answer"] == "promote":
        return Exit.PROMOTE
    return Exit.HOLD if verdict and verdict["reason"] == "needs_person" else None


def _waits_for_person(answer: dict[str, Any] | None) -> bool:
    """Whether the stage goes on and only a person's word is lacking."""
    verdict = (answer or {}).get("verdict")
    return (
        answer is not None
        and bool(verdict)
        and answer["stage"]["state"] == "running"
        and decided_by(answer) is Exit.HOLD
    )


def follow(watch: Watch, form: str) -> Exit:
    """Follow a stage, and print it in this form."""
    if form == "table" and sys.stdout.isatty():
        console = Console(highlight=False)
        with Live(console=console, refresh_per_second=4) as live:
            ended, last, trouble = watch.follow(lambda answer, wrong: live.update(table(answer, wrong, console.width)))
    else:
        lines: list[str] = []

        def show(answer: dict[str, Any] | None, wrong: str) -> None:
            text = wrong or sentence(answer)
            # In a log every look would be a line; only what has changed is worth one.
            if form == "table" and text not in lines[-1:]:
                lines.append(text)
                say(line(text, 400))

        ended, last, trouble = watch.follow(show)
    if form == "json":
        say(
            json.dumps({**(last or {}), "exit": int(ended), "result": ended.name.lower(), "trouble": trouble}, indent=2)
        )
    elif form == "junit":
        say(junit(last, ended, trouble))
    else:
        word = ended.name.lower().replace("_", " ")
        say(line(f"{word}, exit code {ended:d}{f': {trouble}' if trouble else ''}", 400))
    return ended


def sentence(answer: dict[str, Any] | None) -> str:
    """Where a stage stands, in one line."""
    if answer is None:
        return "nothing is known yet"
    stage, verdict = answer["stage"], answer["verdict"]
    if stage["state"] == "accepted":
        return f"{stage['stage']}: {stage['accepted_by']} accepted the hold: {stage['accepted_why']}"
    if verdict is None:
        return f"{stage['stage']}: no look is over yet"
    return f"{stage['stage']}: {verdict['answer']} ({verdict['reason']}): {'; '.join(verdict['sentences'])}"


def junit(answer: dict[str, Any] | None, ended: Exit, trouble: str) -> str:
    """The verdict as JUnit's XML: a test case a limit, and one for the stage."""
    verdict = (answer or {}).get("verdict") or {}
    stage = (answer or {}).get("stage") or {}
    text = trouble or "\n".join(verdict.get("sentences", ())) or "nothing is known"
    cases = [_case(str(stage.get("stage", "stage")), text, _KINDS[ended])]
    for finding in verdict.get("findings", ()):
        text_of_limit = next(
            (sentence for sentence in verdict["sentences"] if sentence.startswith(finding["name"])), ""
        )
        cases.append(_case(finding["name"], text_of_limit, _AGREES.get(finding["agrees"], "skipped")))
    name = clean(f"deployment {stage.get('deployment', '')}".strip())
    return document("deploywatch deployments watch", [Suite(name, cases)])


_AGREES: dict[str, Kind | None] = {"roll_back": "failure", "promote": None}
_KINDS: dict[Exit, Kind | None] = {
    Exit.PROMOTE: None,
    Exit.ROLL_BACK: "failure",
    # JUnit has no word for "not yet"; whatever is not promoted must not look green.
    Exit.HOLD: "failure",
    Exit.ERROR: "error",
    Exit.USAGE: "error",
}


def _case(name: str, text: str, kind: Kind | None) -> Case:
    plain = clean(text)
    # An attribute has no lines.
    troubles = (Trouble(kind, line(plain.replace("\n", "; "), 300), text=plain),) if kind else ()
    return Case(clean(name), "deploywatch.verdict", troubles=troubles)


def _answer(answer: dict[str, Any] | None) -> str:
    verdict = (answer or {}).get("verdict")
    return str(verdict["answer"]) if verdict else ""
