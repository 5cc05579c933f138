"""Where the policies that come with deploywatch are, in a checkout as in an installed wheel."""

from __future__ import annotations

from pathlib import Path

POLICIES = Path(__file__).parent / "policies"
GENERATED = Path(__file__).parent / "generated"
"""What each of them builds to, in a folder of its name."""
