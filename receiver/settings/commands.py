"""What the programs that the receiver runs find in their environment."""

from __future__ import annotations

import os
import re
from typing import Annotated

from pydantic import AfterValidator

from deploywatch.config import Settings

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def _known(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not a variable's name, such as KUBECONFIG; values are not written here")
        if name not in os.environ:
            raise ValueError(f"the environment variable {name} is not set; set it, or leave its name out")
    return names


class Commands(Settings):
    """Beside PATH, HOME and LANG, programs find those variables of the receiver's environment that are named."""

    environment: Annotated[tuple[str, ...], AfterValidator(_known)] = ()
