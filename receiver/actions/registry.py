"""Every action, by its name, and which handler does which kind of their jobs."""

from __future__ import annotations

import pkgutil
from collections.abc import Awaitable, Callable, Mapping
from importlib import import_module
from typing import Final, get_args

from deploywatch.receiver import actions
from deploywatch.receiver.actions import investigate, log, run, scale, status_page, ticket
from deploywatch.receiver.actions.rollback import action as rollback
from deploywatch.receiver.context import Context
from deploywatch.receiver.escalation import escalate, open_too_long
from deploywatch.receiver.incidents.case import Action
from deploywatch.receiver.jobs.job import Job
from deploywatch.receiver.jobs.retry import Outcome
from deploywatch.receiver.notify import digest, notify
from deploywatch.receiver.settings.strategy import ActionName

_DECLARED: Final = (
    rollback.ACTION,
    scale.ACTION,
    notify.ACTION,
    escalate.ACTION,
    investigate.ACTION,
    log.ACTION,
    ticket.ACTION,
    status_page.ACTION,
    run.ACTION,
)
ACTIONS: Final[Mapping[str, Action]] = {action.name: action for action in _DECLARED}
"""Every action; each has a module of its name that declares it, and a page in docs/actions."""

if forgotten := set(get_args(ActionName)) ^ ACTIONS.keys():
    raise TypeError(
        f"{', '.join(sorted(forgotten))}: name an action in ActionName (settings/strategy.py), declare it as ACTION in "
        "its module, and list it here"
    )

for _module in pkgutil.iter_modules(actions.__path__, f"{actions.__name__}."):
    if getattr(import_module(_module.name), "ACTION", _DECLARED[0]) not in _DECLARED:
        raise TypeError(
            f"{_module.name} declares an ACTION that is not listed: add it to _DECLARED in actions/registry.py"
        )

HANDLERS: Final[Mapping[str, Callable[[Context, Job], Awaitable[Outcome]]]] = {
    **{kind: handler for action in _DECLARED for kind, handler in action.handlers.items()},
    # They follow from any action: people hear what joined, and an incident that stays is escalated.
    digest.KIND: digest.handle,
    open_too_long.KIND: open_too_long.handle,
}
