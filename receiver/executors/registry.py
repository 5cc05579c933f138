"""Which executor carries out which plan."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, Final

from deploywatch.receiver.executors import command, http
from deploywatch.receiver.executors.plan import Means, Result
from deploywatch.receiver.settings.executors import plan as plans
from deploywatch.receiver.settings.executors.plan import Call, Plan, Steps

EXECUTORS: Final[dict[type[Plan], Callable[[Any, Means, timedelta], Awaitable[Result]]]] = {
    Steps: command.perform,
    Call: http.perform,
}

# At import: of a plan that nobody carries out would else be heard when it is to be carried out.
for _kind in vars(plans).values():
    if isinstance(_kind, type) and hasattr(_kind, "programs") and _kind not in {Plan, *EXECUTORS}:
        raise TypeError(f"nobody carries out {_kind.__name__}: add its executor to EXECUTORS in executors/registry.py")


async def perform(plan: Plan, means: Means, limit: timedelta) -> Result:
    """Carry a plan out, within the limit; never raises for what goes wrong outside."""
    return await EXECUTORS[type(plan)](plan, means, limit)
