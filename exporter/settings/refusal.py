"""Modules of a blackbox.yml that cannot run: each is refused by itself, and the rest of the file works."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from deploywatch.config import faults_of_part
from deploywatch.errors import Problem
from deploywatch.exporter.settings.blackbox import PROBERS, BlackboxModule, translated
from deploywatch.exporter.settings.blackbox.places import told_as_there
from deploywatch.exporter.settings.modules import Module
from deploywatch.files.document import Document, path_text
from deploywatch.files.document import Path as KeyPath

Fault = tuple[KeyPath, str]

Refusals = Mapping[str, tuple[Problem, ...]]
"""The modules that are refused, each with what is wrong with it and where."""


def take_out(document: Document, base: Path) -> Refusals:
    """Take the modules that cannot run, and what is wrong with them, out of a document."""
    modules = document.data.get("modules") if isinstance(document.data, dict) else None
    if not isinstance(modules, dict):
        return {}
    refusals: dict[str, tuple[Problem, ...]] = {}
    for name, entry in list(modules.items()):
        if entry is None:
            refusals[name] = _empty(document, name)
            del modules[name]
        # Only blackbox_exporter's form: a fault in our own form is refused with the whole file, as in any of its keys.
        if not isinstance(entry, dict) or "prober" not in entry:
            continue
        problems = _taken(document, name) + _faults(document, name, entry, base)
        if problems:
            refusals[name] = tuple(sorted(problems))
            del modules[name]
    return refusals


def _empty(document: Document, name: str) -> tuple[Problem, ...]:
    """What is wrong with a module that says nothing; blackbox_exporter loads it, and each of its probes fails."""
    whole = Document(document.file, document.data, document.places)
    whole.report(("modules", name), "says nothing; write its prober, such as `prober: http`, or take it out")
    return tuple(whole.problems)


def _faults(document: Document, name: str, entry: Mapping[str, Any], base: Path) -> list[Problem]:
    """What is wrong with a module in blackbox_exporter's words, and what is wrong with the rest of it in ours."""
    path = ("modules", name)
    faults = faults_of_part(document, path, entry, BlackboxModule, base)
    prober = str(entry["prober"])
    part, section = PROBERS.get(prober), entry.get(prober)
    if part is not None and section is not None:
        of_section = faults_of_part(document, (*path, prober), section, part, base)
        faults += [((prober, *below), message) for below, message in of_section]
    faults += [told_as_there(prober, *fault) for fault in _in_our_words(document, name, entry, base, faults)]
    # A document of its own, so that these faults do not become faults of the file.
    whole = Document(document.file, document.data, document.places)
    for below, message in faults:
        whole.report((*path, *below), message)
    return whole.problems


def _in_our_words(
    document: Document, name: str, entry: Mapping[str, Any], base: Path, faults: Sequence[Fault]
) -> list[Fault]:
    """The faults that only the translation shows, of what is left of a module without the keys that are faulty."""
    prober = str(entry["prober"])
    # What is faulty already is left out, lest the same fault be told twice, in their words and in ours.
    faulty = {below[1] for below, _ in faults if len(below) > 1 and below[0] == prober}
    section = entry.get(prober)
    rest = {key: value for key, value in entry.items() if (key,) not in {below for below, _ in faults}}
    if isinstance(section, dict):
        rest[prober] = {key: value for key, value in section.items() if key not in faulty}
    try:
        translated(rest, base)
    except ValueError:
        # What is left cannot be read without what is faulty.
        return [] if faults else faults_of_part(document, ("modules", name), rest, Module, base)
    return faults_of_part(document, ("modules", name), rest, Module, base)


def _taken(document: Document, name: str) -> list[Problem]:
    """The problems that reading the file has found within a module, which are then the module's alone."""
    path = path_text(("modules", name))
    own = [problem for problem in document.problems if problem.path == path or problem.path.startswith(f"{path}.")]
    document.problems = [problem for problem in document.problems if problem not in own]
    return own


def told(problems: tuple[Problem, ...]) -> str:
    """Why a module is refused, on one line."""
    return "; ".join(str(problem) for problem in problems)
