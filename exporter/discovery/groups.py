"""The target groups of a file, in the format of file_sd: what is a target, and what is put aside and counted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from deploywatch import conventions, json_text
from deploywatch.config import nearest, read_file
from deploywatch.errors import ConfigError, DeploywatchError

MODULE = "module"
"""The label of a target group that names another module than the config does."""
_MEANT = frozenset({MODULE, conventions.SERVICE, conventions.ENVIRONMENT, conventions.PROBE})


class TargetFileError(DeploywatchError):
    """A file of targets that cannot be read, or does not say what it must."""


class DropReason(StrEnum):
    """Why a target of a file is not probed; the only words in the label `reason` of that metric."""

    TARGET = "target"
    MODULE = "module"
    SERVICE = "service"
    GROUP = "group"
    LABEL = "label"
    DUPLICATE = "duplicate"


@dataclass(frozen=True, slots=True)
class DroppedTarget:
    """A target, or a group of them, that is not probed: why, and where it stands with what is wrong."""

    reason: DropReason
    detail: str


def drop(reason: DropReason, place: str, detail: str) -> DroppedTarget:
    return DroppedTarget(reason, f"{place}: {detail}")


def target_groups(path: Path) -> list[Any]:
    try:
        if path.suffix == ".json":
            # By its own parser: YAML takes most JSON, but slowly, and a file of 100,000 targets is read every time it
            # changes.
            data = json_text.parse(path.read_bytes())
        else:
            document = read_file(path, as_text=True)
            if document.problems:
                raise ConfigError(document.problems)
            data = document.data
    except ValueError as error:
        raise TargetFileError(f"{path}: is not JSON: {error}") from error
    if not isinstance(data, list):
        raise TargetFileError(f"{path}: must be a list of groups, such as [{{targets: [a:80], labels: {{…}}}}]")
    return data


def checked(group: Any, place: str, dropped: list[DroppedTarget]) -> tuple[list[str], Mapping[str, str]] | None:
    """The targets of a group and its labels, scalars as text as Prometheus has them; None when it cannot be probed.

    TargetFileError for what is no group: then nothing of the file can be trusted, as Prometheus sees it too.
    """
    if not isinstance(group, dict):
        raise TargetFileError(f"{place}: must be a mapping with targets and labels")
    unknown = sorted(group.keys() - {"targets", "labels"})
    if unknown:
        raise TargetFileError(f"{place}: unknown key{nearest(str(unknown[0]), ['targets', 'labels'])}")
    targets, labels = group.get("targets") or [], group.get("labels") or {}
    if not isinstance(targets, list):
        raise TargetFileError(f"{place}: targets must be a list of texts")
    if not isinstance(labels, dict):
        raise TargetFileError(f"{place}: labels must be a mapping of texts")
    names: list[str] = []
    for target in targets:
        text = _scalar(target)
        if text:
            names.append(text)
        else:
            dropped.append(drop(DropReason.TARGET, place, f"targets must be a list of texts, and {target!r} is none"))
    texts: dict[str, str] = {}
    for label, value in labels.items():
        text = _scalar(value)
        if text is None and label in _MEANT:
            # Without it the targets would be another service's, or be probed in another way.
            dropped.append(drop(DropReason.GROUP, place, f"the label {label} must be a text"))
            return None
        if text is None:
            dropped.append(drop(DropReason.LABEL, place, f"the label {label} must be a text; it is ignored"))
        else:
            texts[str(label)] = text
    return names, texts


def _scalar(value: Any) -> str | None:
    """A scalar as text, as Prometheus reads it (YAML's come as they are written); None for a list or a mapping."""
    if value is None:
        return ""
    # As JSON writes it, not as Python does.
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, (str, int, float)) else None
