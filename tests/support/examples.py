"""How many examples hypothesis tries: a quarter in the gate; all in scripts/heavy and scripts/mutate."""

from __future__ import annotations

import hypothesis

_PROFILES = {"patient": 25, "thorough": 100}


def register() -> None:
    """Register the profiles, and load the gate's."""
    for name, count in _PROFILES.items():
        # How long an example takes says more of the machine's other work than of the code.
        hypothesis.settings.register_profile(
            name, max_examples=count, deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
        )
    hypothesis.settings.load_profile("patient")


def examples(thorough: int) -> int:
    """How many to try of a test that is thorough with so many."""
    return max(3, thorough // 4) if hypothesis.settings.get_current_profile_name() == "patient" else thorough
