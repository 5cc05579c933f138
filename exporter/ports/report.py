"""A review of ports as people, CI servers and scripts read it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from deploywatch.exporter.ports.claims import Claim
from deploywatch.exporter.ports.conflicts import Conflict
from deploywatch.junit import Case, Suite, Trouble, document
from deploywatch.terminal import as_json, clean, say


@dataclass(frozen=True, slots=True)
class Review:
    """What was looked at, what is at odds, and what could not be seen."""

    claims: tuple[Claim, ...]
    conflicts: tuple[Conflict, ...]
    notes: tuple[str, ...] = ()

    @property
    def summary(self) -> str:
        """One sentence."""
        entries = sum(claim.kind == "registry" for claim in self.claims)
        files = len({claim.origin.file for claim in self.claims if claim.kind != "registry"})
        conflicts = f"{len(self.conflicts)} conflict{'' if len(self.conflicts) == 1 else 's'}"
        claimed = f"{len(self.claims) - entries} claimed in {files} file{'' if files == 1 else 's'}"
        return f"{conflicts}; {entries} registered, {claimed}"


def table(review: Review) -> None:
    """Print each conflict with its place and the free ports, then the notes and how many there are."""
    # Not wrapped: a line that is cut cannot be searched for, nor clicked on as FILE:LINE.
    console = Console(highlight=False, soft_wrap=True)
    for conflict in review.conflicts:
        console.print(Text(_line(conflict), style="red"))
    for note in review.notes:
        console.print(Text(_line(note), style="yellow"))
    console.print(Text(_line(review.summary)))


def ci(review: Review, *, annotate: bool = False) -> None:
    """Print a line a conflict, `file:line:column: message`; with `annotate`, as GitHub's workflow commands too."""
    for conflict in review.conflicts:
        say(_line(conflict))
        if annotate:
            origin = conflict.claim.origin
            # GitHub shows it beside the line of the file in a pull request.
            place = f"file={_escaped(origin.file)},line={origin.line},col={origin.column}"
            say(f"::error {place},title=port conflict::{_escaped(_line(conflict))}")
    for note in review.notes:
        say(f"note: {_line(note)}")
    say(review.summary)


def _line(text: object) -> str:
    """One line, whatever the files say: a second one could be a command to the runner that reads this."""
    return " ".join(clean(str(text)).split("\n"))


def _escaped(text: str) -> str:
    # `%` first: the others are written with one.
    for sign in "%\r\n,:":
        text = text.replace(sign, f"%{ord(sign):02X}")
    return text


def json(review: Review) -> None:
    """Print all of it as JSON."""
    conflicts = [
        {
            "trouble": str(conflict.trouble),
            "message": conflict.message,
            "ports": str(conflict.ports),
            "claim": _claim(conflict.claim),
            "other": _claim(conflict.other) if conflict.other else None,
            "suggestion": str(conflict.suggestion) if conflict.suggestion else None,
        }
        for conflict in review.conflicts
    ]
    claims = [_claim(claim) for claim in review.claims]
    say(as_json({"conflicts": conflicts, "claims": claims, "notes": list(review.notes)}))


def _claim(claim: Claim) -> dict[str, Any]:
    return {
        "service": claim.service,
        "environment": claim.environment,
        "start": claim.ports.start,
        "end": claim.ports.end,
        "protocol": claim.protocol,
        "host": claim.address or claim.machine or None,
        "description": claim.description or None,
        "kind": claim.kind,
        "file": claim.origin.file,
        "line": claim.origin.line,
        "column": claim.origin.column,
    }


def junit(review: Review) -> None:
    """Print JUnit's XML: a suite an environment, a case a claim."""
    suites = []
    for environment in dict.fromkeys(claim.environment for claim in review.claims):
        claims = [claim for claim in review.claims if claim.environment == environment]
        suites.append(Suite(_line(environment), [_case(claim, review.conflicts) for claim in claims]))
    say(document("deploywatch ports", suites))


def _case(claim: Claim, conflicts: Sequence[Conflict]) -> Case:
    troubles = (
        Trouble("failure", _line(conflict), str(conflict.trouble)) for conflict in conflicts if conflict.claim is claim
    )
    return Case(_line(claim), _line(f"{claim.environment}.{claim.kind}"), troubles=tuple(troubles))


FORMATS: dict[str, Callable[[Review], None]] = {"table": table, "json": json, "junit": junit}


def show(claims: Sequence[Claim]) -> None:
    """Print all claims as a table, by environment and port."""
    columns = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("Environment", "Ports", "Protocol", "Host", "Service", "Description", "From"):
        columns.add_column(title, overflow="fold")
    for claim in sorted(claims, key=lambda claim: (claim.environment, claim.ports, claim.protocol)):
        host = claim.address or claim.machine or "*"
        cells = (claim.environment, str(claim.ports), claim.protocol, host, claim.service, claim.description)
        columns.add_row(*(Text(_line(cell)) for cell in (*cells, str(claim.origin))))
    Console(highlight=False).print(columns)
