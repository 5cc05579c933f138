"""The live table of `deployments watch`, as a terminal shows it at a given width."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from deploywatch.receiver.commands.deployments.watch_table import table

_COUNTS = {"bad": 12, "requests": 1904, "control_bad": 9, "control_requests": 17210}
_NAMES = ("error_ratio > 0.5%", "rise(error_ratio) > 25%")


def answer(state: str = "running", verdict: tuple[str, str] | None = ("hold", "low_traffic"), **more: Any) -> Any:
    """What the receiver says of a stage; `sentences` and `counts` of the verdict may be given."""
    sentences, counts = more.get("sentences", ("412 more requests, 9 min at this rate",)), more.get("counts", _COUNTS)
    findings = [{"name": name, "counts": counts} for name in _NAMES]
    return {
        "deployment": {"service": "shop", "version": "1.2.4", "environment": "production", "status": "running"},
        "stage": {
            "stage": "canary-10",
            "share": 0.1,
            "state": state,
            "lasts_seconds": 900.0,
            "deployment": 12,
            "accepted_by": "ann",
            "accepted_why": "it is night",
        },
        "verdict": dict(zip(("answer", "reason"), verdict, strict=True), sentences=sentences, findings=findings)
        if verdict
        else None,
        "evidence": [
            {"name": name, "bad": 0.999, "good": 0.5, "relative": name.startswith("rise")}
            for name in (_NAMES if verdict else ())
        ],
        "elapsed_seconds": 200.9,
        "at_most_seconds": 2700.0,
    }


def shown(told: Any, trouble: str = "", *, width: int = 80) -> str:
    """The table as text."""
    console = Console(width=width, highlight=False, file=io.StringIO())
    with console.capture() as capture:
        console.print(table(told, trouble, width))
    return "\n".join(line.rstrip() for line in capture.get().splitlines())


def test_a_narrow_terminal_shows_each_limit_in_lines_of_its_own() -> None:
    assert shown(answer()) == (
        """\
shop 1.2.4 into production: stage canary-10, 10% of the traffic
3m20s of at least 15m; after 45m a person is asked
HOLD: not decided yet; it goes on being watched
  412 more requests, 9 min at this rate

error_ratio > 0.5%
  bad in 1.2.4 12 of 1,904 (0.63%); in the old version 9 of 17,210 (0.05%)
  proven bad  ███████████████████·  proven good ██████████··········
rise(error_ratio) > 25%
  bad in 1.2.4 12 of 1,904 (0.63%); in the old version 9 of 17,210 (0.05%)
  proven bad  ███████████████████·"""
    )


def test_a_wide_terminal_shows_each_limit_in_a_row() -> None:
    *_, head, absolute, relative = shown(answer(), width=120).splitlines()
    assert head.split("  ")[0::1][0] == "limit"
    assert [word in head for word in ("proven bad", "proven good", "bad in 1.2.4", "bad in the old version")] == [
        True
    ] * 4
    assert absolute.endswith("12 of 1,904 (0.63%)  9 of 17,210 (0.05%)")
    assert relative.count("█") == 19
    assert max(len(line) for line in (head, absolute, relative)) <= 120


def test_without_an_old_version_at_the_same_time_nothing_is_said_of_one() -> None:
    alone = {**_COUNTS, "control_bad": None, "control_requests": None}
    for width in (80, 120):
        assert "old version" not in shown(answer(counts=alone), width=width)


@pytest.mark.parametrize(
    ("told", "text"),
    [
        (answer(verdict=None), "WAITING: the first look is not over yet"),
        (answer(verdict=("promote", "proven_good")), "PROMOTE: proven good"),
        (answer("promoted", ("promote", "proven_good")), "PROMOTED: the stage is over"),
        (answer("rolled_back", ("roll_back", "proven_bad")), "ROLL BACK: proven bad; the receiver rolls it back"),
        (answer(verdict=("hold", "needs_person")), "a person must decide: deploywatch deployments accept-hold 12"),
        (answer("accepted"), "ACCEPTED by ann: it is night"),
        (answer(verdict=("error", "source")), "ERROR: it cannot be judged now; nothing is promoted or rolled back"),
        (answer("superseded"), "OVER: the next stage began before this one was proven good"),
        (answer("ended"), "OVER: undecided; it was rolled back by hand, failed, was overtaken, or nobody finished it"),
    ],
)
def test_the_headline_says_what_was_decided_and_what_to_do(told: Any, text: str) -> None:
    assert text in shown(told, width=120)


def test_what_it_shows_while_the_receiver_is_away_is_called_the_last_that_it_said() -> None:
    text = shown(answer(), "connection refused", width=120)
    assert "the receiver does not answer, this is the last that it said: connection refused" in text
    assert "HOLD" in text
    assert shown(None, "connection refused") == "connection refused"


def test_names_and_sentences_are_text_and_neither_markup_nor_control() -> None:
    text = shown(answer(sentences=("[bold]x[/bold] \x1b[2J",)), width=120)
    assert "[bold]x[/bold]" in text
    assert "\x1b" not in text


def test_many_sentences_are_cut_and_said_to_be() -> None:
    text = shown(answer(sentences=tuple(f"sentence {number}" for number in range(20))))
    assert "sentence 11" in text
    assert "sentence 12" not in text
    assert "and 8 more: --format json has them all" in text
