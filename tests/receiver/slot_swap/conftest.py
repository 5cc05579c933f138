"""The flow is a client of the receiver's: which database that has is tested elsewhere."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest


@pytest.fixture
def store_url(empty_store: Path, tmp_path: Path) -> str:
    """A file."""
    shutil.copy(empty_store, tmp_path / "store.db")
    return f"sqlite:///{tmp_path}/store.db"
