"""What several answers of the API have in common."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

Time = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
"""ISO 8601 in UTC."""
