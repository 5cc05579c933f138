"""Prints what docs/ports.md writes into `.pre-commit-config.yaml`, with the repository and the revision that are given.

python -m tests.deploy.hook_page REPOSITORY REVISION
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "ports.md"


def config(repository: str, revision: str) -> str:
    """The page's own lines, but for where it comes from."""
    blocks = re.findall(r"^```yaml\n(repos:\n.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 1, f"{PAGE.name} has {len(blocks)} configurations for pre-commit"
    text, repositories = re.subn(r"(repo: )\S+.*", rf"\g<1>{repository}", blocks[0])
    text, revisions = re.subn(r"(rev: )\S+", rf"\g<1>{revision}", text)
    assert (repositories, revisions) == (1, 1)
    return text


if __name__ == "__main__":
    sys.stdout.write(config(*sys.argv[1:3]))
