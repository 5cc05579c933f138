"""Targets from files that change: Prometheus's file_sd format, in JSON or YAML, looked at by name and time of change.

What a file said last stays when it cannot be read or is wrong; a file that is gone takes its targets along.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deploywatch import conventions, logs
from deploywatch.config import nearest, read_file
from deploywatch.errors import ConfigError, DeploywatchError
from deploywatch.exporter.config import ExporterSettings
from deploywatch.exporter.settings.discovery import Discovery
from deploywatch.exporter.settings.modules import TargetError
from deploywatch.exporter.targets import Key, Target, make_target
from deploywatch.secrets import redact_url

log = logs.get("exporter")

MODULE = "module"
"""The label of a target group that names another module than the config does."""

Stamp = tuple[int, int, int]


class TargetFileError(DeploywatchError):
    """A file of targets that cannot be read, or does not say what it must."""


@dataclass(slots=True)
class Known:
    """What is known of one file: how it looked when it was read, what it said last, and what is wrong with it now."""

    stamp: Stamp | None = None
    targets: tuple[Target, ...] = ()
    problem: str | None = None


@dataclass(slots=True)
class TargetFiles:
    """The files that a config names. Everything here waits for the disk: call it in a thread."""

    settings: ExporterSettings
    known: dict[tuple[int, Path], Known] = field(default_factory=dict)

    def successor(self, settings: ExporterSettings) -> TargetFiles:
        """For a new config; of a file that is faulty now, what it said last is kept while its entry is the same."""
        kept = {
            (number, path): Known(None, known.targets, known.problem)
            for number, entry in enumerate(settings.discover)
            for (before, path), known in self.known.items()
            if self.settings.discover[before] == entry
        }
        return TargetFiles(settings, kept)

    def refresh(self) -> bool:
        """Look at every file, read those that changed; whether what they say may have changed."""
        present = {
            (number, path): entry
            for number, entry in enumerate(self.settings.discover)
            for pattern in entry.files
            for path in sorted(pattern.parent.glob(pattern.name))
        }
        gone = self.known.keys() - present.keys()
        for key in gone:
            del self.known[key]
        changed = [self._look(key[1], entry, self.known.setdefault(key, Known())) for key, entry in present.items()]
        return any(changed) or bool(gone)

    def targets(self) -> Iterator[Target]:
        """Every target of every file, in the files' order."""
        for _, known in sorted(self.known.items(), key=lambda item: item[0]):
            yield from known.targets

    def problems(self) -> dict[Path, str]:
        """What is wrong with files now."""
        return {path: known.problem for (_, path), known in self.known.items() if known.problem}

    def _look(self, path: Path, entry: Discovery, known: Known) -> bool:
        try:
            stamp = _stamp(path)
            if stamp == known.stamp:
                return False
            # Noted before it is read: what is written meanwhile is seen the next time.
            known.stamp = stamp
            known.targets = tuple(self._read(path, entry))
            known.problem = None
        except (OSError, DeploywatchError) as error:
            problem = str(error)
            if problem != known.problem:
                log.error("targets not read, those of before stay", file=str(path), reason=problem)
            known.problem = problem
            return False
        return True

    def _read(self, path: Path, entry: Discovery) -> Iterator[Target]:
        for number, group in enumerate(_groups(path)):
            place = f"{path}: group {number}"
            names, labels = _checked(group, place)
            module_name = labels.get(MODULE, entry.module)
            module = self.settings.modules.get(module_name)
            if module is None:
                raise TargetFileError(
                    f"{place}: no module {module_name!r}{nearest(module_name, self.settings.modules)}"
                )
            service = labels.get(conventions.SERVICE) or entry.service
            if not service:
                raise TargetFileError(f"{place}: name the service, as a label here or in the config's discover entry")
            environment = labels.get(conventions.ENVIRONMENT) or entry.environment or self.settings.environment
            for name in names:
                try:
                    probe = module.pointed_at(name)
                except TargetError as error:
                    raise TargetFileError(f"{place}: {redact_url(name)}: {error}") from error
                key = Key(service, environment, labels.get(conventions.PROBE) or _shown(name))
                yield make_target(key, probe, self.settings)


def together(static: list[Target], targets: Iterator[Target]) -> list[Target]:
    """One list in which every key is there once; the config wins over files, and a file over those after it."""
    keys: dict[Key, Target] = {target.key: target for target in static}
    for target in targets:
        keys.setdefault(target.key, target)
    return list(keys.values())


def _stamp(path: Path) -> Stamp:
    status = path.stat()
    return status.st_mtime_ns, status.st_size, status.st_ino


def _groups(path: Path) -> list[Any]:
    try:
        if path.suffix == ".json":
            data = json.loads(path.read_bytes())
        else:
            document = read_file(path)
            if document.problems:
                raise ConfigError(document.problems)
            data = document.data
    except ValueError as error:
        raise TargetFileError(f"{path}: is not JSON: {error}") from error
    if not isinstance(data, list):
        raise TargetFileError(f"{path}: must be a list of groups, such as [{{targets: [a:80], labels: {{…}}}}]")
    return data


def _checked(group: Any, place: str) -> tuple[list[str], Mapping[str, str]]:
    if not isinstance(group, dict):
        raise TargetFileError(f"{place}: must be a mapping with targets and labels")
    unknown = sorted(group.keys() - {"targets", "labels"})
    if unknown:
        raise TargetFileError(f"{place}: unknown key{nearest(str(unknown[0]), ['targets', 'labels'])}")
    names, labels = group.get("targets", []), group.get("labels") or {}
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        raise TargetFileError(f"{place}: targets must be a list of texts")
    if not isinstance(labels, dict) or not all(isinstance(value, str) for value in labels.values()):
        raise TargetFileError(f"{place}: labels must be a mapping of texts")
    return names, labels


def _shown(name: str) -> str:
    return redact_url(name) if "://" in name or "@" in name else name
