"""Reads policies from files; every fault of every file comes at once, with its place."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from deploywatch import config
from deploywatch.errors import ConfigError, Problem
from deploywatch.files.document import Document
from deploywatch.rules import checks
from deploywatch.rules.conditions.objectives import expanded
from deploywatch.rules.policy import Policy
from deploywatch.rules.presets import PRESETS, filled_in


def load_all(paths: Sequence[Path], *, variables: Mapping[str, str] | None = None) -> tuple[Policy, ...]:
    """Read each file; ConfigError carries the faults of all of them, two policies of one name among them."""
    policies: list[Policy] = []
    problems: list[Problem] = []
    named: dict[str, Path] = {}
    for path in paths:
        try:
            policy = load(path, variables=variables)
        except ConfigError as error:
            problems += error.problems
            continue
        if policy.policy in named:
            message = f"{named[policy.policy]} has a policy of this name too; give each its own"
            problems.append(Problem(str(path), 0, 0, "policy", message))
        named.setdefault(policy.policy, path)
        policies.append(policy)
    if problems:
        raise ConfigError(problems)
    return tuple(policies)


def load(path: Path, *, variables: Mapping[str, str] | None = None) -> Policy:
    """Read one file, with `${VAR}` from `variables` (the environment, when not given)."""
    return checked(config.read_file(path, os.environ if variables is None else variables), path.parent)


def checked(document: Document, base: Path) -> Policy:
    """The policy that a document says, whose files are looked for in `base`; ConfigError carries every fault."""
    _fill_in(document)
    policy: Policy | None = None
    try:
        policy = config.build(document, Policy, base=base)
    except ConfigError:
        if document.data is None:
            raise
    draft = checks.draft(document.data)
    for check in checks.CHECKS:
        for fault in check(draft):
            document.report(fault.path, fault.message, offset=fault.offset)
    if document.problems or policy is None:
        raise ConfigError(document.problems)
    return expanded(policy)


def _fill_in(document: Document) -> None:
    """Put what the presets say under `series`; a preset that nobody knows is the model's to refuse."""
    data = document.data if isinstance(document.data, dict) else {}
    named, series = data.get("preset"), data.get("series", {})
    names = [named] if isinstance(named, str) else named
    if not isinstance(names, list) or not isinstance(series, dict):
        return
    if all(isinstance(name, str) and name in PRESETS for name in names):
        data["series"] = filled_in(series, names)
