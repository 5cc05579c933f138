"""Where more targets come from: files in Prometheus's file_sd format that change while the exporter runs."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator

from deploywatch.config import RelativePath, Settings
from deploywatch.quantity import Duration

_ENDINGS = (".json", ".yml", ".yaml")


class Discovery(Settings):
    """Files whose targets are probed with `module`, as probes of `service` unless the file's labels say otherwise."""

    files: Annotated[tuple[RelativePath, ...], Field(min_length=1)]
    module: str
    service: str | None = None
    environment: str | None = None
    refresh: Duration = timedelta(seconds=5)

    @field_validator("files")
    @classmethod
    def _readable_kinds(cls, files: tuple[Path, ...]) -> tuple[Path, ...]:
        for file in files:
            if not file.name.endswith(_ENDINGS):
                raise ValueError(f"{file.name!r} ends in none of {', '.join(_ENDINGS)}; targets are read from these")
            if "*" in str(file.parent):
                raise ValueError(f"{file}: `*` may stand in the name of a file only, not in that of its folder")
        return files

    @field_validator("refresh")
    @classmethod
    def _not_too_often(cls, refresh: timedelta) -> timedelta:
        if refresh < timedelta(milliseconds=100):
            raise ValueError("must be at least 100ms")
        return refresh
