"""The figures of the sources' documents, line by line, and of the catalogue of what they ask for, row by row.

The documents themselves are not part of the project: `python -m tests.rules.sources.figures DOCUMENTS CATALOGUE`, where
they are at hand, writes `figures.txt`. It has a line for each line of a document that has a figure, and for each row of
the catalogue. What is a figure and never a threshold is left out by its kind, and only by that.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

FIGURES = Path(__file__).parent / "figures.txt"
NO_FIGURES = {
    "the number of a list's item, of a heading, a step or a level": (
        r"^\s*(?:#+\s*)?\d+\. |^\s*-? ?\[?\d+\]\(|\b(?:Phase|Stage|Layer) \d(?!-)|layer_\d|\bPhase:\*\* \d+"
        r"|\bL\d\b|\bP[123]\b|SEV-\d|Severity \d|next_6_hours|#+ \d+\."
    ),
    "a version": r"\bv?\d+\.\d+\.\d+\b|Version\W*\d+\.\d+|\bv\d+\b",
    "a date or a time of day": r"\d{4}-\d\d-\d\d(?:T[\d:.]+Z)?|\w+ \d+, \d{4}|\b\d\d:\d\d(?::\d\d)?\b|\d{8}-\d{3}",
    "the window of a rate": r"\[\d+[mh]\]",
    "a class of statuses": r"5\.\.|\b[245]xx\b",
    "the name of a quantile": r"[Pp]9[59]|histogram_quantile\(0\.9[59]|\b9[59]th",
    "a port": r"(?:localhost|prometheus|elasticsearch|kafka):\d+|'port': \d+|:3000\b|\b\d{4}:\d{4}|\[3200\]|3050,",
    "a count that begins": r"return 0;|[:=] 0(?:\.0)?,?$|\+= 1$|duration: 0,|max\(0,|\[-1\]",
    "how a number is printed": r":\.\d[f%]",
    "a place in an answer": r"result\[0\]\.value\[1\]",
    "whether there is anything": r"(?:> |-ne |=== )0\b(?!\.)|> 1:|: 0$|else 0$",
    "the code that a program ends with": r"\bexit 1\b",
    "the status of an answer in code": r"StatusCode\(503|status\(\d{3}\)|^- 50[03] ",
    "a factor of a unit": r"\* (?:100|1000|60)\b|100 - |\(1 - |\b5 \* 60 \* 1000|/ totalRequests \* 100",
    "a number of lines or of processes": r"--tail=\d+|replicas\"?[=:] ?\d+|maxReplicas\": \d+",
    "what a container may use": r"\"(?:cpu|memory)\": \"\d+\w+\"",
    "a telephone number": r"1-800-AWS",
    "an example's value": (
        r"increased from 20 to 50|Duration: 40|\"uptime\": 86400|\"duration_seconds\": 45|from 20|progress in 15 min"
        r"|ETA: 15 minutes"
    ),
}
"""By kind, what has a digit in the documents and is no figure that a system could be held to."""
_FIGURE = re.compile(r"(?<![\w.])(\d+(?:,\d{3})*(?:\.\d+)?|\.\d+)")
_ROW = re.compile(r"^\| ([VBMPWX]\d+[a-z]?) \|(.*)$")


def figures_of(line: str) -> list[str]:
    """What is left of a line once what is no figure is taken out."""
    for pattern in NO_FIGURES.values():
        line = re.sub(pattern, " ", line)
    return [found.replace(",", "") for found in _FIGURE.findall(line)]


def _documents(folder: Path) -> Iterator[str]:
    for path in sorted(folder.glob("*.txt")):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if figures := figures_of(line):
                yield f"{path.name[:3]}:{number} {' '.join(figures)}"


def _catalogue(path: Path) -> Iterator[str]:
    for line in path.read_text().splitlines():
        if (row := _ROW.match(line)) and (figures := figures_of(row[2])) and not row[1].startswith("X"):
            yield f"{row[1]} {' '.join(figures)}"


if __name__ == "__main__":
    FIGURES.write_text("\n".join([*_documents(Path(sys.argv[1])), *_catalogue(Path(sys.argv[2]))]) + "\n")
