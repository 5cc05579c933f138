"""Who may say yes to a rollback: whom the configuration names, by what was verified and not by what is claimed."""

from __future__ import annotations

from dataclasses import dataclass

from deploywatch.receiver.deployments.deployment import Deployment
from deploywatch.receiver.rendering.lookalikes import folded
from deploywatch.receiver.settings.actions.rollback import Approval


@dataclass(frozen=True, slots=True)
class Answerer:
    """Who answers: the names or Slack IDs that were `verified`, and others that they go by (`known_as`)."""

    verified: frozenset[str] = frozenset()
    known_as: frozenset[str] = frozenset()


def refused(settings: Approval, who: Answerer, deployment: Deployment | None) -> str:
    """The sentence why this person's yes does not count, or empty; what is not known counts against it."""
    shown = ", ".join(sorted(who.verified)) or "a name that nobody verified"
    if settings.approvers and not who.verified & set(settings.approvers):
        return f"{shown} may not approve rollbacks; rollback.approval.approvers names who may"
    if not settings.not_deployer:
        return ""
    if not who.verified:
        return "who deployed it may not approve its rollback (not_deployer), and nobody verified that this is another"
    if deployment is None or not deployment.deployer:
        return "who deployed it may not approve its rollback (not_deployer), and the ledger does not say who that was"
    # Folded, as `Ada@Example.org` in a pipeline and `ada@example.org` at sign-in are one person.
    if folded(deployment.deployer) in map(folded, who.verified | who.known_as):
        return f"{deployment.deployer} deployed it, and may not approve its rollback (not_deployer)"
    return ""
