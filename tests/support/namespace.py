"""Commands in a network namespace of their own, which is the kernel's own way to a network that swallows packets."""

from __future__ import annotations

import os
import shutil

import pytest

NEEDS = "a network namespace of its own (root, unshare, ip)"


def apart(script: str, *arguments: str, mounts: bool = False) -> list[str]:
    """The command that runs a shell script there, with `mounts` of its own too; skipped, loudly, where it cannot be."""
    if os.geteuid() != 0 or not (shutil.which("unshare") and shutil.which("ip")):
        pytest.skip(f"NOT TESTED HERE: it needs {NEEDS}")
    whole = f"set -e\nip link set lo up\n{script}"
    return ["unshare", "--net", *(["--mount"] if mounts else []), "sh", "-c", whole, "sh", *arguments]
