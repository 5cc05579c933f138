"""What the API answers of screens with a link to the wall."""

from __future__ import annotations

from typing_extensions import TypedDict

from deploywatch.receiver.api.schemas.fields import Time


class ScreenAnswer(TypedDict):
    """A screen that has a link."""

    id: int
    name: str
    made_at: Time
    made_by: str


class NewScreenAnswer(ScreenAnswer):
    """A screen that was made: its `url` is said this once."""

    url: str
