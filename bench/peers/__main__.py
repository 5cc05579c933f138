"""Brings situations about beside the peers, and writes the page of what each said."""

from __future__ import annotations

import argparse
import asyncio
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from bench.peers import beside_blackbox, beside_postgres, beside_redis
from bench.peers.scene import Scene, environment_of_tests, our_words, program
from bench.peers.situation import SITUATIONS, Situation
from deploywatch.demo.processes import Processes

PARTS = (beside_blackbox, beside_postgres, beside_redis)
"""The modules that enter situations."""

_PEERS = {
    "blackbox_exporter": "prometheus-blackbox-exporter",
    "postgres_exporter": "prometheus-postgres-exporter",
    "redis_exporter": "prometheus-redis-exporter",
}
_HEAD = """# Beside its peers

What blackbox_exporter, postgres_exporter and redis_exporter say, and what deploywatch says, in {count} situations. Each
row is from a run of `scripts/peers`, with real servers on one machine; the script writes this page, and fails when one
of our answers is not what it has to be. Last run on {date}, with {versions} as Debian has them. Ports, folders and
times are left out.

A peer's answer is what its metrics say, and the error that is in its log or debug output, where there is one: whoever
looks at the metrics alone does not see it. Ours is in `probe_failure_info`, on the page, in `/health` and in the log.
"""


async def rows(wanted: list[Situation], folder: Path) -> list[tuple[Situation, str, str, bool]]:
    """What each said, and whether ours was right."""
    compared = []
    with Processes(folder / "logs") as processes:
        scene = Scene(processes, folder)
        for situation in wanted:
            async with scene.stack:
                pair = await situation.bring_about(scene)
            values = {
                sample.family.name + "".join(f"{{{name}={value}}}" for name, value in sample.labels): sample.value
                for sample in pair.ours.samples
            }
            right = situation.right(pair.ours, values)
            compared.append((situation, plain(pair.theirs, folder), plain(our_words(pair), folder), right))
            print(f"{'right' if right else 'WRONG'}: {situation.name}: {compared[-1][2]}", file=sys.stderr)
    return compared


def plain(text: str, folder: Path) -> str:
    """The text as a cell of a table, without what is another in each run."""
    # What differs from run to run would make the page change where no answer did.
    text = text.replace(str(folder), "…")
    text = re.sub(r"(?:read|write) tcp \S+:\d+->\S+: ", "", text)
    text = re.sub(r"(127\.0\.0\.\d+|localhost\.?|\[::1(?:%\w+)?\]|node\w*|\b127\.0\.0\.1):\d{4,5}", r"\1:…", text)
    text = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z?", "…", text)
    text = re.sub(r" on \d+\.\d+\.\d+\.\d+:53", "", text)
    text = re.sub(r"port \d{4,5}", "port …", text)
    return text.replace("\n", " ").replace("|", "\\|").strip()


def page(compared: list[tuple[Situation, str, str, bool]]) -> str:
    """The page."""
    versions = ", ".join(f"{name} {_version(command)}" for name, command in _PEERS.items())
    lines = [_HEAD.format(count=len(compared), date=f"{datetime.now(UTC):%Y-%m-%d}", versions=versions)]
    number = 0
    for peer in _PEERS:
        lines += [f"## {peer}", "", f"| # | situation | {peer} | deploywatch |", "| --- | --- | --- | --- |"]
        for situation, theirs, ours, right in compared:
            if situation.peer == peer:
                number += 1
                lines.append(f"| {number} | {situation.name} | {theirs} | {ours}{'' if right else ' **WRONG**'} |")
        lines.append("")
    return "\n".join(lines)


def _version(command: str) -> str:
    ran = subprocess.run([program(command), "--version"], capture_output=True, text=True, check=False)
    match = re.search(r"(?:version|Exporter) (\d[\w.]*)", ran.stdout + ran.stderr)
    return match[1] if match else "of an unknown version"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page; 1 when an answer of ours is wrong."""
    parser = argparse.ArgumentParser(prog="bench.peers", description=__doc__)
    parser.add_argument("page", type=Path, help="the file that is written")
    parser.add_argument("words", nargs="*", help="only situations whose names have one of these words")
    options = parser.parse_args(arguments)
    environment_of_tests()
    written, words = options.page, options.words
    wanted = [situation for situation in SITUATIONS if not words or any(word in situation.name for word in words)]
    with tempfile.TemporaryDirectory(prefix="deploywatch-peers-", ignore_cleanup_errors=True) as folder:
        # Servers run under users of their own, and have to read it.
        Path(folder).chmod(0o755)
        compared = asyncio.run(rows(wanted, Path(folder)))
    written.write_text(page(compared))
    wrong = [situation.name for situation, _, _, right in compared if not right]
    print(f"{len(compared)} situations, {len(wrong)} wrong: {'; '.join(wrong)}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
