"""What the command line says of a load, read into values."""

from __future__ import annotations

from datetime import timedelta

import click

from deploywatch.quantity import parse_duration

_LONGEST = timedelta(hours=1)


def duration_option(_: click.Context, __: click.Parameter, value: str) -> timedelta:
    try:
        duration = parse_duration(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error
    if not timedelta(0) <= duration <= _LONGEST:
        raise click.BadParameter("must be 0s to 1h")
    return duration


def share_option(_: click.Context, __: click.Parameter, value: str) -> float:
    text = value.strip().removesuffix("%")
    try:
        share = float(text) / 100
    except ValueError as error:
        raise click.BadParameter("write percent, such as 5%") from error
    if not 0 <= share <= 1:
        raise click.BadParameter("must be 0% to 100%")
    return share


def header_option(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    headers = {}
    for value in values:
        name, sign, content = value.partition(":")
        if not sign or not name.strip():
            raise click.BadParameter(f"{value!r} is no header; write 'Name: value'")
        headers[name.strip()] = content.strip()
    return headers
