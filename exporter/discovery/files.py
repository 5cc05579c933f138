"""Targets from files that change: Prometheus's file_sd format, in JSON or YAML, looked at by name and time of change.

What a file said last stays when it cannot be read or is no list of groups; one target that is wrong is put aside and
counted, and the others are probed. A file that is gone takes its targets along.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deploywatch import conventions, logs
from deploywatch.config import nearest
from deploywatch.errors import DeploywatchError
from deploywatch.exporter.config import ExporterSettings
from deploywatch.exporter.discovery.groups import (
    MODULE,
    DroppedTarget,
    DropReason,
    TargetFileError,
    checked,
    drop,
    target_groups,
)
from deploywatch.exporter.settings.discovery import Discovery
from deploywatch.exporter.settings.modules import TargetError
from deploywatch.exporter.targets import Key, Target, make_target
from deploywatch.secrets import redact_url

log = logs.get("exporter")


_SHOWN = 5

Stamp = tuple[int, int, int]


@dataclass(slots=True)
class Known:
    """What is known of one file: how it looked when it was read, what it said last, and what is wrong with it now."""

    stamp: Stamp | None = None
    targets: tuple[Target, ...] = ()
    dropped: tuple[DroppedTarget, ...] = ()
    problem: str | None = None


@dataclass(slots=True)
class TargetFiles:
    """The files that a config names. Everything here waits for the disk: call it in a thread."""

    settings: ExporterSettings
    known: dict[tuple[int, Path], Known] = field(default_factory=dict)
    doubles: list[DroppedTarget] = field(default_factory=list)
    """Targets that are named once more, and so are probed once."""

    def successor(self, settings: ExporterSettings) -> TargetFiles:
        """For a new config; of a file that is faulty now, what it said last is kept while its entry is the same."""
        kept = {
            (number, path): Known(None, known.targets, known.dropped, known.problem)
            for number, entry in enumerate(settings.discover)
            # Without the stamp, so that each is read anew: the modules that it refers to may have changed.
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
            # Sorted: of two files that name one target the first wins, and it has to be the same one each time.
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

    def dropped(self) -> list[DroppedTarget]:
        """Every target that is named and not probed now."""
        return [*(target for known in self.known.values() for target in known.dropped), *self.doubles]

    def _look(self, path: Path, entry: Discovery, known: Known) -> bool:
        try:
            stamp = _stamp(path)
            if stamp == known.stamp:
                return False
            # Noted before it is read: what is written meanwhile is seen the next time.
            known.stamp = stamp
            self._take(path, entry, known)
        except (OSError, DeploywatchError) as error:
            problem = str(error)
            if problem != known.problem:
                log.error("targets not read, those of before stay", file=str(path), reason=problem)
            known.problem = problem
            return False
        return True

    def _take(self, path: Path, entry: Discovery, known: Known) -> None:
        dropped: list[DroppedTarget] = []
        read = tuple(self._read(target_groups(path), path, entry, dropped))
        if dropped and not read:
            # Whoever writes the file has gone astray; what it said before is nearer to the truth than nothing.
            raise TargetFileError("; ".join(target.detail for target in dropped[:_SHOWN]))
        known.targets = read
        _log_new(path, dropped, known)
        known.dropped, known.problem = tuple(dropped), None

    def _read(self, groups: list[Any], path: Path, entry: Discovery, dropped: list[DroppedTarget]) -> Iterator[Target]:
        """The targets of a file; one that cannot be probed is put aside, and the others are."""
        for number, data in enumerate(groups):
            place = f"{path}: group {number}"
            group = checked(data, place, dropped)
            if group is None:
                continue
            names, labels = group
            module_name = labels.get(MODULE, entry.module)
            module = self.settings.modules.get(module_name)
            service = labels.get(conventions.SERVICE) or entry.service
            if module is None:
                hint = nearest(module_name, self.settings.modules)
                dropped += [
                    drop(DropReason.MODULE, place, f"{_shown(n)}: no module {module_name!r}{hint}") for n in names
                ]
                continue
            if not service:
                hint = "name the service, as a label here or in the config's discover entry"
                dropped += [drop(DropReason.SERVICE, place, f"{_shown(name)}: {hint}") for name in names]
                continue
            environment = labels.get(conventions.ENVIRONMENT) or entry.environment or self.settings.environment
            limit = module.timeout if "timeout" in module.model_fields_set else None
            for name in names:
                try:
                    probe = module.pointed_at(name)
                except TargetError as error:
                    dropped.append(drop(DropReason.TARGET, place, f"{redact_url(name)}: {error}"))
                    continue
                key = Key(service, environment, labels.get(conventions.PROBE) or _shown(name))
                yield make_target(key, probe, self.settings, limit)


def together(
    static: list[Target], targets: Iterator[Target], doubles: list[DroppedTarget] | None = None
) -> list[Target]:
    """One list in which every key is there once; the config wins over files, and a file over those after it.

    What is there once more goes to `doubles`, in place of what was in it.
    """
    keys: dict[Key, Target] = {target.key: target for target in static}
    repeated = [target.key for target in targets if keys.setdefault(target.key, target) is not target]
    if doubles is not None:
        doubles[:] = [
            DroppedTarget(DropReason.DUPLICATE, f"{'/'.join(key)} is there already, and probed once")
            for key in repeated
        ]
    return list(keys.values())


def _stamp(path: Path) -> Stamp:
    status = path.stat()
    return status.st_mtime_ns, status.st_size, status.st_ino


def _shown(name: str) -> str:
    return redact_url(name) if "://" in name or "@" in name else name


def _log_new(path: Path, dropped: Sequence[DroppedTarget], known: Known) -> None:
    """Say which targets are not probed, each once while it stays so."""
    for target in dropped:
        if target not in known.dropped:
            log.error("a target is not probed", file=str(path), reason=str(target.reason), detail=target.detail)
