"""Modules of a blackbox.yml that cannot run: each is refused by itself, and the rest of the file works."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from deploywatch.config import faults_of_part
from deploywatch.document import Document, path_text
from deploywatch.errors import Problem
from deploywatch.exporter.settings.blackbox import PROBERS, BlackboxModule
from deploywatch.exporter.settings.modules import Module

Refusals = Mapping[str, tuple[Problem, ...]]
"""The modules that are refused, each with what is wrong with it and where."""


def take_out(document: Document, base: Path) -> Refusals:
    """Take the modules that cannot run, and what is wrong with them, out of a document."""
    modules = document.data.get("modules") if isinstance(document.data, dict) else None
    if not isinstance(modules, dict):
        return {}
    refusals: dict[str, tuple[Problem, ...]] = {}
    for name, entry in list(modules.items()):
        if not isinstance(entry, dict) or "prober" not in entry:
            continue
        problems = _taken(document, name) + _faults(document, name, entry, base)
        if problems:
            refusals[name] = tuple(sorted(problems))
            del modules[name]
    return refusals


def _faults(document: Document, name: str, entry: Mapping[str, object], base: Path) -> list[Problem]:
    """What is wrong with a module in blackbox_exporter's words; where nothing is, what is wrong with it in ours."""
    path = ("modules", name)
    problems = faults_of_part(document, path, BlackboxModule, base)
    prober = entry["prober"]
    part = PROBERS.get(prober) if isinstance(prober, str) else None
    if part is not None and entry.get(str(prober)) is not None:
        problems += faults_of_part(document, (*path, str(prober)), part, base)
    return problems or faults_of_part(document, path, Module, base)


def _taken(document: Document, name: str) -> list[Problem]:
    """The problems that reading the file has found within a module, which are then the module's alone."""
    path = path_text(("modules", name))
    own = [problem for problem in document.problems if problem.path == path or problem.path.startswith(f"{path}.")]
    document.problems = [problem for problem in document.problems if problem not in own]
    return own


def told(problems: tuple[Problem, ...]) -> str:
    """Why a module is refused, on one line."""
    return "; ".join(str(problem) for problem in problems)
