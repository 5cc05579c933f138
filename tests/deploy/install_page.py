"""The commands by which docs/install.md brings deploywatch to a Debian without anything; `scripts/units` runs them."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "install.md"


def commands() -> str:
    """The blocks of the section in their order, but the last one: it asks what runs by then."""
    (section,) = re.findall(r"^## A Debian without anything.*?\n(.*?)^## ", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    *install, _ask = re.findall(r"^```\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    return "".join(install)


def last() -> str:
    """The section's last command, which asks the receiver."""
    text = PAGE.read_text().split("## A container")[0]
    last_block: str = re.findall(r"^```\n(.*?)^```", text, re.MULTILINE | re.DOTALL)[-1]
    return last_block.strip()


if __name__ == "__main__":
    print(commands())  # noqa: T201
