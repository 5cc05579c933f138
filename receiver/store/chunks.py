"""Values in portions: SQLite takes a bounded number of them in one statement."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

K = TypeVar("K", int, str)


# SQLite takes 999 variables in a statement of its older versions.
SIZE = 500


def chunks(items: Iterable[K]) -> Iterable[list[K]]:
    """SQLite takes a bounded number of values in one statement."""
    whole = sorted(set(items))
    return (whole[start : start + SIZE] for start in range(0, len(whole), SIZE))
